import RFBClient
import SplitMix
import Testing

@testable import RemoteDisplay

/// Areas of one colour, of two, of four, of sixteen, of runs, of lines and of noise, each in tiles of its own.
private func motley(_ x: Int, _ y: Int) -> UInt32 {
    switch x / 64 {
    case 0: 0x12_3456
    case 1: (x + y) % 2 == 0 ? 0xFF_FFFF : 0x00_0000
    case 2: [0xFF_0000, 0x00_FF00, 0x00_00FF, 0x80_8080][(x * y) % 4]
    case 3: UInt32(x * 7 + y) % 16 * 0x11_0907
    case 4: UInt32(y) * 0x03_0501
    case 5: UInt32((y * 64 + x % 64) / 300) * 0x05_0302
    default: UInt32(truncatingIfNeeded: (x * 2_654_435 + y * 40_503) ^ x * y * 1_299_709) & 0xFF_FFFF
    }
}
private let (motleyWidth, motleyHeight) = (64 * 6 + 37, 150)

@Suite struct SessionTests {
    @Test(arguments: [3, 7, 8]) func everyVersionIsSpoken(_ minor: Int) throws {
        var pair = Pair(minor: minor, shown(80, 60) { _, _ in 0xABCDEF })
        #expect(try pair.pump(piece: 1) == nil)
        #expect(pair.client.isReady && pair.client.name == "test")
        #expect((pair.client.width, pair.client.height) == (80, 60))
        try pair.look()
        #expect(pair.isShown(80, 60) { _, _ in 0xABCDEF })
        #expect(pair.events == [])
    }

    @Test func whoDoesNotShareWantsToBeAlone() throws {
        var pair = Pair(isShared: false, .dark)
        try pair.pump()
        #expect(pair.events == [.exclusive])
    }

