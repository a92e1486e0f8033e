import PluginKit

/// A port that ends the virtual machine: a guest writes N, and the process exits with (N << 1) | 1.
/// Source: QEMU's isa-debug-exit (hw/misc/debugexit.c semantics: writes only; reads give zero). Nothing is left out.
final class DebugExit: Instance {
    static let definition = ClassDefinition.device(
        "debug-exit", summary: "ends the machine with the status that the guest writes",
        properties: [
            Property("at", .port, default: "0x501", doc: "first port"),
            Property("size", .unsigned, default: "2", unit: "ports", bounds: 1...8, doc: "how many ports answer"),
        ],
        make: { (host, values) throws(PluginError) in DebugExit(host, values) })

    private let base: UInt16
    private let count: Int

    init(_ host: Host, _ values: Values) {
        base = values.port("at")
        count = Int(values.unsigned("size"))
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try host.io.claimPorts(base, count: count, widths: [.byte, .word, .long], name: "exit status")
    }

    override func read(_ access: Access) -> ReadResult { .value(0 as UInt32) }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        (try? host.machine)?.stop(status: UInt32(truncatingIfNeeded: value) &<< 1 | 1)
        return .ok
    }
}

let library = Library(
    "debug-exit", version: "1.0", summary: "QEMU's isa-debug-exit", needsMinor: 0, classes: [DebugExit.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
