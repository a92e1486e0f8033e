// PNG, second edition (ISO/IEC 15948): one header, one piece of data, one end. zlib compresses and sums.
// SAFETY for this file: buffers as large as zlib's own bound says.

import CZlib

extension Raster {
    /// Eight bits a colour, without filters: screens are areas of one colour.
    public var png: [UInt8] {
        var header = Self.bigEndian(UInt32(width)) + Self.bigEndian(UInt32(height))
        header += [8, 2, 0, 0, 0]  // 8 bits, RGB, deflate, adaptive filters, no interlace
        return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + Self.chunk("IHDR", header)
            + Self.chunk("IDAT", Self.compressed(filtered)) + Self.chunk("IEND", [])
    }

    /// Each line with its filter, 0: none, before it.
    private var filtered: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + height)
        for line in 0..<height {
            result.append(0)
            result += bytes[line * width * 3..<(line + 1) * width * 3]
        }
        return result
    }

    private static func compressed(_ bytes: [UInt8]) -> [UInt8] {
        var count = compressBound(UInt(bytes.count))
        var result = [UInt8](repeating: 0, count: Int(count))
        // Fails only for want of memory or room, and there is room.
        guard compress2(&result, &count, bytes, UInt(bytes.count), 6) == Z_OK else { return [] }
        result.removeLast(result.count - Int(count))
        return result
    }

    private static func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(type.utf8) + data
        return bigEndian(UInt32(data.count)) + body
            + bigEndian(UInt32(truncatingIfNeeded: crc32(0, body, UInt32(body.count))))
    }

    private static func bigEndian(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
}
