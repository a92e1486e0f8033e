@testable import DMA8237
import SplitMix
import Testing

/// The PC/AT's two controllers: ports and pages as the IBM AT's technical reference has them.
@Suite struct DMAPairTests {
    private static let pages: [(channel: Int, port: UInt16)] = [
        (0, 0x87), (1, 0x83), (2, 0x81), (3, 0x82), (5, 0x8B), (6, 0x89), (7, 0x8A),
    ]

    /// Programs a channel as firmware and drivers do, and opens it.
    private func program(
        _ pair: inout DMAPair, _ channel: Int, mode: UInt8, page: UInt8, address: UInt16, count: UInt16
    ) {
        let (base, step): (UInt16, UInt16) = channel < 4 ? (0, 1) : (0xC0, 2)
        let index = UInt16(channel & 3)
        pair.write(port: base + 0xC * step, 0)
        pair.write(port: base + 0xB * step, mode | UInt8(index))
        for (register, word) in [(2 * index, address), (2 * index + 1, count)] {
            pair.write(port: base + register * step, UInt8(word & 0xFF))
            pair.write(port: base + register * step, UInt8(word >> 8))
        }
        if let port = Self.pages.first(where: { $0.channel == channel })?.port { pair.write(port: port, page) }
        pair.write(port: base + 0xA * step, UInt8(index))
    }

    /// As SeaBIOS and every BIOS has it: channel 4 cascades, and is open.
    private func opened() -> DMAPair {
        var pair = DMAPair()
        pair.write(port: 0xD6, 0xC0)
        pair.write(port: 0xD4, 0x00)
        return pair
    }