    @Test(arguments: [
        RFBClient.Format(),
        .init(bits: 32, depth: 24, isBigEndian: true, max: (255, 255, 255), shift: (0, 8, 16)),
        .init(bits: 32, depth: 24, isBigEndian: false, max: (255, 255, 255), shift: (8, 16, 24)),
        .init(bits: 32, depth: 24, isBigEndian: true, max: (255, 255, 255), shift: (24, 16, 8)),
        .init(bits: 32, depth: 30, isBigEndian: false, max: (1023, 1023, 1023), shift: (20, 10, 0)),
        .init(bits: 16, depth: 16, isBigEndian: false, max: (31, 63, 31), shift: (11, 5, 0)),
        .init(bits: 16, depth: 15, isBigEndian: true, max: (31, 31, 31), shift: (0, 5, 10)),
        .init(bits: 8, depth: 8, isBigEndian: false, max: (7, 7, 3), shift: (0, 3, 6)),
    ]) func everyPixelComesInEveryFormatRawByZRLEAndByTight(_ format: RFBClient.Format) throws {
        var pair = Pair(shown(motleyWidth, motleyHeight, motley))
        try pair.pump()
        pair.client.set(format)
        pair.client.toSend += RFBClient.encodings(0, 16)
        try pair.look()
        #expect(Set(pair.client.rectangles.map(\.encoding)) == [0])
        #expect(pair.isShown(motleyWidth, motleyHeight, motley))
        pair.client.toSend += RFBClient.encodings(16, 0)
        try pair.look()
        // Once more in the same deflate stream, from nothing.
        pair.show(shown(motleyWidth, motleyHeight) { motley($0, $1) ^ 0xFF_FFFF })
        try pair.look(isIncremental: true)
        #expect(pair.isShown(motleyWidth, motleyHeight) { motley($0, $1) ^ 0xFF_FFFF })
        #expect(pair.client.rectangles.last?.encoding == 16)
        if format.bits == 32 { #expect(pair.client.subencodings.isSuperset(of: [0, 1, 2, 4, 16, 128])) }
        pair.client.toSend += RFBClient.encodings(5, 7, 16)
        try pair.look()
        pair.show(shown(motleyWidth, motleyHeight, motley))
        try pair.look(isIncremental: true)
        #expect(pair.isShown(motleyWidth, motleyHeight, motley))
        #expect(pair.client.rectangles.last?.encoding == 7)
        // Tiles of few colours, some of them by themselves.
        for (x, color) in [(3, 0x12_3457), (64 * 6, 0), (64 * 2 + 1, 0xFF_00FF)] as [(Int, UInt32)] {
            func spotted(_ column: Int, _ line: Int) -> UInt32 {
                column == x && line == 149 ? color : motley(column, line)
            }
            pair.show(shown(motleyWidth, motleyHeight, spotted))
            try pair.look(isIncremental: true)
            #expect(pair.isShown(motleyWidth, motleyHeight, spotted))
            pair.show(shown(motleyWidth, motleyHeight, motley))
            try pair.look(isIncremental: true)
        }
        #expect(pair.client.tightKinds == [0, 1, 8])
    }

    /// noVNC takes it for opacity.
    @Test func theFourthByteOfAPixelIsFull() throws {
        var pair = Pair(shown(10, 10) { _, _ in 0x12_3456 })
        try pair.pump()
        let request = pair.client.request(isIncremental: false)
        _ = request.withUnsafeBytes { pair.session.receive($0) }
        pair.session.update(from: pair.image)
        #expect(pair.session.withOutput { Array($0[16..<24]) } == [0x56, 0x34, 0x12, 0xFF, 0x56, 0x34, 0x12, 0xFF])
    }

    @Test func onlyTilesThatHaveChangedAreSentAgain() throws {
        var pair = Pair(shown(300, 200) { _, _ in 0 })
        try pair.pump()
        try pair.look()
        let before = pair.client.rectangles.count
        try pair.look(isIncremental: true)
        #expect(pair.session.waitsForPicture && pair.client.rectangles.count == before)
        // Two pixels in tile 1, 0 and one in tile 4, 3, which is 44 by 8.
        func spots(_ x: Int, _ y: Int) -> UInt32 { [[70, 3], [127, 63], [299, 199]].contains([x, y]) ? 0xFF : 0 }
        pair.show(shown(300, 200, spots))
        try pair.pump()
        #expect(
            Array(pair.client.rectangles[before...]) == [
                .init(x: 64, y: 0, width: 64, height: 64, encoding: 0),
                .init(x: 256, y: 192, width: 44, height: 8, encoding: 0),
            ])
        #expect(pair.isShown(300, 200, spots))
    }

    @Test func aResizeIsToldAndTheWholePictureFollows() throws {
        var pair = Pair(shown(100, 50) { x, _ in UInt32(x) })
        try pair.pump()
        pair.client.toSend += RFBClient.encodings(16, -223)
        try pair.look()
        pair.show(shown(130, 90) { x, y in UInt32(x * y) })
        try pair.look(isIncremental: true)
        #expect((pair.client.width, pair.client.height) == (130, 90))
        try pair.look(isIncremental: true)
        #expect(pair.isShown(130, 90) { x, y in UInt32(x * y) })
    }

    @Test func whoKnowsNoResizeSeesWhatFits() throws {
        var pair = Pair(shown(100, 50) { x, _ in UInt32(x) })
        try pair.pump()
        try pair.look()
        pair.show(shown(70, 90) { x, y in UInt32(x + y) })
        try pair.look(isIncremental: true)
        #expect((pair.client.width, pair.client.height) == (100, 50))
        #expect(pair.isShown(70, 90) { x, y in UInt32(x + y) })
    }

