import PluginKit

/// A port's stream, and what has come from there and waits for buffers of the guest's.
struct ConsolePort {
    static let room = 4096

    let stream: StreamPeer
    var isThrottled = false
    var waiting: [UInt8] = []
    /// A reset has closed it, and the other end has not been told.
    var isToClose = false
    /// Bytes that the other end may send; nil: it may have forgotten.
    var granted: Int?

    init(_ stream: StreamPeer) { self.stream = stream }

    /// - Parameter keeps: there is a driver; else they are dropped.
    mutating func take(_ bytes: UnsafeRawBufferPointer, keeps: Bool) {
        granted = granted.map { max($0 - bytes.count, 0) }
        if keeps { waiting += bytes.prefix(Self.room - waiting.count) }
    }

    /// The other end may send what there is room for.
    mutating func grant() {
        let room = Self.room - waiting.count
        guard room > granted ?? -1 else { return }
        tell(room)
    }

    /// It keeps what it has.
    mutating func revoke() { if granted != 0 { tell(0) } }

    private mutating func tell(_ room: Int) {
        guard stream.isWired else { return }
        granted = room
        stream.ready(room)
    }
}
