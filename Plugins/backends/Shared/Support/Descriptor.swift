import CBackendSupport
import Glibc

/// A host file descriptor that is closed with its owner.
public final class Descriptor: Sendable {
    public let raw: Int32

    public init(_ raw: Int32) { self.raw = raw }
    deinit { close(raw) }

    /// `result` of a function of CBackendSupport that opens one.
    public convenience init(checking result: Int32) throws(HostCallError) {
        self.init(try HostCallError.check(result))
    }

    /// Close-on-exec is added.
    public static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0) throws(HostCallError) -> Descriptor {
        try Descriptor(checking: bh_open(path, flags, mode))
    }

    /// For `ring`, by which one thread ends another's wait.
    public static func event() throws(HostCallError) -> Descriptor { try Descriptor(checking: bh_event()) }

    /// Makes an event readable.
    public func ring() {
        var one: UInt64 = 1
        withUnsafeBytes(of: &one) { _ = write($0) }
    }

    /// Ends that.
    public func silence() {
        var count: UInt64 = 0
        withUnsafeMutableBytes(of: &count) { _ = read(into: $0) }
    }

    public func status() throws(HostCallError) -> bh_file {
        var file = bh_file()
        try HostCallError.check(bh_stat(raw, &file))
        return file
    }

    /// What a transfer came to.
    public enum Transfer: Equatable, Sendable {
        /// Some bytes, at least one.
        case bytes(Int)
        /// The other end is slow, or has nothing.
        case wouldBlock
        case end
        /// An errno.
        case failed(Int32)

        public init(_ result: Int) {
            switch result {
            case 0: self = .end
            case 1...: self = .bytes(result)
            case -Int(EAGAIN): self = .wouldBlock
            default: self = .failed(Int32(truncatingIfNeeded: -result))
            }
        }
    }

    public func read(into bytes: UnsafeMutableRawBufferPointer) -> Transfer {
        bytes.isEmpty ? .wouldBlock : Transfer(bh_read(raw, bytes.baseAddress, bytes.count))
    }

    public func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        bytes.isEmpty ? .wouldBlock : Transfer(bh_write(raw, bytes.baseAddress, bytes.count))
    }

    /// As `write`, for a socket: never a signal.
    public func send(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        bytes.isEmpty ? .wouldBlock : Transfer(bh_send(raw, bytes.baseAddress, bytes.count))
    }
}

/// What `bh_lock` and its like have taken, until this goes. Closing alone does not end it while a process that is just being started still has a copy
/// of the descriptor.
public final class FileLock: Sendable {
    public let descriptor: Descriptor

    public init(of descriptor: Descriptor) { self.descriptor = descriptor }
    deinit { bh_unlock(descriptor.raw) }
}
