import CZlib

/// A deflate stream that goes on from one piece to the next, each of which ends at a byte that the other end can decode up to.
final class Deflate {
    // SAFETY: made in init, given back in deinit; zlib keeps its address.
    private let stream: UnsafeMutablePointer<z_stream>
    private static let chunk = 64 << 10

    /// nil: no memory.
    init?() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // The largest table, for pictures have few repetitions: a third less time, for 140 KiB and pieces that are longer by a fiftieth.
        let (windowBits, memoryLevel): (Int32, Int32) = (15, 9)
        let result = deflateInit2_(
            stream, 1, Z_DEFLATED, windowBits, memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        guard result == Z_OK else {
            stream.deallocate()
            return nil
        }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    func append(_ plain: [UInt8], to out: inout [UInt8]) {
        var plain = plain
        plain.withUnsafeMutableBufferPointer { input in
            stream.pointee.next_in = input.baseAddress
            stream.pointee.avail_in = UInt32(input.count)
            var isFull = true
            while isFull {
                out += [UInt8](unsafeUninitializedCapacity: Self.chunk) { piece, count in
                    stream.pointee.next_out = piece.baseAddress
                    stream.pointee.avail_out = UInt32(piece.count)
                    // Z_BUF_ERROR: nothing is left, which is no error.
                    let result = deflate(stream, Z_SYNC_FLUSH)
                    count = piece.count - Int(stream.pointee.avail_out)
                    isFull = stream.pointee.avail_out == 0 && result == Z_OK
                }
            }
            stream.pointee.next_in = nil
        }
    }
}
