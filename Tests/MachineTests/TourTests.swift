import Core
import Foundation
import Testing

/// The tour guest on each engine: the file alone decides what it finds.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct TourTests {
    /// The tour's machine with one recorder as COM1; `devices` and `backends` are added.
    static func file(
        _ recorder: String, pit: String = "  - { id: pit, plugin: pit8254, irq: pic.0 }\n", com1: String = "pic.4",
        policies: String = "", devices: String = "", backends: String = "", memory: String = "16MiB"
    ) -> String {
        """
        machine: \(recorder)
        cpu: { engine: kvm, interrupts: pic }
        memory: \(memory)
        boot: { plugin: multiboot, kernel: \(TestPlugins.tour) }
        policies:
        \(policies)  - { id: rules, plugin: standard }
        devices:
          - { id: pic, plugin: pic8259 }
        \(pit)  - { id: rtc, plugin: rtc146818, irq: pic.8 }
          - { id: com1, plugin: uart16550, irq: \(com1), stream: term }
          - { id: hd0, plugin: ata, irq: pic.14, block: disk }
          - { id: exit, plugin: debug-exit }
          - { id: reset, plugin: reset-control }
        \(devices)backends:
          - { id: term, plugin: recorder, name: \(recorder) }
          - { id: disk, plugin: ram-disk, size: 1MiB }
        \(backends)
        """
    }

    static let transcript = [
        "Backplane tour",
        "memory: 15 MiB upper memory, 3 map entries",
        "command line: \"tour.elf\"",
        "pic: master and slave, vectors 0x20-0x2f",
        "pit: 8254",
        "pit: irq 0",
        "com1: 16550A, 115200 baud, 8N1, modem loopback ok",
        "com1: irq 4",
        "cmos: irq 8",
        "ata0: irq 14",
        "ticks: counted 10",
        "cmos: counted 64 periodic interrupts",
        "rates: 1024 Hz is faster than 100 Hz",
        "disk: ata0-0 \"BACKPLANE DISK\"",
        "disk: ata0-0 starts with 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        "disk: ata0-0 2048 sectors, wrote and verified 4",
        "tour: ready, try help",
    ]

    /// Runs the tour to its prompt, types, and gives the transcript and the end.
    private func run(
        _ name: String, _ file: String, typing: String, on engine: TestEngine
    ) async throws -> (lines: [String], end: MachineEnd) {
        let recorder = Recorder(name)
        let machine = try TestMachine(file, on: engine)
        let end = try machine.run()
        let isReady = await recorder.waits(for: "tour> ")
        if !isReady {
            machine.machine.stop(99, "the prompt did not come")
            _ = await end.value
            Issue.record("no prompt after:\n\(recorder.text)\n\(machine.log.current.joined(separator: "\n"))")
            return (recorder.lines, MachineEnd(status: 99, reason: ""))
        }
        recorder.type(typing)
        return (recorder.lines.filter { !$0.hasPrefix("rtc: ") }, await end.value)
    }

    @Test(arguments: TestEngine.here) func everyDeviceAnswersAndOffPowersOff(on engine: TestEngine) async throws {
        let (lines, end) = try await run("whole", Self.file("whole"), typing: "off\r", on: engine)
        #expect(Array(lines.prefix(Self.transcript.count)) == Self.transcript)
        #expect(end.status == 0)
    }

    @Test(arguments: TestEngine.here) func exitStatusIsTheGuestsOwnOddNumber(on engine: TestEngine) async throws {
        let (_, end) = try await run("odd", Self.file("odd"), typing: "exit 5\r", on: engine)
        #expect(end.status == 11)
    }

    @Test(arguments: TestEngine.here) func aMachineWithoutPITSaysSo(on engine: TestEngine) async throws {
        let (lines, end) = try await run("nopit", Self.file("nopit", pit: ""), typing: "off\r", on: engine)
        #expect(lines.contains("pit: absent"))
        #expect(lines.contains("com1: irq 4"))
        #expect(end.status == 0)
    }

    /// Where nobody answers for the PIT, the guest gives up in the end: each look at its count is three exits, and where one takes 0.1 ms, 100,000 looks took
    /// longer than anybody waited.
    @Test(arguments: TestEngine.here) func aPITThatIsNotThereIsNotLookedForForLong(on engine: TestEngine) async throws {
        let recorder = Recorder("looks")
        let file = Self.file("looks", pit: "", policies: "  - { id: counts, plugin: stats, at-end: off }\n")
        let machine = try TestMachine(file, on: engine)
        let end = try machine.run()
        #expect(await recorder.waits(for: "pit: absent"))
        let table = try machine.machine.invoke("table", [], on: "counts").text
        let row = table.split(separator: "\n").map { $0.split(separator: "\t") }.first { $0[1] == "0x43" }
        let latches = try #require(row.flatMap { Int($0[2]) }, "\(table)")
        #expect(latches > 100 && latches < 2000)
        machine.machine.stop(0, "")
        #expect(await end.value.status == 0)
    }

    @Test(arguments: TestEngine.here) func rewiredLinesShowInTheTranscript(on engine: TestEngine) async throws {
        let file = Self.file("rewired", pit: "  - { id: pit, plugin: pit8254, irq: pic.5 }\n", com1: "pic.10")
        let (lines, end) = try await run("rewired", file, typing: "off\r", on: engine)
        #expect(lines.contains("pit: irq 5"))
        #expect(lines.contains("com1: irq 10"))
        #expect(end.status == 0)
    }

    @Test(arguments: TestEngine.here) func aSecondInstanceOfEachDeviceWorksBesideTheFirst(on engine: TestEngine)
        async throws
    {
        let second = Recorder("second-com2")
        let devices = """
              - { id: com2, plugin: uart16550, at: 0x2f8, irq: pic.3, stream: cable }
              - { id: hd1, plugin: ata, at: 0x170, control: 0x376, irq: pic.15, block: disk2 }
              - { id: pic2, plugin: pic8259, at: 0x120, slave: 0x1a0, elcr: 0x5d0 }
              - { id: pit2, plugin: pit8254, at: 0x140, port-b: 0x161, irq: pic2.0 }
              - { id: rtc2, plugin: rtc146818, at: 0x170a, irq: pic2.8 }
              - { id: noise, plugin: lfsr }
              - { id: noise2, plugin: lfsr, at: 0x1e8 }

            """
        let backends = """
              - { id: cable, plugin: recorder, name: second-com2 }
              - { id: disk2, plugin: ram-disk, size: 2MiB }
            """
        let file = Self.file("second", devices: devices, backends: backends)
        let (lines, end) = try await run("second", file, typing: "off\r", on: engine)
        #expect(lines.contains { $0.hasPrefix("com2: 16550A") })
        #expect(second.text.contains("hello from com2"))
        #expect(lines.contains("disk: ata1-0 4096 sectors, wrote and verified 4"))
        #expect(lines.contains { $0.hasPrefix("lfsr: ") && !$0.contains("absent") })
        #expect(end.status == 0)
    }

    @Test(arguments: TestEngine.here) func rebootStartsTheGuestAgain(on engine: TestEngine) async throws {
        let recorder = Recorder("reboot")
        let machine = try TestMachine(Self.file("reboot"), on: engine)
        let end = try machine.run()
        #expect(await recorder.waits(for: "tour> "))
        recorder.type("reboot\r")
        #expect(await recorder.waits(for: "Backplane tour", times: 2))
        #expect(await recorder.waits(for: "tour: ready", times: 2))
        recorder.type("off\r")
        #expect(await end.value.status == 0)
    }

    @Test(arguments: TestEngine.here) func pausedGuestStandsStillAndItsClockToo(on engine: TestEngine) async throws {
        let recorder = Recorder("pause")
        let machine = try TestMachine(Self.file("pause"), on: engine)
        let end = try machine.run()
        #expect(await recorder.waits(for: "tour> "))
        machine.machine.setStopped(true)
        #expect(machine.machine.atQuietPoint {})
        let before = machine.machine.now
        recorder.type("ticks\r")
        try await Task.sleep(for: .milliseconds(300))
        #expect(machine.machine.now == before)
        #expect(!recorder.text.contains("ticks: " + "\n") && recorder.text.hasSuffix("tour> "))
        machine.machine.setStopped(false)
        #expect(await recorder.waits(for: "ticks: ", times: 2))
        recorder.type("off\r")
        #expect(await end.value.status == 0)
    }

    @Test(arguments: TestEngine.here) func twoMachinesInOneProcessShareNothing(on engine: TestEngine) async throws {
        let names = ["left", "right"]
        let recorders = names.map { Recorder($0) }
        let machines = try names.map { try TestMachine(Self.file($0), on: engine) }
        let ends = try machines.map { try $0.run() }
        for recorder in recorders { #expect(await recorder.waits(for: "tour> ")) }
        // What one guest writes to its memory, the other does not see.
        recorders[0].type("poke 0x200000 0x5a\rpeek 0x200000\r")
        #expect(await recorders[0].waits(for: "0x5a", times: 2))
        recorders[1].type("peek 0x200000\roff\r")
        #expect(await ends[1].value.status == 0)
        #expect(!recorders[1].text.contains("0x5a"))
        // And one goes on when the other has ended.
        recorders[0].type("exit 3\r")
        #expect(await ends[0].value.status == 7)
        for recorder in recorders { #expect(recorder.text.contains("disk: ata0-0 2048 sectors, wrote and verified 4")) }
    }

    @Test(arguments: TestEngine.here) func strictStopsAtTheFirstUnclaimedAccess(on engine: TestEngine) async throws {
        let policies = "  - { id: strict, plugin: strict }\n"
        let recorder = Recorder("strict")
        let machine = try TestMachine(Self.file("strict", policies: policies), on: engine)
        let end = await (try machine.run()).value
        #expect(end.status == 8)
        #expect(end.reason.hasPrefix("strict: guest "))
        #expect(end.reason.contains("nothing claims it"))
        #expect(!recorder.text.contains("tour> "))
    }

    @Test(arguments: TestEngine.here) func faultsFollowTheInstancesPolicy(on engine: TestEngine) async throws {
        let stop = try await run(
            "fault-stop", Self.file("fault-stop", devices: "  - { id: bad, plugin: faulty }\n"),
            typing: "out 0x300 7\r", on: engine
        )
        #expect(stop.end.status == 4)
        #expect(stop.end.reason == "plugin fault: 'bad' (faulty): the guest wrote 7")
        // Off line its port floats and the guest goes on.
        let recorder = Recorder("fault-offline")
        let machine = try TestMachine(
            Self.file("fault-offline", devices: "  - { id: bad, plugin: faulty, irq: pic.5, on-fault: offline }\n"),
            on: engine)
        let end = try machine.run()
        #expect(await recorder.waits(for: "tour> "))
        recorder.type("in 0x300\rout 0x300 9\rin 0x300\r")
        #expect(await recorder.waits(for: "port 0x0300: 0x42"))
        #expect(await recorder.waits(for: "port 0x0300: 0xff"))
        #expect(machine.log.current.contains { $0.contains("the guest wrote 9; it is taken off line") })
        recorder.type("off\r")
        #expect(await end.value.status == 0)
    }
}
