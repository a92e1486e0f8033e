import PluginKit

/// A card with 64 KiB of memory of one kind.
final class CardDevice: Instance {
    static let definition = ClassDefinition.device(
        "card", summary: "has memory of its own",
        properties: [
            Property("at", .address, default: "0xe0000000", doc: "where its memory answers"),
            Property("kind", .unsigned, default: "2", doc: "BP_REGION_*"),
        ],
        make: { (host, values) throws(PluginError) in try CardDevice(host, values) })

    private let at: UInt64
    private let region: Memory.Region

    init(_ host: Host, _ values: Values) throws(PluginError) {
        at = values.unsigned("at")
        guard let kind = Memory.Kind(rawValue: UInt32(values.unsigned("kind"))) else {
            throw PluginError("there is no such kind")
        }
        region = try host.memory.region("memory", kind, length: 0x10000)
        super.init(host)
    }

    override func connect() throws(PluginError) { try host.memory.map(region, at: at) }
}
