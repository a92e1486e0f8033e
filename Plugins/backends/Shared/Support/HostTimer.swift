import CBackendSupport
import PluginKit

/// A timer of the host's time, for what concerns only the host: how long to wait for a slow reader, when to try again.
/// Never for anything that a guest sees: that is `clock/1`.
public final class HostTimer {
    private let descriptor: Descriptor

    public init() throws(HostCallError) { descriptor = try Descriptor(checking: bh_timer()) }

    /// From connect on: it comes as `descriptorReady(cookie)`.
    public func connect(_ host: Host, cookie: UInt64) throws(PluginError) {
        _ = try host.events.watch(descriptor.raw, .read, cookie: cookie)
    }

    /// Fires once, or again and again. Replaces an earlier setting.
    public func set(milliseconds: UInt32, repeats: Bool = false) {
        _ = bh_timer_set(descriptor.raw, max(1, milliseconds), repeats ? max(1, milliseconds) : 0)
    }

    public func stop() { _ = bh_timer_set(descriptor.raw, 0, 0) }

    /// To be called when it has fired.
    public func acknowledge() {
        descriptor.silence()
    }
}
