import CLZMA
import CZSTD
import CZlib

/// Compressors: those of the libraries themselves.
public enum Pack {
    public static func xz(_ bytes: [UInt8], preset: UInt32 = 6) -> [UInt8] {
        var packed = [UInt8](repeating: 0, count: lzma_stream_buffer_bound(bytes.count))
        var count = 0
        let result = lzma_easy_buffer_encode(
            preset, LZMA_CHECK_CRC32, nil, bytes, bytes.count, &packed, &count, packed.count)
        precondition(result == LZMA_OK)
        return Array(packed[..<count])
    }

    public static func lzma(_ bytes: [UInt8]) -> [UInt8] {
        var options = lzma_options_lzma()
        precondition(lzma_lzma_preset(&options, 6) == 0)
        var stream = lzma_stream()
        precondition(lzma_alone_encoder(&stream, &options) == LZMA_OK)
        defer { lzma_end(&stream) }
        var packed = [UInt8](repeating: 0, count: bytes.count + 4096)
        let capacity = packed.count
        let count = bytes.withUnsafeBufferPointer { input in
            packed.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = input.count
                stream.next_out = output.baseAddress
                stream.avail_out = capacity
                precondition(lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END)
                return capacity - stream.avail_out
            }
        }
        return Array(packed[..<count])
    }

    public static func zstd(_ bytes: [UInt8], level: Int32 = 19) -> [UInt8] {
        var packed = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        let count = ZSTD_compress(&packed, packed.count, bytes, bytes.count, level)
        precondition(ZSTD_isError(count) == 0)
        return Array(packed[..<count])
    }

    public static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        let opened = deflateInit2_(
            &stream, 9, Z_DEFLATED, 16 + 15, 9, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(opened == Z_OK)
        defer { deflateEnd(&stream) }
        var packed = [UInt8](repeating: 0, count: bytes.count + 4096)
        let capacity = packed.count
        let count = bytes.withUnsafeBufferPointer { input in
            packed.withUnsafeMutableBufferPointer { output in
                stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(capacity)
                precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END)
                return capacity - Int(stream.avail_out)
            }
        }
        return Array(packed[..<count])
    }

    /// A payload as the kernel's build makes it: with the unpacked size behind it. gzip has it there anyway.
    public static func payload(_ bytes: [UInt8], _ pack: ([UInt8]) -> [UInt8], withSize: Bool = true) -> [UInt8] {
        let size = UInt32(bytes.count)
        return pack(bytes) + (withSize ? (0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) } : [])
    }

    /// Megabytes that compress well and have no period.
    public static func sample(_ count: Int) -> [UInt8] {
        var numbers = Sequence64(0x5EED)
        var bytes: [UInt8] = []
        while bytes.count < count {
            let value = numbers.next()
            bytes.append(contentsOf: repeatElement(UInt8(truncatingIfNeeded: value), count: Int((value >> 8) % 40) + 1))
        }
        return Array(bytes[..<count])
    }
}
