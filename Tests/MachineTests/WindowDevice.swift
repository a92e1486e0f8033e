import PluginKit

/// Claims and mappings as boards have them: parts of a port range by width, one direction over another, ROM over RAM that is written.
final class WindowDevice: Instance {
    static let definition = ClassDefinition.device(
        "windows",
        summary:
            "0xcf8 takes dwords, 0xcf9 bytes, 0x330 differs by direction, ROM over RAM at 0xf0000, RAM again at 1 MiB",
        make: { (host, values) throws(PluginError) in try WindowDevice(host, values) })

    static let config: UInt64 = 1, reset: UInt64 = 2, reader: UInt64 = 3, both: UInt64 = 4, control: UInt64 = 5
    private let rom: Memory.Region
    private var shadow: Memory.Mapping?
    private var wrap: Memory.Mapping?
    private var readerClaim: Claim?
    private var values: [UInt64: UInt64] = [:]

    init(_ host: Host, _ values: Values) throws(PluginError) {
        rom = try host.memory.region("rom", .rom, length: 0x10000)
        rom.bytes.initializeMemory(as: UInt8.self, repeating: 0xaa)
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let io = try host.io
        try io.claimPorts(
            0xcf8, count: 4, widths: .long, cookie: Self.config, flags: .whole, name: "configuration address")
        try io.claimPorts(0xcf9, count: 1, cookie: Self.reset, priority: 5, name: "reset control")
        readerClaim = try io.claimPorts(0x330, count: 1, cookie: Self.reader, priority: 1, flags: .reads)
        try io.claimPorts(0x330, count: 1, cookie: Self.both)
        try io.claimPorts(0x340, count: 1, cookie: Self.control)
        let memory = try host.memory
        shadow = try memory.map(rom, offset: 0, at: 0xf0000, length: 0x10000, .read, priority: 1)
        wrap = try memory.map(nil, offset: 0, at: 0x10_0000, length: 0x10000, .both)
    }

    override func read(_ access: Access) -> ReadResult {
        access.cookie == Self.reader ? .value(0x33 as UInt8) : .value(values[access.cookie] ?? 0)
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        values[access.cookie] = value
        guard access.cookie == Self.control, let memory = try? host.memory, let io = try? host.io else { return .ok }
        do throws(PluginError) {
            guard let shadow, let wrap, let readerClaim else { return .fault }
            switch value {
            case 0: try memory.direct(shadow, [])
            case 1: try memory.direct(shadow, .read)
            case 2: try memory.move(shadow, to: 0xe0000)
            case 3: try memory.direct(wrap, [])
            case 4: try io.direct(readerClaim, [])
            case 5: try memory.direct(shadow, .write)
            default: break
            }
        } catch {
            values[Self.control] = 0xee
        }
        return .ok
    }
}
