import Core
import EngineSoft
import Foundation
import Testing

/// Runs of machines with a counted clock, whatever the host and the engine's caches do.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct CountedTests {
    /// What a run leaves.
    struct Outcome: Equatable, CustomStringConvertible {
        var console: [UInt8]
        var disk: [UInt8]
        var summary: CountedSummary?
        var status: Int32

        var description: String {
            "status \(status), \(summary.map { "\($0)" } ?? "not counted"), console:\n"
                + String(decoding: console, as: UTF8.self)
        }
        var lines: [String] {
            String(decoding: console, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
        }
    }

    /// Files of one test.
    final class Folder {
        let path = NSTemporaryDirectory() + "bp-counted-\(UUID().uuidString)"

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func write(_ name: String, _ bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
        }
        func read(_ name: String) -> [UInt8] {
            FileManager.default.contents(atPath: "\(path)/\(name)").map { [UInt8]($0) } ?? []
        }
    }

    /// Threads that do nothing as fast as they can.
    final class Load {
        private let stop = Mutexed(false)

        init(threads: Int) {
            for _ in 0..<threads {
                Thread.detachNewThread { [stop] in while !stop.current {} }
            }
        }
        deinit { stop.update { $0 = true } }
    }

    /// What the host and the engine do differently, and no guest may notice.
    enum Variant: String, CaseIterable {
        case plain, again, evicted, stepped, loaded, interpreted, warmed, translated

        var options: SoftOptions {
            var options = SoftOptions()
            if self == .evicted { options.emptiesArenaEvery = 97 }
            if self == .stepped { options.singleStepsAlways = true }
            if self == .interpreted { options.translation = .off }
            if self == .warmed { options.translatesAfter = 1 }
            if self == .translated { options.translation = .always }
            return options
        }
    }

    static func run(_ variant: Variant, typing: String, _ file: (Folder) -> String) async throws -> Outcome {
        let folder = try Folder()
        try folder.write("in", Array(typing.utf8))
        try folder.write("disk", [UInt8](repeating: 0, count: 1 << 20))
        let load = variant == .loaded ? Load(threads: 4) : nil
        defer { _ = load }
        let machine = try TestMachine(file(folder), soft: variant.options)
        let end = try await machine.run().value
        return Outcome(
            console: folder.read("out"), disk: folder.read("disk"), summary: machine.machine.countedSummary,
            status: end.status)
    }

    // MARK: The tour

    private func tour(_ folder: Folder) -> String {
        """
        machine: counted-tour
        clock: { mode: counted }
        cpu: { engine: soft, interrupts: pic }
        memory: 16MiB
        boot: { plugin: multiboot, kernel: \(TestPlugins.tour) }
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: pit, plugin: pit8254, irq: pic.0 }
          - { id: rtc, plugin: rtc146818, irq: pic.8 }
          - { id: com1, plugin: uart16550, irq: pic.4, stream: term }
          - { id: hd0, plugin: ata, irq: pic.14, block: disk }
          - { id: exit, plugin: debug-exit }
          - { id: reset, plugin: reset-control }
        backends:
          - { id: term, plugin: file, path: \(folder.path)/out, input: \(folder.path)/in }
          - { id: disk, plugin: raw-file, path: \(folder.path)/disk }
        """
    }

    /// Interrupts, a disk with a thread of its own, typed input, and the clock's time in the output.
    @Test func theTourIsTheSameWhateverTheHostDoes() async throws {
        var outcomes: [Variant: Outcome] = [:]
        for variant in Variant.allCases {
            outcomes[variant] = try await Self.run(variant, typing: "help\rticks\rtime\rexit 5\r", tour)
        }
        let first = try #require(outcomes[.plain])
        #expect(first.status == 11)
        #expect(first.lines.contains("disk: ata0-0 2048 sectors, wrote and verified 4"))
        #expect(first.lines.contains { $0.hasPrefix("ticks: ") })
        #expect((first.summary?.instructions ?? 0) > 1_000_000)
        for variant in Variant.allCases { #expect(outcomes[variant] == first, "\(variant.rawValue)") }
    }

    @Test func otherInputMakesAnotherRun() async throws {
        let one = try await Self.run(.plain, typing: "exit 5\r", tour)
        let two = try await Self.run(.plain, typing: "ticks\rexit 5\r", tour)
        #expect(one.summary != nil)
        #expect(one.summary != two.summary)
    }

    // MARK: Small guests, in real mode at 0x7c00

    private func boot(_ code: [UInt8], variant: Variant) async throws -> Outcome {
        try await Self.run(variant, typing: "") { folder in
            try? folder.write("image", code)
            return """
                machine: counted
                clock: { mode: counted }
                cpu: { engine: soft, interrupts: pic }
                memory: 1MiB
                boot: { plugin: flat, image: \(folder.path)/image }
                devices:
                  - { id: pic, plugin: pic8259 }
                  - { id: pit, plugin: pit8254, irq: pic.0 }
                  - { id: exit, plugin: debug-exit }
                """
        }
    }

    /// debug-exit's register is at port 0x501: AL = 6 ends with (6 << 1) | 1.
    private let exitWithAL: [UInt8] = [0xBA, 0x01, 0x05, 0xEE, 0xF4]

    /// A nanosecond for each instruction: RDTSC, MOV, ten NOPs, and the second RDTSC is twelve later, within one block.
    @Test(arguments: Variant.allCases) func theTSCCountsInstructions(_ variant: Variant) async throws {
        let code: [UInt8] =
            [0x0F, 0x31, 0x66, 0x89, 0xC3] + [UInt8](repeating: 0x90, count: 10) + [0x0F, 0x31, 0x66, 0x29, 0xD8]
        let outcome = try await boot(code + exitWithAL, variant: variant)
        #expect(outcome.status == 12 << 1 | 1)
        // 12 before the second RDTSC, itself, SUB, MOV DX and the OUT that ends the machine.
        #expect(outcome.summary?.instructions == 16)
    }

    /// REP counts once: RDTSC, MOV EBX, MOV CX, XOR DI, MOV AX, MOV ES, REP STOSB over 1000 bytes, RDTSC.
    @Test(arguments: Variant.allCases) func aRepeatedInstructionCountsOnce(_ variant: Variant) async throws {
        let code: [UInt8] = [
            0x0F, 0x31, 0x66, 0x89, 0xC3, 0xB9, 0xE8, 0x03, 0x31, 0xFF, 0xB8, 0x00, 0x10, 0x8E, 0xC0, 0xF3, 0xAA, 0x0F,
            0x31,
            0x66, 0x29, 0xD8,
        ]
        #expect(try await boot(code + exitWithAL, variant: variant).status == 7 << 1 | 1)
    }

    /// The PIT's channel 0 counts 1000 ticks of 1.193182 MHz, and its interrupt finds how far a loop of two instructions has come.
    @Test func anInterruptComesAtItsExactInstruction() async throws {
        let code: [UInt8] = [
            0xFA, 0x31, 0xC0, 0x8E, 0xD8,  // CLI; DS = 0
            0xC7, 0x06, 0x20, 0x00, 0x3E, 0x7C, 0xC7, 0x06, 0x22, 0x00, 0x00, 0x00,  // vector 8: 0000:7C3E
            // ICW1 to ICW4
            0xB0, 0x11, 0xE6, 0x20, 0xB0, 0x08, 0xE6, 0x21, 0xB0, 0x04, 0xE6, 0x21, 0xB0, 0x01, 0xE6, 0x21,
            0xB0, 0xFE, 0xE6, 0x21,  // only IRQ 0
            0xB0, 0x30, 0xE6, 0x43, 0xB0, 0xE8, 0xE6, 0x40, 0xB0, 0x03, 0xE6, 0x40,  // mode 0, 1000
            0x66, 0x31, 0xDB, 0xFB,  // EBX = 0; STI
            0x66, 0x43, 0xEB, 0xFC,  // loop: INC EBX; JMP loop
            0x90, 0x90, 0x90, 0x90, 0x90,
            0x88, 0xD8, 0x24, 0x7F, 0xBA, 0x01, 0x05, 0xEE, 0xF4,  // 7C3E: AL = BL & 0x7f; OUT
        ]
        var outcomes: [Outcome] = []
        for variant in Variant.allCases { outcomes.append(try await boot(code, variant: variant)) }
        for outcome in outcomes { #expect(outcome == outcomes[0]) }
        // Mode 0: OUT rises 1001 clocks after the count is loaded, 838933 ns; some 30 instructions are not of the loop.
        let instructions = try #require(outcomes[0].summary?.instructions)
        #expect(instructions > 838_933 && instructions < 839_100)
    }

    /// HLT until the PIT's slowest tick, 65536 counts (55 ms): the time passes without instructions, and without the host's.
    @Test func haltSkipsToTheNextTimer() async throws {
        let code: [UInt8] = [
            0xFA, 0x31, 0xC0, 0x8E, 0xD8, 0xC7, 0x06, 0x20, 0x00, 0x35, 0x7C, 0xC7, 0x06, 0x22, 0x00, 0x00, 0x00,
            0xB0, 0x11, 0xE6, 0x20, 0xB0, 0x08, 0xE6, 0x21, 0xB0, 0x04, 0xE6, 0x21, 0xB0, 0x01, 0xE6, 0x21, 0xB0, 0xFE,
            0xE6, 0x21,
            0xB0, 0x30, 0xE6, 0x43, 0xB0, 0x00, 0xE6, 0x40, 0xE6, 0x40,  // mode 0, 65536
            0xFB, 0xF4, 0x90, 0x90, 0x90, 0x90,  // STI; HLT
            0xB0, 0x03, 0xBA, 0x01, 0x05, 0xEE, 0xF4,  // 7C35
        ]
        let outcome = try await boot(code, variant: .plain)
        #expect(outcome.status == 7)
        let summary = try #require(outcome.summary)
        #expect(summary.instructions < 40)
        #expect(summary.time > 54_900_000 && summary.time < 55_000_000)
    }

    // MARK: Debian

    private static let kernel = TestPlugins.root + "/.build/guests/linux/amd64/vmlinuz"
    private static let initramfs = TestPlugins.root + "/.build/guests/linux/amd64/initramfs.cpio"
    static let hasDebian = FileManager.default.fileExists(atPath: kernel)

    private func debian(_ folder: Folder) -> String {
        """
        machine: counted-debian
        clock: { mode: counted }
        cpu: { engine: soft, interrupts: pic }
        memory: 128MiB
        boot: { plugin: linux, kernel: \(Self.kernel), initrd: \(Self.initramfs), command-line: "console=ttyS0 noapic nolapic acpi=off pci=off reboot=k" }
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: pit, plugin: pit8254, irq: pic.0 }
          - { id: rtc, plugin: rtc146818, irq: pic.8 }
          - { id: com1, plugin: uart16550, irq: pic.4, stream: term }
          - { id: reset, plugin: reset-control }
        backends:
          - { id: term, plugin: file, path: \(folder.path)/out, input: \(folder.path)/in }
        """
    }

    @Test(.enabled(if: hasDebian)) func debianIsTheSameFromBootToPowerOff() async throws {
        let typing = "\n\ndate; cat /proc/interrupts; poweroff -f\n"
        let first = try await Self.run(.plain, typing: typing, debian)
        #expect(first.status == 0)
        #expect(String(decoding: first.console, as: UTF8.self).contains("ttyS0"))
        #expect((first.summary?.instructions ?? 0) > 100_000_000)
        #expect(try await Self.run(.loaded, typing: typing, debian) == first)
        #expect(try await Self.run(.evicted, typing: typing, debian) == first)
        #expect(try await Self.run(.interpreted, typing: typing, debian) == first)
    }
}
