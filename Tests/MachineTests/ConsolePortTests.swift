import PluginKit
import Synchronization
import Testing

@testable import Core

/// A virtio console with ports (virtio 1.2, 5.3.6), by MMIO.
@Suite struct ConsolePortTests {
    private static let features: UInt64 = 1 << 32 | 3
    private static let (answers, words): (UInt64, UInt64) = (0x2_0000, 0x2_1000)

    private func driver(_ name: String) throws -> (VirtioDriver, tty: Recorder, agent: Recorder) {
        let (tty, agent) = (Recorder(name + "-tty"), Recorder(name + "-agent"))
        let machine = try virtioMachine(
            "virtio-console, stream: tty, ports: [agent, nobody], names: [org.agent]",
            backends: """
                backends: [{ id: tty, plugin: recorder, name: \(name)-tty }, { id: agent, plugin: recorder, name: \(name)-agent },
                  { id: nobody, plugin: "null" }]
                """)
        machine.adoptThread()
        defer { machine.releaseThread() }
        try machine.startInstances()
        let driver = VirtioDriver(machine: machine)
        let isUp = driver.bringUp(queues: Array(0..<8), features: Self.features)
        try #require(isUp)
        return (driver, tty, agent)
    }

    /// The next message of the device's, where it has one.
    private func message(_ driver: VirtioDriver, _ number: inout UInt64) -> [UInt8] {
        driver.offer(2, number, .init(address: Self.answers, length: 64, isWritable: true))
        guard driver.used(2) == number + 1 else { return [] }
        defer { number += 1 }
        return driver.bytes(Self.answers, Int(driver.written(2, number)))
    }

    private func say(_ driver: VirtioDriver, _ number: inout UInt64, _ message: [UInt8]) {
        driver.put(Self.words, message)
        driver.offer(3, number, .init(address: Self.words, length: UInt64(message.count)))
        number += 1
    }

    @Test func driverLearnsOfAllPorts() throws {
        let (driver, _, _) = try driver("learns")
        defer { driver.machine.tearDown() }
        #expect(driver.config(4) == 3 && driver.features & 3 == 3)
        var (heard, said) = (0 as UInt64, 0 as UInt64)
        say(driver, &said, [0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0])
        let added = (0..<3).map { _ in message(driver, &heard) }
        let ports: [[UInt8]] = [[0, 0, 0, 0, 1, 0, 1, 0], [1, 0, 0, 0, 1, 0, 1, 0], [2, 0, 0, 0, 1, 0, 1, 0]]
        #expect(added == ports)
        say(driver, &said, [1, 0, 0, 0, 3, 0, 1, 0])
        let name = message(driver, &heard)
        let named: [UInt8] = [1, 0, 0, 0, 7, 0, 1, 0] + Array("org.agent".utf8)
        #expect(name == named + [0])
        let isOpen = message(driver, &heard)
        #expect(isOpen == [1, 0, 0, 0, 6, 0, 0, 0], "nobody is there: the recorder never says so")
        say(driver, &said, [2, 0, 0, 0, 3, 0, 1, 0])
        let other = message(driver, &heard)
        let otherNamed: [UInt8] = [2, 0, 0, 0, 7, 0, 1, 0] + Array("device.2".utf8)
        #expect(other == otherNamed + [0])
        let isOtherOpen = message(driver, &heard)
        #expect(isOtherOpen == [2, 0, 0, 0, 6, 0, 1, 0])
        let nothing = message(driver, &heard)
        #expect(nothing == [] && driver.used(3) == said && !driver.needsReset)
    }

    @Test func aReceiveBufferWithoutRoomIsTheDriversMistake() throws {
        let (driver, _, agent) = try driver("roomless")
        defer { driver.machine.tearDown() }
        agent.type("hello")
        driver.offer(4, 0, .init(address: 0x3_0000, length: 64))
        var said: UInt64 = 0
        say(driver, &said, [1, 0, 0, 0, 3, 0, 1, 0])
        #expect(!driver.needsReset)
        say(driver, &said, [1, 0, 0, 0, 6, 0, 1, 0])
        #expect(driver.needsReset && driver.used(4) == 0)
    }