    @Test func aPictureWithoutEndComesInPieces() throws {
        let (width, height) = (1800, 1300)
        var pair = Pair(shown(width, height) { x, y in UInt32(x ^ y) })
        try pair.pump()
        var looks = 0
        repeat {
            pair.client.toSend += pair.client.request(isIncremental: looks > 0)
            while !pair.client.toSend.isEmpty {
                _ = pair.client.toSend.withUnsafeBytes { pair.session.receive($0) }
                pair.client.toSend = []
            }
            pair.session.update(from: pair.image)
            let output = pair.session.withOutput { Array($0) }
            #expect(output.count < 4 * 2_400_000)
            pair.session.consume(output.count)
            try pair.client.receive(output)
            looks += 1
        } while !pair.session.waitsForPicture && looks < 10
        #expect(looks == 3, "2.3 million pixels, 2.1 million at a time, and one request that waits")
        #expect(pair.client.pixels.allSatisfy { !$0.isEmpty })
    }

    /// A client that takes nothing gets nothing more.
    @Test func nothingIsAddedWhileBytesWait() throws {
        var pair = Pair(shown(640, 480) { _, _ in 1 })
        try pair.pump()
        let request = pair.client.request(isIncremental: false)
        _ = request.withUnsafeBytes { pair.session.receive($0) }
        pair.session.update(from: pair.image)
        let waiting = pair.session.withOutput { $0.count }
        #expect(waiting > 640 * 480 * 4)
        for _ in 0..<100 {
            pair.show(shown(640, 480) { _, _ in 2 })
            _ = request.withUnsafeBytes { pair.session.receive($0) }
            pair.session.update(from: pair.image)
            #expect(!pair.session.waitsForPicture)
        }
        #expect(pair.session.withOutput { $0.count } == waiting)
    }

    /// What they ask for together is answered once.
    @Test func aMillionRectanglesAreOneAnswer() throws {
        var pair = Pair(shown(640, 480) { x, y in UInt32(x &* y) })
        try pair.pump()
        var bytes: [UInt8] = []
        for index in 0..<1_000_000 {
            let (x, y) = (index % 640, index / 640 % 480)
            bytes += [3, UInt8(index & 1), UInt8(x >> 8), UInt8(x & 255), UInt8(y >> 8), UInt8(y & 255), 0, 1, 0, 1]
        }
        for start in stride(from: 0, to: bytes.count, by: 1 << 14) {
            let piece = Array(bytes[start..<min(start + 1 << 14, bytes.count)])
            #expect(piece.withUnsafeBytes { pair.session.receive($0) }.refusal == nil)
        }
        pair.session.update(from: pair.image)
        let output = pair.session.withOutput { Array($0) }
        #expect(output.count <= 640 * 480 * 4 + 80 * 12 + 4)
        pair.session.consume(output.count)
        try pair.client.receive(output)
        #expect(pair.client.updates == 1 && pair.isShown(640, 480) { x, y in UInt32(x &* y) })
        pair.session.update(from: pair.image)
        #expect(pair.session.withOutput { $0.isEmpty })
    }

    // MARK: Keys

    private func events(_ bytes: [UInt8]...) throws -> [Session.Event] {
        var pair = Pair(.dark)
        try pair.pump()
        pair.client.toSend += bytes.joined()
        #expect(try pair.pump(piece: 5) == nil)
        return pair.events
    }

