import BackendSupport
import CBackendSupport
import FilePump
import Glibc
import PluginKit

/// A file that takes what the guest writes, and perhaps another that it reads from. The output may also be a pipe with
/// a reader, or a device. Carrier is always on, also after the input's end.
final class FileBackend: StreamBackend {
    static let definition = ClassDefinition.backend(
        "file", summary: "writes the guest's output to a file, and may feed it another one",
        properties: [
            Property("path", .path, required: true, doc: "where the output goes; made if it is not there"),
            Property("append", .bool, default: "false", doc: "add to what the file holds, instead of replacing it"),
            Property("input", .path, doc: "a regular file whose bytes the guest reads, from its beginning, once"),
        ],
        provides: [Provides("stream/1", doc: "what goes to the file and comes from the input")],
        methods: [
            Method(
                "flush", doc: "has all that was written until now put on the disk, without waiting for it",
                function: { (raw) in instance(raw, as: FileBackend.self).pump.sync() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in try FileBackend.check(values) },
        make: { (host, values) throws(PluginError) in try FileBackend(host, values) })

    private static let news = lastOwnPost + 1
    private static let input = news + 1
    /// Virtual ns from asking for input to its coming, where runs repeat exactly.
    private static let latency: UInt64 = 1_000_000

    private let pump: FilePump
    private let path: String
    private let hasInput: Bool
    /// The pump has posted that input is there, or at its end.
    private var isInputThere = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        path = values.text("path")
        // First: a missing input must not leave an empty output behind.
        let input = values.isSet("input") ? try FileBackend.openInput(values.text("input")) : nil
        hasInput = input != nil
        let output = try FileBackend.openOutput(path, append: values.bool("append"))
        pump = FilePump(
            name: path, output: output, input: input, link: HostLink(host), postArgument: FileBackend.news)
        super.init(host)
        setCarrier(true)
    }

    private static func check(_ values: Values) throws(PluginError) {
        if values.isSet("input") { _ = try openInput(values.text("input")) }
        do throws(HostCallError) { try OutputPath.check(values.text("path")) } catch {
            throw PluginError("the output '\(values.text("path"))' cannot be opened: " + error.text)
        }
    }

    private static func openOutput(_ path: String, append: Bool) throws(PluginError) -> Descriptor {
        // Not blocking: a pipe without a reader is an error at once.
        let flags = O_WRONLY | O_CREAT | O_NONBLOCK | (append ? O_APPEND : O_TRUNC)
        do throws(HostCallError) {
            return try Descriptor.open(path, flags, mode: 0o644)
        } catch {
            let reason =
                error.code == ENXIO ? "it is a pipe that nobody reads, or a device that is not there" : error.text
            throw PluginError("the output '\(path)' cannot be opened: " + reason)
        }
    }

    private static func openInput(_ path: String) throws(PluginError) -> Descriptor {
        do throws(HostCallError) {
            let descriptor = try Descriptor.open(path, O_RDONLY | O_NONBLOCK)
            if try Int(descriptor.status().kind) == BH_REGULAR { return descriptor }
        } catch {
            throw PluginError("the input '\(path)' cannot be opened: " + error.text)
        }
        throw PluginError("the input '\(path)' is not a regular file; the backends pty and socket are for live input")
    }

    override func connect() throws(PluginError) {
        do throws(HostCallError) { try pump.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
        if hasInput { expectInput() }
    }

    private func expectInput() { (try? host.events)?.expect(FileBackend.input, after: FileBackend.latency) }

    override func quiesce() throws(PluginError) -> Bool {
        _ = try super.quiesce()
        return pump.drain()
    }

    override func disconnect() {
        super.disconnect()
        if !pump.stop() { host.log(.warning, "the host does not take the last output to '\(path)': it is lost") }
    }

    override func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) { carryOut(pump.write(bytes)) }

    override func inputSpaceGrew() { takeInput() }

    override func posted(_ argument: UInt) {
        if argument == FileBackend.input {
            isInputThere = true
            return takeInput()
        }
        guard argument == FileBackend.news else { return super.posted(argument) }
        let news = pump.takeNews()
        if news.contains(.released) { setThrottle(pump.isThrottled) }
        if news.contains(.drained) { host.quiesced() }
    }

    private func takeInput() {
        guard isInputThere, inputSpace >= FilePump.inputChunk else { return }
        isInputThere = false
        let bytes = pump.takeInput()
        if !bytes.isEmpty { expectInput() }
        if !bytes.isEmpty { bytes.withUnsafeBytes { _ = received($0) } }
    }
}

let library = Library(
    "file", version: "1.0", summary: "a file of the host as a stream", needsMinor: 0, classes: [FileBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
