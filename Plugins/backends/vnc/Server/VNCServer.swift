import BackendSupport
import CBackendSupport
import Glibc
import PluginKit
import RemoteDisplay
import SocketEndpoint

/// The server's own thread, which waits for clients and writes what they are to see. Nothing blocks: what a client does not take waits in its session,
/// and it gets no more until then.
public final class VNCServer: @unchecked Sendable {
    /// Further ones are turned away at once.
    public static let clientLimit = 16
    private static let chunk = 16 << 10
    /// Pieces that are read of one who has gone: as much as a socket keeps.
    private static let lastChunks = 64
    private static let retryMilliseconds: Int32 = 1000

    private struct Client {
        let descriptor: Descriptor
        let viewer: Int
    }

    public let hub: DisplayHub
    public let address: SocketAddress
    private let link: HostLink
    private let bell: Descriptor
    private let monitor = Monitor()
    /// Guarded by `monitor`.
    private var isStopping = false

    // Of the thread.
    private let listener: SocketListener
    private var clients: [Client] = []
    /// The host has no descriptors left: nobody is let in for a moment.
    private var isExhausted = false

    private var thread: WorkerThread?

    public init(_ wanted: SocketAddress, name: String, link: HostLink, posts: DisplayHub.Posts)
        throws(SocketAddress.Failure)
    {
        self.link = link
        listener = try SocketListener(wanted)
        address = listener.address
        do throws(HostCallError) {
            let bell = try Descriptor.event()
            self.bell = bell
            hub = DisplayHub(name: name, link: link, posts: posts) { bell.ring() }
        } catch {
            throw SocketAddress.Failure("an event descriptor cannot be made: " + error.text)
        }
    }

    public func start() throws(HostCallError) { thread = try WorkerThread("bp-vnc") { [self] in run() } }

    /// Ends the thread and all connections. False: a host call does not return.
    public func stop(milliseconds: Int = 2000) -> Bool {
        monitor.locked { isStopping = true }
        bell.ring()
        let hasEnded = thread?.join(milliseconds: milliseconds) ?? true
        link.cut()
        return hasEnded
    }

    // MARK: The thread

    private func run() {
        while !monitor.locked({ isStopping }) {
            for viewer in hub.takeEnding() { end(viewer, "it has to go, for another or for having said nothing") }
            let timeout = hub.turn()
            wait(isExhausted ? min(timeout, Self.retryMilliseconds) : timeout)
        }
        for client in clients { hub.close(client.viewer) }
        clients = []
    }

    private func wait(_ milliseconds: Int32) {
        var waits = [
            pollfd(fd: bell.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: isExhausted ? -1 : listener.descriptor.raw, events: Int16(POLLIN), revents: 0),
        ]
        let served = clients
        for client in served {
            let events = POLLIN | (hub.hasOutput(for: client.viewer) ? POLLOUT : 0)
            waits.append(pollfd(fd: client.descriptor.raw, events: Int16(events), revents: 0))
        }
        isExhausted = false
        guard poll(&waits, nfds_t(waits.count), milliseconds) > 0 else { return }
        if waits[0].revents != 0 { bell.silence() }
        for (client, waited) in zip(served, waits.dropFirst(2)) where waited.revents != 0 {
            serve(
                client, canWrite: Int32(waited.revents) & POLLOUT != 0, canRead: Int32(waited.revents) & ~POLLOUT != 0)
        }
        if waits[1].revents != 0 { accept() }
    }

    /// What a client said before it went is heard: it comes before what cannot be written any more.
    private func serve(_ client: Client, canWrite: Bool, canRead: Bool) {
        if canRead, !read(client) { return }
        guard canWrite, !write(client) else { return }
        for _ in 0..<Self.lastChunks { if !read(client) { return } }
        end(client.viewer, nil)
    }

    /// One piece. False: the client has been ended.
    private func read(_ client: Client) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: Self.chunk, alignment: 16) { buffer in
            switch client.descriptor.read(into: buffer) {
            case .bytes(let count):
                let refusal = hub.receive(UnsafeRawBufferPointer(rebasing: buffer[..<count]), from: client.viewer)
                if let refusal { end(client.viewer, refusal) }
                return refusal == nil
            case .wouldBlock: return true
            case .end, .failed:
                end(client.viewer, nil)
                return false
            }
        }
    }

    /// False: the client is gone.
    private func write(_ client: Client) -> Bool {
        var isThere = true
        hub.takeOutput(for: client.viewer) { bytes in
            switch client.descriptor.send(bytes) {
            case .bytes(let count): return count
            case .wouldBlock, .end: return 0
            case .failed:
                isThere = false
                return 0
            }
        }
        return isThere
    }

    private func end(_ viewer: Int, _ reason: String?) {
        guard let place = clients.firstIndex(where: { $0.viewer == viewer }) else { return }
        let client = clients.remove(at: place)
        hub.close(viewer)
        if let reason { link.log(.debug, "\(address.peer(of: client.descriptor)): \(reason)") }
    }

    private func accept() {
        // No more at a time, however many knock.
        for _ in 0..<Self.clientLimit {
            switch listener.accept() {
            case .connection(let descriptor):
                guard clients.count < Self.clientLimit else { continue }
                clients.append(Client(descriptor: descriptor, viewer: hub.open()))
            case .nobody: return
            case .exhausted(let error):
                isExhausted = true
                return link.log(.debug, "cannot take a connection: " + error.text)
            }
        }
    }
}
