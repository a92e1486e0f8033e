import PluginKit

/// The way back to the host from a backend's own thread. It can be cut: a thread that hangs in a host call may come out
/// of it when the instance is long gone.
public final class HostLink: @unchecked Sendable {
    public typealias Post = @Sendable (UInt) -> Bool
    public typealias Log = @Sendable (LogLevel, String) -> Void

    private let monitor = Monitor()
    /// Guarded by `monitor`; nil once cut.
    private var ends: (post: Post, log: Log)?

    public init(post: @escaping Post, log: @escaping Log) { ends = (post, log) }

    public convenience init(_ host: Host) {
        // The service is looked up for each post: between create and connect it is not to be used yet.
        self.init(
            post: { argument in (try? host.events)?.post(argument) ?? false },
            log: { level, text in host.log(level, text) })
    }

    /// False: the host takes no more for now, or the link is cut.
    public func post(_ argument: UInt) -> Bool { monitor.locked { ends?.post(argument) ?? false } }
    public func log(_ level: LogLevel, _ text: String) { monitor.locked { ends?.log(level, text) } }
    /// When it returns, the host is not called any more.
    public func cut() { monitor.locked { ends = nil } }
}
