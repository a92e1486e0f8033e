import DebugConsole
import PluginKit

/// A debug port: what a guest writes goes to a stream, byte for byte.
final class DebugConsoleDevice: Instance {
    static let definition = ClassDefinition.device(
        "debug-console", summary: "a port whose bytes go to a stream, as in Bochs and QEMU",
        properties: [
            Property("at", .port, default: "0xe9", doc: "the port: 0xe9 as in Bochs, 0x402 for SeaBIOS and OVMF"),
            Property(
                "readback", .unsigned, default: "0xe9", bounds: 0...255,
                doc: "what the port reads as, by which guests find it"),
        ],
        slots: [Slot("stream", "stream/1", doc: "where the bytes go; what comes from it is never taken")],
        methods: [
            Method(
                "dropped", result: .u64, doc: "how many bytes were lost because the stream was full",
                function: { (raw) in instance(raw, as: DebugConsoleDevice.self).chip.dropped }
                    as @convention(c) (UnsafeMutableRawPointer?) -> UInt64)
        ],
        make: { (host, values) in DebugConsoleDevice(host, values) })

    private var chip: DebugConsole
    private var stream = StreamPeer.unwired
    private let port: UInt16

    init(_ host: Host, _ values: Values) {
        port = values.port("at")
        chip = DebugConsole(readback: UInt8(truncatingIfNeeded: values.unsigned("readback")))
        super.init(host)
    }

    override func connect() throws(PluginError) {
        stream = try host.stream("stream")
        try host.io.claimPorts(port, count: 1, bulk: true, name: "debug console")
    }

    override func disconnect() { stream = .unwired }

    /// The host cancels the writes that wait; their bytes go out all the same.
    override func reset(warm: Bool) {
        for waiting in chip.release() { stream.write(waiting.byte) }
    }

    override func quiesce() throws(PluginError) -> Bool {
        finish(chip.release())
        return true
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult { .value(chip.read()) }

    override func readBulk(_ access: Access, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        bytes.initializeMemory(as: UInt8.self, repeating: chip.read())
        return bytes.count
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let byte = UInt8(truncatingIfNeeded: value)
        switch chip.write(byte, token: access.token) {
        case .send: stream.write(byte)
        case .wait: return .deferred
        case .drop:
            if chip.dropped == 1 { host.log(.warning, "the stream is full, and a byte that cannot wait was lost") }
        }
        return .ok
    }

    override func writeBulk(_ access: Access, from bytes: UnsafeRawBufferPointer) -> Int {
        let count = chip.bulk(bytes.count)
        if count > 0 { stream.write(UnsafeRawBufferPointer(rebasing: bytes[..<count])) }
        return count
    }

    // MARK: Stream

    override func streamThrottled(slot: Int, _ on: Bool) { finish(chip.throttle(on)) }

    private func finish(_ writes: [DebugConsole.Waiting]) {
        guard !writes.isEmpty else { return }
        for write in writes {
            stream.write(write.byte)
            _ = (try? host.io)?.complete(write.token)
        }
    }
}

let library = Library(
    "debug-console", version: "1.0", summary: "the debug port of Bochs and QEMU",
    needsMinor: 0, classes: [DebugConsoleDevice.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
