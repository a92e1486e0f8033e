import BackendSupport
import PluginKit

/// The terminal that the host's control plane owns, shared with the other guests: a client of "console/1". The tty, raw
/// mode and the escape key are the control plane's.
final class TerminalBackend: StreamBackend {
    static let definition = ClassDefinition.backend(
        "terminal", summary: "the terminal that the virtual machine monitor was started in",
        provides: [Provides("stream/1", doc: "what is typed and shown")],
        make: { (host, _) throws(PluginError) in
            guard let console = try? host.console else { throw TerminalBackend.notOffered }
            return TerminalBackend(host, console)
        })

    private static let notOffered = PluginError(
        "this host has no terminal to share: it does not offer the service console/1; "
            + "use the backend pty, socket or file instead", status: .unsupported)
    /// What the console may send before it is asked again. It is asked only when all has gone to the guest, so that
    /// what may be under way always fits in the input queue.
    private static let grant: UInt64 = 4096

    private let console: Console
    private var lost: UInt64 = 0

    init(_ host: Host, _ console: Console) {
        self.console = console
        super.init(host)
        setCarrier(true)
    }

    override func connect() throws(PluginError) {
        do throws(PluginError) {
            try console.open()
        } catch {
            throw error.status == .unsupported ? TerminalBackend.notOffered : error
        }
    }

    override func start() throws(PluginError) {
        try super.start()
        askForMore()
    }

    override func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) { console.write(bytes) }

    override func consoleThrottled(_ on: Bool) { setThrottle(on) }

    override func consoleReceived(_ bytes: UnsafeRawBufferPointer) {
        let taken = received(bytes)
        guard taken < bytes.count else { return }
        if lost == 0 { host.log(.warning, "the console sent more than it was asked for: what was typed is lost") }
        lost &+= UInt64(bytes.count - taken)
    }

    override func consoleSized(columns: Int, rows: Int) { setWindow(columns: columns, rows: rows) }

    override func consoleBreak() { receivedBreak() }

    override func inputSpaceGrew() { askForMore() }

    private func askForMore() {
        if inputSpace == InputQueue.limit { console.ready(TerminalBackend.grant) }
    }
}

let library = Library(
    "terminal", version: "1.0", summary: "the terminal of the virtual machine monitor",
    needsMinor: 0, classes: [TerminalBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