    @Test func scanCodesAreEvdevCodes() throws {
        // Keysym 0 as of a key without one; A is 30, AltGr 100, Pause 119 by input-event-codes.h.
        let codes: [(UInt32, UInt32)] = [(0x1E, 30), (0xB8, 100), (0xC6, 119), (0x58, 88), (0x9D, 97)]
        for (scanCode, code) in codes {
            #expect(
                try events(
                    RFBClient.key(0x61, scanCode: scanCode, isDown: true),
                    RFBClient.key(0x61, scanCode: scanCode, isDown: false))
                    == [
                        .keyDown(name: 1 << 32 | UInt64(scanCode), codes: [code]),
                        .keyUp(name: 1 << 32 | UInt64(scanCode)),
                    ])
        }
    }

    @Test func keysymsAreKeysOfTheUSA() throws {
        for (keysym, code) in [(0x61, 30), (0xFF0D, 28), (0xFFC9, 88), (0xFFBE, 59), (0xFFFF, 111), (0x20, 57)] {
            #expect(
                try events(RFBClient.key(UInt32(keysym), isDown: true))
                    == [.keyDown(name: UInt64(keysym), codes: [UInt32(code)])])
        }
        #expect(try events(RFBClient.key(0x1234_5678, isDown: true)) == [])
    }

    @Test func aCapitalLetterBringsItsShiftWhereNoneIsHeld() throws {
        #expect(try events(RFBClient.key(0x41, isDown: true)) == [.keyDown(name: 0x41, codes: [42, 30])])
        #expect(
            try events(RFBClient.key(0xFFE2, isDown: true), RFBClient.key(0x41, isDown: true))
                == [.keyDown(name: 0xFFE2, codes: [54]), .keyDown(name: 0x41, codes: [30])])
    }

    // MARK: Bad input

    @Test func whatWasNotOfferedEndsTheConnection() throws {
        let broken: [[UInt8]] = [
            [1], [7], [150, 0], [248], [251], [255, 1, 0, 2],
            [2, 0, 4, 1],
            [6, 0, 0, 0, 0x00, 0x10, 0x00, 0x01], [6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFC],
            [0, 0, 0, 0, 8, 8, 0, 0, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0],  // a colour map
            [0, 0, 0, 0, 24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0],  // 24 bits
            [0, 0, 0, 0, 32, 24, 0, 1, 0, 254, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0],  // no power of two less one
            [0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 25, 8, 0, 0, 0, 0],  // bits beyond the pixel
            [0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 255, 8, 0, 0, 0, 0],
            [0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 9, 8, 0, 0, 0, 0],  // one bit of two colours
            [0, 0, 0, 0, 8, 24, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0],  // deeper than it is wide
        ]
        for bytes in broken {
            var pair = Pair(.dark)
            try pair.pump()
            pair.client.toSend += bytes
            #expect(try pair.pump() != nil, "\(bytes)")
        }
    }

    @Test func whoDoesNotSpeakRFBIsNotWaitedFor() {
        for text in ["GET / HTTP/1.1\r\n", "P", "RFB 002.000\n", "RFB 003.-08\n", "RFB 003.008 ", "RFB 003.002\n"] {
            var session = Session(name: "")
            let result = Array(text.utf8).withUnsafeBytes { session.receive($0) }
            #expect(result.refusal != nil, "\(text)")
        }
    }

    @Test func aTextIsReadAndDropped() throws {
        let text = [6, 0, 0, 0, 0, 0, 0x27, 0x10] + [UInt8](repeating: 4, count: 10_000)
        #expect(
            try events(text, RFBClient.key(0x61, isDown: true)) == [.keyDown(name: 0x61, codes: [30])])
    }

    @Test func garbageNeverHarms() throws {
        var random = SplitMix64(seed: 14)
        for _ in 0..<300 {
            var pair = Pair(shown(100, 100) { x, y in UInt32(x * y) })
            try pair.pump()
            var refusal: Session.Refusal?
            for _ in 0..<30 where refusal == nil {
                let types: [UInt8] = [0, 2, 3, 3, 4, 5, 6, 255, .random(in: 0...255, using: &random)]
                var bytes = (0..<Int.random(in: 1...24, using: &random)).map { _ in
                    Bool.random(using: &random) ? UInt8.random(in: 0...255, using: &random) : 0
                }
                bytes[0] = types.randomElement(using: &random) ?? 0
                refusal = bytes.withUnsafeBytes { pair.session.receive($0) }.refusal
                pair.session.update(from: pair.image)
                let count = pair.session.withOutput { $0.count }
                #expect(count < 1 << 16)
                pair.session.consume(Bool.random(using: &random) ? count : count / 2)
            }
        }
    }
}
