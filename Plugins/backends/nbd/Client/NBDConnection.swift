import BackendSupport
import CNBD
import Glibc
import PluginKit

/// What a server says of the disk that it exports.
public struct NBDExport: Equatable, Sendable {
    /// In bytes.
    public var size: UInt64
    public var isReadOnly: Bool
    public var canFlush: Bool
    public var known: BlockOperations
    /// Offsets and lengths are multiples of it.
    public var minimum: UInt64
    /// Bytes in one request.
    public var maximum: UInt64
}

/// One connection to a server, by libnbd's asynchronous calls: none of them waits but for the resolution of a name. Used
/// by one thread alone. Commands have no callbacks: a handle can be closed at any time, and touches no buffer then.
final class NBDConnection {
    enum Phase { case connecting, ready, lost }

    /// A server that says nothing of its limits takes as much ("Block size constraints" of the protocol).
    private static let usualMaximum: UInt64 = 32 << 20

    // SAFETY: made in init, closed in deinit.
    private let handle: OpaquePointer
    /// Why it is lost.
    private(set) var reason: String?

    init() throws(NBDError) {
        guard let handle = nbd_create() else { throw NBDError(NBDConnection.lastError) }
        self.handle = handle
    }

    deinit { nbd_close(handle) }

    func begin(uri: String) throws(NBDError) {
        guard nbd_aio_connect_uri(handle, uri) == 0 else { throw NBDError(NBDConnection.lastError) }
    }

    /// `socket`: a connected one, from now on the handle's.
    func begin(socket: Int32) throws(NBDError) {
        guard nbd_aio_connect_socket(handle, socket) == 0 else { throw NBDError(NBDConnection.lastError) }
    }

    var phase: Phase {
        if reason != nil { return .lost }
        if nbd_aio_is_ready(handle) == 1 || nbd_aio_is_processing(handle) == 1 { return .ready }
        let isUnderWay = nbd_aio_is_connecting(handle) == 1 || nbd_aio_is_negotiating(handle) == 1
        return isUnderWay ? .connecting : .lost
    }

    /// What to wait for; a descriptor of -1 waits for nothing.
    var interest: pollfd {
        let direction = nbd_aio_get_direction(handle)
        var events: Int32 = 0
        if direction & UInt32(LIBNBD_AIO_DIRECTION_READ) != 0 { events |= POLLIN }
        if direction & UInt32(LIBNBD_AIO_DIRECTION_WRITE) != 0 { events |= POLLOUT }
        return pollfd(fd: nbd_aio_get_fd(handle), events: Int16(truncatingIfNeeded: events), revents: 0)
    }

    /// What has come.
    func serve(_ events: Int16) {
        let events = Int32(events)
        let direction = nbd_aio_get_direction(handle)
        var result: Int32 = 0
        // What has hung up is read first: answers may lie there still.
        if direction & UInt32(LIBNBD_AIO_DIRECTION_READ) != 0, events & (POLLIN | POLLHUP | POLLERR) != 0 {
            result = nbd_aio_notify_read(handle)
        } else if direction & UInt32(LIBNBD_AIO_DIRECTION_WRITE) != 0, events & (POLLOUT | POLLHUP | POLLERR) != 0 {
            result = nbd_aio_notify_write(handle)
        } else if events & POLLNVAL != 0 {
            lose("the connection's descriptor is not valid")
        }
        if result < 0 { lose(NBDConnection.lastError) }
    }

    func lose(_ text: String) { if reason == nil { reason = text } }

    /// Once it is ready.
    func export() throws(NBDError) -> NBDExport {
        let size = nbd_get_size(handle)
        guard size >= 0 else { throw NBDError(NBDConnection.lastError) }
        var known: BlockOperations = []
        if nbd_can_trim(handle) == 1 { known.insert(.discard) }
        if nbd_can_zero(handle) == 1 { known.insert(.writeZeroes) }
        let minimum = max(1, nbd_get_block_size(handle, Int32(LIBNBD_SIZE_MINIMUM)))
        let maximum = nbd_get_block_size(handle, Int32(LIBNBD_SIZE_MAXIMUM))
        return NBDExport(
            size: UInt64(size), isReadOnly: nbd_is_read_only(handle) == 1, canFlush: nbd_can_flush(handle) == 1,
            known: known, minimum: UInt64(minimum),
            maximum: maximum > 0 ? UInt64(maximum) : NBDConnection.usualMaximum)
    }

    /// Sends a command, whose cookie `completed` names later. An errno where the library refuses it. `buffer` stays where it is until it has
    /// completed, or this connection is gone.
    func send(
        _ operation: BlockOperation, at offset: UInt64, length: Int, _ buffer: UnsafeMutableRawPointer?
    ) -> Result<Int64, HostCallError> {
        let none = nbd_completion_callback()
        let cookie: Int64
        switch operation {
        case .read:
            guard let buffer else { return .failure(HostCallError(code: EINVAL)) }
            cookie = nbd_aio_pread(handle, buffer, length, offset, none, 0)
        case .write:
            guard let buffer else { return .failure(HostCallError(code: EINVAL)) }
            cookie = nbd_aio_pwrite(handle, buffer, length, offset, none, 0)
        case .flush: cookie = nbd_aio_flush(handle, none, 0)
        case .discard: cookie = nbd_aio_trim(handle, UInt64(max(0, length)), offset, none, 0)
        case .writeZeroes: cookie = nbd_aio_zero(handle, UInt64(max(0, length)), offset, none, 0)
        }
        return cookie >= 0 ? .success(cookie) : .failure(HostCallError(code: NBDConnection.lastCode))
    }

    /// A command that has ended, and the errno with which it failed.
    func completed() -> (cookie: Int64, code: Int32?)? {
        let cookie = nbd_aio_peek_command_completed(handle)
        guard cookie > 0 else { return nil }
        switch nbd_aio_command_completed(handle, UInt64(cookie)) {
        case 1: return (cookie, nil)
        case 0: return nil
        default: return (cookie, NBDConnection.lastCode)
        }
    }

    /// Tells the server that this was all, if it listens.
    func end(milliseconds: Int) {
        guard phase == .ready, nbd_aio_in_flight(handle) == 0, nbd_aio_disconnect(handle, 0) == 0 else { return }
        let deadline = HostClock.milliseconds + milliseconds
        while nbd_aio_is_closed(handle) != 1, nbd_aio_is_dead(handle) != 1, reason == nil,
            HostClock.milliseconds < deadline
        {
            var one = interest
            guard one.fd >= 0, poll(&one, 1, 10) >= 0 else { return }
            if one.revents != 0 { serve(one.revents) }
        }
    }

    private static var lastCode: Int32 {
        let code = nbd_get_errno()
        return code > 0 ? code : EIO
    }

    /// The library's words for the last failure, without the name of its function.
    private static var lastError: String {
        guard let raw = nbd_get_error() else { return "libnbd does not say why" }
        var text = String(cString: raw)
        while text.hasPrefix("nbd_"), let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix(": ") {
            text = String(text[colon...].dropFirst(2))
        }
        return Lines.clean(text)
    }
}

/// Words of a peer, for a log.
enum Lines {
    /// Without control characters, and not endless.
    static func clean(_ text: some StringProtocol) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.prefix(300).map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 }))
    }
}
