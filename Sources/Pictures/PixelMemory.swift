// SAFETY for this file: `bytes` has as many lines as the picture, and `PixelPlace` has looked where these are.

public import CBackplane

/// A surface's pixels as they were last seen: tells which lines are not as they were. A device need not know what its guest has drawn.
public struct PixelMemory {
    private var width = 0
    private var format: PixelFormat?
    private var bytes: [UInt8] = []
    private var palette: [UInt8] = []

    public init() {}

    /// Those of `lines` that are not as they were, with what lies between them; they are known from now on.
    /// nil: as `PixelCopy` has it.
    public mutating func changes(
        of surface: bp_display_surface, _ region: UnsafeRawBufferPointer, palette: UnsafeRawBufferPointer,
        within lines: Range<Int>
    ) -> Range<Int>? {
        guard let place = PixelPlace(surface, region, palette: palette) else { return nil }
        let all = 0..<place.height
        guard place.width == width, place.format == format, bytes.count == place.height * place.length,
            self.palette.elementsEqual(place.palette)
        else {
            (width, format, self.palette) = (place.width, place.format, Array(place.palette))
            bytes = [UInt8](repeating: 0, count: place.height * place.length)
            keep(place, all)
            return all
        }
        let changed = differing(place, lines.clamped(to: all))
        keep(place, changed)
        return changed
    }

    private func differing(_ place: PixelPlace, _ lines: Range<Int>) -> Range<Int> {
        bytes.withUnsafeBytes { known in
            let isOther = { (y: Int) in
                !UnsafeRawBufferPointer(rebasing: known[(y * place.length)...].prefix(place.length))
                    .hasSameBytes(as: place.line(y))
            }
            guard let first = lines.first(where: isOther), let last = lines.last(where: isOther) else {
                return lines.lowerBound..<lines.lowerBound
            }
            return first..<last + 1
        }
    }

    private mutating func keep(_ place: PixelPlace, _ lines: Range<Int>) {
        bytes.withUnsafeMutableBytes { known in
            for y in lines {
                UnsafeMutableRawBufferPointer(rebasing: known[(y * place.length)...]).copyMemory(from: place.line(y))
            }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Of the same number of bytes: eight at a time, whatever lies behind them.
    fileprivate func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
        var (difference, place): (UInt64, Int) = (0, 0)
        while place + 8 <= count {
            difference |=
                loadUnaligned(fromByteOffset: place, as: UInt64.self)
                ^ other.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            place += 8
        }
        while place < count {
            difference |= UInt64(self[place] ^ other[place])
            place += 1
        }
        return difference == 0
    }
}
