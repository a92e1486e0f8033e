import CBackplane
import Pictures
import Testing

@testable import RemoteDisplay

@Suite struct ScreenImageTests {
    private func pixels(_ image: ScreenImage, _ area: PixelArea) -> [UInt32] {
        [UInt32](unsafeUninitializedCapacity: area.width * area.height) { buffer, count in
            image.read(area, into: buffer)
            count = buffer.count
        }
    }

    @Test func linesThatWereNotCopiedStayAsTheyWere() {
        var image = ScreenImage()
        #expect(image.apply(shown(70, 130) { _, y in UInt32(y) }) == .size)
        let change = image.apply(shown(70, 130, lines: 64..<66) { x, _ in UInt32(x) })
        #expect(change == .tiles([.init(column: 0, row: 1), .init(column: 1, row: 1)]))
        #expect(pixels(image, PixelArea(x: 5, y: 63, width: 1, height: 4)) == [63, 5, 5, 66])
    }

    @Test func whatLiesBesideThePictureIsDark() {
        var image = ScreenImage()
        _ = image.apply(shown(4, 2) { _, _ in 9 })
        #expect(pixels(image, PixelArea(x: 3, y: 1, width: 2, height: 2)) == [9, 0, 0, 0])
        #expect(pixels(image, PixelArea(x: 10, y: 10, width: 2, height: 1)) == [0, 0])
    }

    @Test func aDarkScreenKeepsItsSize() {
        var image = ScreenImage()
        _ = image.apply(shown(4, 2) { _, _ in 9 })
        #expect(image.apply(.dark) == .tiles([.init(column: 0, row: 0)]))
        #expect((image.width, image.height) == (4, 2))
    }

    /// Each format of plugin.h, one pixel: 5 and 6 bits are widened so that the most is 255.
    @Test func everyFormatOfADeviceIsRead() throws {
        let formats: [(Int, [UInt8], UInt32)] = [
            (BP_PIXELS_XRGB8888, [0x33, 0x22, 0x11, 0xFF], 0x11_2233),
            (BP_PIXELS_RGB888, [0x33, 0x22, 0x11], 0x11_2233),
            (BP_PIXELS_RGB565, [0x1F, 0xF8], 0xFF_00FF), (BP_PIXELS_XRGB1555, [0xE0, 0x83], 0x00_FF00),
            (BP_PIXELS_INDEXED8, [3], 0x0C_0C0C),
        ]
        let palette = (0..<256).flatMap { (index: Int) -> [UInt8] in
            let level = UInt8(truncatingIfNeeded: index * 4)
            return [level, level, level, 0]
        }
        for (format, bytes, color) in formats {
            var surface = bp_display_surface()
            (surface.format, surface.width, surface.height, surface.stride) = (UInt32(format), 1, 1, 4)
            let copy = palette.withUnsafeBytes { palette in
                bytes.withUnsafeBytes { PixelCopy(surface, $0, palette: palette) }
            }
            var image = ScreenImage()
            _ = image.apply(.pixels(try #require(copy)))
            #expect(pixels(image, PixelArea(x: 0, y: 0, width: 1, height: 1)) == [color], "\(format)")
        }
    }

    @Test func aPictureOfTooManyPixelsIsNone() {
        #expect(!ScreenImage.holds(width: 65536, height: 1) && !ScreenImage.holds(width: 1, height: 0))
        #expect(!ScreenImage.holds(width: 4097, height: 4096) && ScreenImage.holds(width: 4096, height: 4096))
    }
}

@Suite struct TileSetTests {
    @Test func neighboursAreOneRectangle() {
        var tiles = TileSet(width: 300, height: 200)
        tiles.insert(PixelArea(x: 0, y: 0, width: 300, height: 200))
        #expect(
            tiles.take(PixelArea(x: 0, y: 0, width: 300, height: 200), limit: .max) == [
                PixelArea(x: 0, y: 0, width: 300, height: 200)
            ])
        #expect(tiles.count == 0)
    }

    @Test func theLimitLeavesTheRestForLater() {
        var tiles = TileSet(width: 128, height: 256)
        let all = PixelArea(x: 0, y: 0, width: 128, height: 256)
        tiles.insert(all)
        #expect(tiles.take(all, limit: 1) == [PixelArea(x: 0, y: 0, width: 128, height: 64)])
        #expect(tiles.intersects(all) && !tiles.intersects(PixelArea(x: 0, y: 0, width: 128, height: 64)))
        #expect(
            tiles.take(PixelArea(x: 0, y: 70, width: 1, height: 1), limit: 1) == [
                PixelArea(x: 0, y: 64, width: 64, height: 64)
            ])
    }

    @Test func whatLiesOutsideIsLeftOut() {
        var tiles = TileSet(width: 10, height: 10)
        tiles.insert(ScreenImage.Position(column: 1, row: 0))
        tiles.insert(PixelArea(x: 10, y: 0, width: 5, height: 5))
        #expect(tiles.count == 0)
        #expect(TileSet(width: 0, height: 0).intersects(PixelArea(x: 0, y: 0, width: 1, height: 1)) == false)
    }
}
