import BackendSupport
import PluginKit
import PseudoTerminal

/// A pseudo-terminal: programs such as `screen` and `picocom` open its slave.
final class PTYBackend: DescriptorBackend {
    static let definition = ClassDefinition.backend(
        "pty", summary: "a pseudo-terminal for a terminal program on the host",
        properties: [
            Property("link", .path, doc: "a symbolic link to make to the slave, whose name changes from run to run"),
            Property(
                "wait", .bool, default: "false",
                doc: "keep the guest's output, and make it wait, while nobody has the slave open; otherwise drop it"),
        ],
        provides: [Provides("stream/1", doc: "what is written to and read from the slave")],
        methods: [
            Method(
                "path", result: .text, doc: "the path of the slave",
                function: { (raw) in
                    let backend = instance(raw, as: PTYBackend.self)
                    backend.host.reply(backend.terminal.slave)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in
            guard values.isSet("link") else { return }
            do throws(HostCallError) { try OutputPath.checkDirectory(of: values.text("link")) } catch {
                throw PluginError("the link '\(values.text("link"))' cannot be made: " + error.text)
            }
        },
        make: { (host, values) throws(PluginError) in try PTYBackend(host, values) })

    private static let (opensCookie, pollCookie) = (firstFreeCookie, firstFreeCookie + 1)
    /// Where the host cannot say when the slave is opened.
    private static let pollMilliseconds: UInt32 = 250

    private let terminal: PseudoTerminal
    private let poll: HostTimer?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        do throws(PseudoTerminal.OpenError) {
            terminal = try PseudoTerminal(link: values.isSet("link") ? values.text("link") : nil)
        } catch {
            throw PluginError(error.text)
        }
        poll = terminal.opens == nil ? try? HostTimer() : nil
        try super.init(host, isSocket: false, holdsOutput: values.bool("wait"))
        host.log(.info, "its slave is \(terminal.slave)")
    }

    override func connect() throws(PluginError) {
        try super.connect()
        if let opens = terminal.opens { _ = try host.events.watch(opens.raw, .read, cookie: PTYBackend.opensCookie) }
        try poll?.connect(host, cookie: PTYBackend.pollCookie)
        lookForUser()
    }

    override func channelLost() {
        terminal.setRaw()
        lookForUser()
    }

    override func otherDescriptorReady(cookie: UInt64) {
        terminal.acknowledgeOpens()
        poll?.acknowledge()
        lookForUser()
    }

    private func lookForUser() {
        if !hasChannel, terminal.isOpen { attach(terminal.master) }
        if hasChannel { poll?.stop() } else { poll?.set(milliseconds: PTYBackend.pollMilliseconds, repeats: true) }
    }
}

let library = Library(
    "pty", version: "1.0", summary: "a pseudo-terminal on the host", needsMinor: 0, classes: [PTYBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
