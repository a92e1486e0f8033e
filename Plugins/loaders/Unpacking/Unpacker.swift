import CLZMA
import CZSTD
import CZlib
import Glibc

/// Why compressed bytes cannot be unpacked.
public struct UnpackingError: Error, Equatable, Sendable {
    public var text: String
    public init(_ text: String) { self.text = text }
}

/// Unpacks with the host's own liblzma, libzstd and zlib. The input is hostile: memory is bounded by `size`, and by what the
/// format's window may take.
public enum Unpacker {
    /// What a decoder may take for itself: the largest dictionary of `xz -9e` is 64 MiB.
    private static let decoderMemory: UInt64 = 256 << 20

    /// The first `size` bytes of the first stream in `bytes`, which has exactly so many; what follows the stream is not looked
    /// at.
    public static func unpack(
        _ bytes: ArraySlice<UInt8>, _ compression: Compression, size: Int
    ) throws(UnpackingError) -> [UInt8] {
        guard size > 0, !bytes.isEmpty else { throw UnpackingError("there is nothing to unpack") }
        guard hasRoom(for: size) else {
            throw UnpackingError("the host has no memory for the \(size) bytes that it unpacks to")
        }
        var failure: UnpackingError?
        let unpacked = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            let output = unsafe UnsafeMutableBufferPointer(rebasing: buffer[0..<size])
            do throws(UnpackingError) {
                count = try unsafe bytes.withUnsafeBufferPointer { (input) throws(UnpackingError) -> Int in
                    switch compression {
                    case .xz, .lzma: try unsafe lzma(input, output, isAlone: compression == .lzma)
                    case .zstd: try unsafe zstd(input, output)
                    case .gzip: try unsafe gzip(input, output)
                    default: throw UnpackingError("\(compression.rawValue) is not known here")
                    }
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        guard unpacked.count == size else {
            throw UnpackingError("it unpacks to \(unpacked.count) bytes, not to \(size)")
        }
        return unpacked
    }

    /// Whether the host gives so much memory now: an array that it does not give ends the process.
    private static func hasRoom(for count: Int) -> Bool {
        // SAFETY: freed at once, and not used.
        guard let memory = unsafe malloc(count + 4096) else { return false }
        unsafe free(memory)
        return true
    }

    // SAFETY: each decoder gets the bounds of both buffers, which outlive the call, and is closed before it returns.

    private static func lzma(
        _ input: UnsafeBufferPointer<UInt8>, _ output: UnsafeMutableBufferPointer<UInt8>, isAlone: Bool
    ) throws(UnpackingError) -> Int {
        var stream = unsafe lzma_stream()
        let opened =
            unsafe isAlone
            ? lzma_alone_decoder(&stream, decoderMemory) : lzma_stream_decoder(&stream, decoderMemory, 0)
        guard opened == LZMA_OK else { throw UnpackingError("liblzma gives no decoder (\(opened.rawValue))") }
        defer { unsafe lzma_end(&stream) }
        unsafe stream.next_in = input.baseAddress
        unsafe stream.avail_in = input.count
        unsafe stream.next_out = output.baseAddress
        unsafe stream.avail_out = output.count
        let result = unsafe lzma_code(&stream, LZMA_FINISH)
        let count = unsafe output.count - stream.avail_out
        switch result {
        case LZMA_STREAM_END: return count
        // The stream's end marker may still be to come where the output is full: a stream that goes on is too long.
        case LZMA_OK where count < output.count, LZMA_BUF_ERROR where count < output.count:
            throw UnpackingError("the xz data is cut off")
        case LZMA_OK, LZMA_BUF_ERROR: throw UnpackingError("it unpacks to more than \(output.count) bytes")
        case LZMA_MEM_ERROR, LZMA_MEMLIMIT_ERROR:
            throw UnpackingError("its dictionary takes more than \(decoderMemory >> 20) MiB")
        default: throw UnpackingError("the xz data is damaged (liblzma: \(result.rawValue))")
        }
    }

    private static func zstd(
        _ input: UnsafeBufferPointer<UInt8>, _ output: UnsafeMutableBufferPointer<UInt8>
    ) throws(UnpackingError) -> Int {
        // Without a window of its own: the output is the window.
        let length = unsafe ZSTD_findFrameCompressedSize(input.baseAddress, input.count)
        guard ZSTD_isError(length) == 0 else { throw zstdError(length) }
        let count = unsafe ZSTD_decompress(output.baseAddress, output.count, input.baseAddress, length)
        guard ZSTD_isError(count) == 0 else { throw zstdError(count) }
        return count
    }

    private static func zstdError(_ code: Int) -> UnpackingError {
        let reason = unsafe ZSTD_getErrorName(code).map { unsafe String(cString: $0) } ?? "error"
        return UnpackingError("the zstd data is damaged (\(reason))")
    }

    private static func gzip(
        _ input: UnsafeBufferPointer<UInt8>, _ output: UnsafeMutableBufferPointer<UInt8>
    ) throws(UnpackingError) -> Int {
        guard let inputCount = UInt32(exactly: input.count), let outputCount = UInt32(exactly: output.count) else {
            throw UnpackingError("the gzip data has 4 GiB or more")
        }
        var stream = unsafe z_stream()
        // 16: with a gzip header, around the largest window.
        let opened = unsafe inflateInit2_(&stream, 16 + 15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard opened == Z_OK else { throw UnpackingError("zlib gives no decoder (\(opened))") }
        defer { unsafe inflateEnd(&stream) }
        unsafe stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        unsafe stream.avail_in = inputCount
        unsafe stream.next_out = output.baseAddress
        unsafe stream.avail_out = outputCount
        let result = unsafe inflate(&stream, Z_FINISH)
        let count = unsafe Int(outputCount - stream.avail_out)
        switch result {
        case Z_STREAM_END: return count
        case Z_OK where count == output.count, Z_BUF_ERROR where count == output.count:
            throw UnpackingError("it unpacks to more than \(output.count) bytes")
        case Z_OK, Z_BUF_ERROR: throw UnpackingError("the gzip data is cut off")
        default: throw UnpackingError("the gzip data is damaged (zlib: \(result))")
        }
    }
}
