import Testing

@testable import VGA

/// The register values by mode of IBM's BIOS ("Video Subsystem").
@Suite struct GraphicsTests {
    private static let sixteen: [UInt8] = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x01, 0x00,
        0x0F,
        0x00, 0x00,
    ]

    /// 640 by 480 in 16 colours.
    private func mode12() -> Bench {
        var bench = Bench()
        bench.program(
            misc: 0xE3, sequencer: [0x03, 0x01, 0x0F, 0x00, 0x06],
            crtc: [
                0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xEA,
                0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF,
            ], graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0F, 0xFF], attribute: Self.sixteen)
        return bench
    }

    /// 320 by 200 in 256 colours.
    private func mode13() -> Bench {
        var bench = Bench()
        bench.program(
            misc: 0x63, sequencer: [0x03, 0x01, 0x0F, 0x00, 0x0E],
            crtc: [
                0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9C,
                0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF,
            ], graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0F, 0xFF],
            attribute: Array(0...15) + [0x41, 0x00, 0x0F, 0x00, 0x00])
        return bench
    }

    /// 320 by 200 in 4 colours, as a CGA has them.
    private func mode4() -> Bench {
        var bench = Bench()
        bench.program(
            misc: 0x63, sequencer: [0x03, 0x09, 0x03, 0x00, 0x02],
            crtc: [
                0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9C,
                0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF,
            ], graphics: [0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0F, 0x00, 0xFF],
            attribute: [0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]
                + [0x01, 0x00, 0x03, 0x00, 0x00])
        return bench
    }

    private func line(_ bench: Bench, _ line: Int) throws -> [UInt8] {
        let geometry = try #require(bench.chip.graphicsGeometry)
        var pixels = [UInt8](repeating: 0xEE, count: geometry.width)
        bench.chip.graphicsLine(line, geometry, of: bench.memory.span) { pixels[$0] = $1 }
        return pixels
    }

    private func shape(_ bench: Bench) -> [Int] {
        bench.chip.graphicsGeometry.map { [$0.width, $0.height] } ?? []
    }

    @Test func theModesHaveTheirShapes() {
        #expect(shape(mode12()) == [640, 480])
        #expect(shape(mode13()) == [320, 200])
        #expect(shape(mode4()) == [320, 200])
        #expect(shape(Bench.text()) == [])
        #expect(shape(Bench()) == [])
    }

    @Test func aPixelOf16ColoursTakesABitOfEachPlane() throws {
        var bench = mode12()
        // Set/reset 9 for the third pixel from the left of the second line's second byte.
        bench.set(0x3CE, 0, 9)
        bench.set(0x3CE, 1, 0x0F)
        bench.set(0x3CE, 8, 0x20)
        bench.poke(0xA0000 + 81, 0)
        let pixels = try line(bench, 1)
        #expect(pixels[10] == 9)
        #expect(pixels.filter { $0 != 0 }.count == 1)
        #expect(try line(bench, 0).allSatisfy { $0 == 0 })
        // The palette leads to the DAC: attribute 9 is entry 0x39.
        bench.out(0x3C8, 0x39)
        for part in [0x3F, 0x00, 0x15] as [UInt8] { bench.out(0x3C9, part) }
        #expect(bench.chip.graphicsPalette[9] == 0xFF0055)
    }

    @Test func a256ColourPictureIsAsItsBytes() throws {
        var bench = mode13()
        for (place, value) in [(0, 1), (3, 2), (319, 3), (320, 4), (63999, 5)] as [(UInt32, UInt8)] {
            bench.poke(0xA0000 + place, value)
        }
        let first = try line(bench, 0)
        #expect((first[0], first[1], first[3], first[319]) == (1, 0, 2, 3))
        #expect(try line(bench, 1)[0] == 4)
        #expect(try line(bench, 199)[319] == 5)
    }

    /// Odd lines are 8 KiB further; a byte has four pixels.
    @Test func aCGAsPictureIsInterleaved() throws {
        var bench = mode4()
        bench.poke(0xB8000, 0b00_01_10_11)
        bench.poke(0xB8001, 0b11_00_00_00)
        bench.poke(0xBA000 + 80, 0b10_00_00_00)
        #expect(try line(bench, 0).prefix(6) == [0, 1, 2, 3, 3, 0])
        #expect(try line(bench, 1).prefix(2) == [0, 0])
        #expect(try line(bench, 3).prefix(2) == [2, 0])
    }

    @Test func noRegisterMakesALineReadBeyondTheMemory() throws {
        var bench = mode12()
        var seed: UInt64 = 1
        func next() -> UInt8 {
            seed = seed &* 6364136223846793005 &+ 1442695040888963407
            return UInt8(truncatingIfNeeded: seed >> 33)
        }
        for _ in 0..<2000 {
            switch next() & 3 {
            case 0: bench.set(0x3D4, next() % 25, next())
            case 1: bench.set(0x3CE, next() % 9, next() | (next() & 1))
            case 2: bench.set(0x3C4, next() % 5, next())
            default: bench.setAttribute(next() % 21, next())
            }
            bench.set(0x3D4, 0x17, next() | 0x80)
            guard let geometry = bench.chip.graphicsGeometry else { continue }
            #expect((1...2048).contains(geometry.width) && (1...1024).contains(geometry.height))
            var count = 0
            for line in [0, geometry.height / 2, geometry.height - 1] {
                bench.chip.graphicsLine(line, geometry, of: bench.memory.span) { column, _ in
                    count += 1
                    if column >= geometry.width { count = .min }
                }
            }
            #expect(count == geometry.width * 3)
        }
    }
}
