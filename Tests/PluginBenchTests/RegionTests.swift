import Core
import PluginBench
import PluginKit
import Testing

/// A page of memory of its own that the guest writes. `clears`: it begins anew at each reset.
private final class PageDevice: Instance {
    static let definition = ClassDefinition.device(
        "page", summary: "memory of its own",
        properties: [
            Property("clears", .bool, default: "off", doc: "zeros after a reset")
        ],
        make: { (host, values) throws(PluginError) in try PageDevice(host, clears: values.bool("clears")) })

    private let clears: Bool
    private let region: Memory.Region

    init(_ host: Host, clears: Bool) throws(PluginError) {
        self.clears = clears
        region = try host.memory.region("page", .device, length: 4096)
        super.init(host)
    }

    override func connect() throws(PluginError) { try host.memory.map(region, at: 0xE000_0000) }
    override func reset(warm: Bool) {
        if clears { region.bytes.initializeMemory(as: UInt8.self, repeating: 0) }
    }
}

private let pages = Library("pages", version: "1", summary: "for a test", classes: [PageDevice.definition])

/// The bench judges by the header: a reset changes no byte of a region.
@Suite(.serialized) struct RegionTests {
    @Test(arguments: ["off", "on"]) func aResetMayLeaveOrSetARegion(_ clears: String) throws {
        let library = try PluginLibrary(builtIn: pages.descriptor(hostMajor: 1, hostMinor: 4).unsafelyUnwrapped)
        let report = try testPlugin(
            library: library, className: "page", properties: ["clears": clears], operations: 20_000)
        #expect(report.passed, "\(report.text)")
    }
}
