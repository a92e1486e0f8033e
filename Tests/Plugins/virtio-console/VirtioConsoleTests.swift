import Testing
import Virtio
import VirtioConsole

/// Virtio 1.2, 5.3.
@Suite struct VirtioConsoleTests {
    private static let multiport = VirtioFeatures(rawValue: 2)

    private func message(_ port: UInt32, _ event: UInt8, _ value: UInt8) -> [UInt8] {
        let number = (0..<4).map { UInt8(truncatingIfNeeded: port >> UInt32($0 * 8)) }
        return number + [event, 0, value, 0]
    }

    private func told(_ console: inout VirtioConsole) -> [[UInt8]] {
        var messages: [[UInt8]] = []
        while let message = console.nextMessage {
            messages.append(message)
            console.messageSent()
        }
        return messages
    }

    @Test func configurationHasSizeAndNumberOfPorts() {
        var alone = VirtioConsole(names: [])
        #expect(alone.readConfig(4, width: 4) == 1 && alone.readConfig(0, width: 4) == 0)
        #expect(alone.identity.type == 3 && alone.identity.queues == 2 && alone.identity.features.rawValue & 3 == 1)
        let hasChanged = alone.resize(columns: 80, rows: 25)
        let hasChangedAgain = alone.resize(columns: 80, rows: 25)
        #expect(hasChanged && !hasChangedAgain && alone.nextMessage == nil)
        #expect(alone.readConfig(0, width: 2) == 80 && alone.readConfig(2, width: 2) == 25)
        let several = VirtioConsole(names: ["a", "b"])
        #expect(several.readConfig(4, width: 4) == 3 && several.readConfig(8, width: 4) == 0)
        #expect(several.identity.queues == 8 && several.identity.features.rawValue & 3 == 3)
        #expect(VirtioConsole(names: [String](repeating: "x", count: 99)).identity.queues == 34)
    }

    @Test func emergencyWriteIsACharacter() {
        #expect(VirtioConsole.emergencyCharacter(8, 0x141) == 0x41)
        #expect(VirtioConsole.emergencyCharacter(4, 0x41) == nil)
    }

    /// 5.3.2
    @Test func queuesBelongToPortsInPairs() {
        let console = VirtioConsole(names: ["a", "b"])
        let all: [VirtioConsole.Queue?] = [
            .receive(port: 0), .transmit(port: 0), .controlReceive, .controlTransmit, .receive(port: 1),
            .transmit(port: 1), .receive(port: 2), .transmit(port: 2), nil,
        ]
        for (number, expected) in all.enumerated() {
            #expect(console.queue(number, Self.multiport) == expected)
            #expect(console.queue(number, []) == (number < 2 ? expected : nil))
        }
        #expect(VirtioConsole.receiveQueue(of: 0) == 0 && VirtioConsole.transmitQueue(of: 2) == 7)
    }

    @Test func driverLearnsOfPortsAsItAsks() {
        var console = VirtioConsole(names: ["org.agent"])
        _ = console.resize(columns: 80, rows: 25)
        console.connect(1, true)
        #expect(console.nextMessage == nil)
        _ = console.receive(message(0xFFFF_FFFF, 0, 1))
        let added = told(&console)
        #expect(added == [message(0, 1, 1), message(1, 1, 1)])
        _ = console.receive(message(0, 3, 1))
        let ofConsole = [message(0, 4, 1), message(0, 5, 0) + [80, 0, 25, 0], message(0, 6, 0)]
        let first = told(&console)
        #expect(first == ofConsole)
        _ = console.receive(message(1, 3, 1))
        let name = message(1, 7, 1) + Array("org.agent".utf8) + [0]
        let second = told(&console)
        #expect(second == [name, message(1, 6, 1)])
        let opened = console.receive(message(1, 6, 1))
        let again = console.receive(message(1, 6, 1))
        #expect(opened == 1 && again == nil && console.ports[1].isOpen)
        console.connect(1, false)
        let closed = told(&console)
        #expect(closed == [message(1, 6, 0)])
        console.reset()
        #expect(!console.ports[1].isOpen && console.nextMessage == nil && console.columns == 80)
    }

    @Test func messagesWithoutSenseChangeNothing() {
        var console = VirtioConsole(names: ["a"])
        let before = console.ports
        for bytes in [
            [], [0, 0, 0, 0, 0, 0, 1], message(7, 3, 1), message(0xFFFF_FFFF, 6, 1), message(1, 6, 1),
            message(0, 99, 1),
            message(0, 0, 0), message(1, 3, 0), message(0, 7, 1),
        ] as [[UInt8]] {
            let opened = console.receive(bytes)
            #expect(opened == nil && console.ports == before && console.nextMessage == nil, "\(bytes)")
        }
    }

    @Test func statesOfPortsAreOneByteEach() {
        for bits in 0..<256 as Range<Int> {
            for port in 0...1 {
                guard let state = VirtioConsole.Port(bits: UInt8(bits), port: port) else {
                    #expect(port == 0 ? bits & 8 != 0 : bits & 6 != 0)
                    continue
                }
                #expect(Int(state.bits) == bits)
            }
        }
    }
}