    @Test(arguments: pages) func eachChannelHasItsPage(channel: Int, port: UInt16) {
        var pair = opened()
        program(&pair, channel, mode: 0x44, page: 0x12, address: 0x3456, count: 0xFF)
        let movement = pair.move(channel, bytes: 4)
        #expect(movement.bytes == 4 && !movement.isTerminalCount)
        // Words: A0 is 0, A16:1 the address register, A23:17 the page without its lowest bit.
        let address: UInt32 = channel < 4 ? 0x12_3456 : 0x12_68AC
        #expect(movement.pieces == [.init(address: address, bytes: 4, descends: false)])
        pair.write(port: port, 0x13)
        #expect(
            pair.move(channel, bytes: 2).pieces.first?.address == (channel < 4 ? 0x13_345A : 0x12_68B0),
            "two words further, where units are words")
    }

    @Test func channelsOfBytesNeedTheCascade() {
        var pair = DMAPair()
        program(&pair, 2, mode: 0x44, page: 0, address: 0, count: 9)
        program(&pair, 5, mode: 0x44, page: 0, address: 0, count: 9)
        #expect(!pair.answers(2, toMemory: true) && pair.answers(5, toMemory: true))
        pair.write(port: 0xD6, 0xC0)
        #expect(!pair.answers(2, toMemory: true))
        pair.write(port: 0xD4, 0x00)
        #expect(pair.answers(2, toMemory: true))
        pair.write(port: 0xD0, 0x04)
        #expect(!pair.answers(2, toMemory: true) && !pair.answers(5, toMemory: true))
        var set = DMAPair(cascades: true)
        program(&set, 2, mode: 0x44, page: 0, address: 0, count: 9)
        #expect(set.answers(2, toMemory: true) && !set.answers(4, toMemory: true))
        set.reset(isCold: false)
        #expect(set.peek(port: 0xDE) == 0xE && set.peek(port: 0x0F) == 0xF)
    }

    @Test func directionsAreTheModes() {
        var pair = opened()
        for (mode, toMemory, fromMemory) in [
            (0x40, true, true), (0x44, true, false), (0x48, false, true), (0x4C, false, false), (0xC4, false, false),
        ] as [(UInt8, Bool, Bool)] {
            program(&pair, 3, mode: mode, page: 0, address: 0, count: 9)
            #expect(pair.answers(3, toMemory: true) == toMemory && pair.answers(3, toMemory: false) == fromMemory)
        }
    }

    @Test func aVerifyTransferCountsAndMovesNothing() {
        var pair = opened()
        program(&pair, 1, mode: 0x40, page: 0, address: 0x10, count: 9)
        let movement = pair.move(1, bytes: 100)
        #expect(movement.pieces.isEmpty && movement.bytes == 10 && movement.isTerminalCount)
        #expect(pair.peek(port: 0x08) == 0x02)
    }

    @Test func addressesWrapInTheirPage() {
        var pair = opened()
        program(&pair, 2, mode: 0x44, page: 0x05, address: 0xFFF0, count: 0x1F)
        #expect(
            pair.move(2, bytes: 64).pieces == [
                .init(address: 0x05_FFF0, bytes: 16, descends: false),
                .init(address: 0x05_0000, bytes: 16, descends: false),
            ])
        program(&pair, 6, mode: 0x64, page: 0x06, address: 1, count: 2)
        #expect(
            pair.move(6, bytes: 6).pieces == [
                .init(address: 0x06_0002, bytes: 4, descends: true),
                .init(address: 0x07_FFFE, bytes: 2, descends: true),
            ])
    }

    @Test func anOddByteOfWordsCountsAsOne() {
        var pair = opened()
        program(&pair, 7, mode: 0x44, page: 0, address: 0, count: 2)
        #expect(pair.move(7, bytes: 3).bytes == 3)
        let rest = pair.move(7, bytes: 100)
        #expect(rest.bytes == 2 && rest.isTerminalCount)
    }

    @Test func pagesThatAreNobodysAreMemory() {
        var pair = DMAPair()
        for port in UInt16(0x80)...0x8F { pair.write(port: port, UInt8(port) ^ 0x55) }
        #expect((UInt16(0x80)...0x8F).allSatisfy { pair.read(port: $0) == UInt8($0) ^ 0x55 })
        pair.reset(isCold: false)
        #expect(pair.read(port: 0x80) == 0x80 ^ 0x55)
        pair.reset(isCold: true)
        #expect(pair.read(port: 0x80) == 0)
    }

    /// A0 is not decoded by the second controller.
    @Test func eachRegisterOfTheSecondControllerIsAtTwoPorts() {
        var pair = DMAPair()
        pair.write(port: 0xDF, 0x05)
        #expect(pair.read(port: 0xDE) == 0x05 && pair.read(port: 0x0F) == 0x0F)
    }

    @Test(arguments: 0..<UInt64(4)) func randomGuestsNeverTrapAndStatesHoldAll(seed: UInt64) {
        var dice = SplitMix64(seed: seed)
        var (first, second) = (DMAPair(), DMAPair())
        let ports = Array(UInt16(0)...0x0F) + Array(0x80...0x8F) + Array(0xC0...0xDF) + [0x10, 0xFFFF]
        var differences = 0
        for step in 0..<40_000 {
            let bits = dice.next()
            let port = ports[Int(bits % UInt64(ports.count))]
            let value = UInt8(truncatingIfNeeded: bits >> 32)
            let channel = Int(bits >> 40 & 7) + (bits >> 60 == 0 ? 8 : 0)
            switch bits >> 44 & 7 {
            case 0...3:
                first.write(port: port, value)
                second.write(port: port, value)
            case 4: if first.read(port: port) != second.read(port: port) { differences += 1 }
            case 5:
                first.setRequest(channel, value & 1 != 0)
                second.setRequest(channel, value & 1 != 0)
            default:
                let bytes = Int(truncatingIfNeeded: dice.next() % 70_000)
                let (left, right) = (first.move(channel, bytes: bytes), second.move(channel, bytes: bytes))
                if left != right || left.bytes > bytes { differences += 1 }
                let sum = left.pieces.reduce(0) { $0 + $1.bytes }
                if !left.pieces.isEmpty, sum != left.bytes { differences += 1 }
                if left.pieces.contains(where: { $0.address >= 1 << 24 || $0.bytes <= 0 }) { differences += 1 }
            }
            guard step % 64 == 0 else { continue }
            second = DMAPair()
            let taken = second.restore(first.state)
            for channel in 0..<8 {
                first.setRequest(channel, false)
                second.setRequest(channel, false)
            }
            #expect(taken && second.state == first.state)
            guard differences == 0 else { break }
        }
        #expect(differences == 0)
    }
}