    @Test func bytesGoToAPortThatIsOpen() throws {
        let (driver, tty, agent) = try driver("bytes")
        defer { driver.machine.tearDown() }
        let buffer = VirtioDriver.Buffer(address: 0x3_0000, length: 64, isWritable: true)
        agent.type("hello")
        driver.offer(4, 0, buffer)
        #expect(driver.used(4) == 0, "no program has it open")
        var said: UInt64 = 0
        say(driver, &said, [1, 0, 0, 0, 3, 0, 1, 0])
        say(driver, &said, [1, 0, 0, 0, 6, 0, 1, 0])
        #expect(driver.used(4) == 1 && driver.bytes(0x3_0000, Int(driver.written(4, 0))) == Array("hello".utf8))
        driver.put(0x3_1000, "to port".utf8)
        driver.offer(5, 0, .init(address: 0x3_1000, length: 7))
        driver.put(0x3_1000, "to tty".utf8)
        driver.offer(1, 0, .init(address: 0x3_1000, length: 6))
        #expect(agent.text == "to port" && tty.text == "to tty")
        #expect(driver.used(5) == 1 && driver.used(1) == 1)
    }

    @Test func aResetClosesThePortsThatWereOpen() throws {
        let (driver, tty, agent) = try driver("closes")
        defer { driver.machine.tearDown() }
        var said: UInt64 = 0
        say(driver, &said, [1, 0, 0, 0, 3, 0, 1, 0])
        say(driver, &said, [1, 0, 0, 0, 6, 0, 1, 0])
        #expect(agent.events == [.dtrOn])
        driver.set(VirtioDriver.registers + 0x70, 0)
        #expect(agent.events == [.dtrOn, .dtrOff] && tty.events == [])
        driver.set(VirtioDriver.registers + 0x70, 0)
        #expect(agent.events == [.dtrOn, .dtrOff], "it is closed already")
    }

    @Test func hostileMessagesDoNothing() throws {
        let (driver, _, _) = try driver("hostile")
        defer { driver.machine.tearDown() }
        var said: UInt64 = 0
        for message in [
            [], [1], [9, 9, 9, 9, 6, 0, 1, 0], [3, 0, 0, 0, 3, 0, 1, 0], [0, 0, 0, 0, 0xff, 0xff, 1, 0],
            [UInt8](repeating: 0xff, count: 200),
        ] as [[UInt8]] {
            say(driver, &said, message)
        }
        #expect(driver.used(3) == said && !driver.needsReset)
        for _ in 0..<1000 { say(driver, &said, [0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0]) }
        #expect(driver.used(3) == said & 0xffff, "what is not heard is not kept")
        var heard: UInt64 = 0
        var count = 0
        while !message(driver, &heard).isEmpty, count < 10 { count += 1 }
        #expect(count == 3)
    }

    /// 5.3.5: by its configuration where there is one port.
    @Test func guestIsToldOfTheWindow() throws {
        final class Window: ConsoleProvider {
            let client = Mutex<ConsoleClient?>(nil)
            func open(_ client: ConsoleClient) { self.client.withLock { $0 = client } }
            func write(_ client: ConsoleClient, _ bytes: UnsafeRawBufferPointer) {}
            func ready(_ client: ConsoleClient, room: UInt64) {}
            func close(_ client: ConsoleClient) {}
            func tellSize(_ client: ConsoleClient) { client.sized(columns: 100, rows: 30) }
        }
        let window = Window()
        let machine = try virtioMachine(
            "virtio-console, stream: tty", backends: "backends: [{ id: tty, plugin: terminal }]", console: window)
        defer { machine.tearDown() }
        machine.adoptThread()
        defer { machine.releaseThread() }
        try machine.startInstances()
        for _ in 0..<8 { machine.runPosted() }
        let driver = VirtioDriver(machine: machine)
        let isUp = driver.bringUp(queues: [0, 1], features: 1 << 32 | 1)
        #expect(isUp && driver.config(0) == 100 | 30 << 16 && driver.register(0x60) == 0)
        try #require(window.client.withLock { $0 }).sized(columns: 200, rows: 50)
        for _ in 0..<8 { machine.runPosted() }
        #expect(driver.config(0) == 200 | 50 << 16 && driver.register(0x60) == 2)
    }
}
