import CZlib

/// zlib's other direction, over the whole of a connection.
final class Inflate {
    // SAFETY: made in init, given back in deinit; zlib keeps its address.
    private let stream: UnsafeMutablePointer<z_stream> = .allocate(capacity: 1)

    init() {
        stream.initialize(to: z_stream())
        inflateInit_(stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// All that the piece holds; nil: it is broken.
    func unpack(_ bytes: [UInt8]) -> [UInt8]? {
        var (input, result): ([UInt8], [UInt8]) = (bytes, [])
        let isWhole = input.withUnsafeMutableBufferPointer { input in
            stream.pointee.next_in = input.baseAddress
            stream.pointee.avail_in = UInt32(input.count)
            while true {
                var code = Z_OK
                let piece = [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
                    stream.pointee.next_out = buffer.baseAddress
                    stream.pointee.avail_out = UInt32(buffer.count)
                    code = inflate(stream, Z_SYNC_FLUSH)
                    count = buffer.count - Int(stream.pointee.avail_out)
                }
                result += piece
                if code != Z_OK { return code == Z_BUF_ERROR }
                if stream.pointee.avail_out > 0 { return true }
            }
        }
        return isWhole ? result : nil
    }
}
