import FWCfg
import Images
import PluginKit

/// QEMU's firmware configuration device: what firmware asks of the machine that it runs in.
final class FWCfgPlugin: Instance {
    static let definition = ClassDefinition.device(
        "fw-cfg", summary: "QEMU's firmware configuration device: memory map, boot order, files",
        properties: [
            Property("at", .port, default: "0x510", doc: "the selector; the data port and the DMA address follow it"),
            Property("boot-menu", .bool, default: "off", doc: "SeaBIOS offers its boot menu"),
            Property(
                "boot-order", .text, list: true,
                doc: "OpenFirmware paths, as /pci@i0cf8/ide@1,1/drive@0/disk@0, the first to be tried first"),
            Property(
                "serial-console", .port,
                doc: "SeaBIOS shows its text screen on the UART at this port, and takes its keys from there"),
            Property(
                "files", .text, list: true,
                doc: "NAME=PATH: what the guest reads as a file of this name; at most 16 MiB each"),
        ],
        slots: [
            Slot(
                "tables", "tables/1", optional: true, many: true, doc: "tables that describe the machine: ACPI, SMBIOS")
        ],
        // Not shown, as QEMU has it; Linux's driver takes one range of twelve ports.
        firmware: [FirmwareNode("QEMU0002", flags: [.hidden, .oneRange])],
        make: { (host, values) throws(PluginError) in try FWCfgPlugin(host, values) })

    private enum Cookie { static let selector: UInt64 = 1, data: UInt64 = 2, address: UInt64 = 3 }

    private let port: UInt16
    private let files: [FWCfg.File]
    private let hasBootMenu: Bool
    private var chip: FWCfg
    private var tables: [TablesPeer] = []
    /// Whose a file is that is made, by its key.
    private var makers: [UInt16: Maker] = [:]

    private struct Maker {
        var peer: TablesPeer
        var file: TableDescription
    }

    init(_ host: Host, _ values: Values) throws(PluginError) {
        port = values.port("at")
        hasBootMenu = values.bool("boot-menu")
        var files = try Self.read(values.textList("files"))
        let order = values.textList("boot-order")
        if !order.isEmpty { files.append(.init("bootorder", .bytes(FWCfgFiles.bootOrder(order)))) }
        if values.isSet("serial-console") {
            files.append(.init("etc/sercon-port", .bytes(FWCfgFiles.number(values.port("serial-console")))))
        }
        self.files = files
        chip = try Self.chip(files, [:])
        super.init(host)
    }

    private static func read(_ texts: [String]) throws(PluginError) -> [FWCfg.File] {
        var files: [FWCfg.File] = []
        for text in texts {
            guard let sign = text.firstIndex(of: "="), sign != text.startIndex else {
                throw PluginError("files: '\(text)' is not NAME=PATH")
            }
            let path = String(text[text.index(after: sign)...])
            do {
                files.append(.init(String(text[..<sign]), .bytes(try ImageFile.read(path, limit: 16 << 20))))
            } catch {
                throw PluginError("files: \(error.text)")
            }
        }
        return files
    }

    private static func chip(_ files: [FWCfg.File], _ values: [UInt16: [UInt8]]) throws(PluginError) -> FWCfg {
        do throws(FWCfg.Refusal) {
            return try FWCfg(values: values, files: files)
        } catch {
            switch error {
            case .name(let name): throw PluginError("'\(name)' is no name of a file: 1 to 55 bytes")
            case .duplicate(let name): throw PluginError("there are two files '\(name)'")
            case .size(let name): throw PluginError("'\(name)' is too large")
            case .key(let key): throw PluginError("key \(key) is taken")
            case .tooManyFiles: throw PluginError("there are too many files")
            }
        }
    }

    override func connect() throws(PluginError) {
        guard port <= 0xfff4 else { throw PluginError("at: its twelve ports reach beyond 0xffff") }
        let io = try host.io
        try io.claimPorts(port, count: 2, widths: .word, cookie: Cookie.selector, flags: .whole, name: "selector")
        try io.claimPorts(port &+ 1, count: 1, widths: .byte, cookie: Cookie.data, bulk: true, name: "data")
        try io.claimPorts(port &+ 4, count: 8, widths: .long, cookie: Cookie.address, name: "DMA address")
        while let peer = try host.tables("tables", position: UInt32(tables.count)) { tables.append(peer) }
    }

    /// The memory map is known now: all that maps memory has been connected.
    override func reset(warm: Bool) {
        chip.reset()
        guard !warm || chip.contents(of: "etc/e820") == nil else { return }
        let values = [
            FWCfg.Key.cpuCount: FWCfgFiles.number(1), FWCfg.Key.cpuLimit: FWCfgFiles.number(1),
            FWCfg.Key.bootMenu: FWCfgFiles.number(hasBootMenu ? 1 : 0), FWCfg.Key.irq0Override: [1, 0, 0, 0],
        ]
        guard let memory = try? host.memory else { return }
        let ranges = memory.layout.filter { $0.kind == .ram }.map {
            FWCfgFiles.MemoryRange(address: $0.base, length: $0.length, kind: .ram)
        }
        let map = FWCfg.File("etc/e820", .bytes(FWCfgFiles.memoryMap(ranges)))
        let made = tables.flatMap { peer in peer.files.map { Maker(peer: peer, file: $0) } }
        do throws(PluginError) {
            chip = try Self.chip(
                files + [map] + made.map { .init($0.file.name, .made(size: UInt32(clamping: $0.file.length))) }, values)
            makers = [:]
            for maker in made {
                if let key = chip.keys[maker.file.name] { makers[key] = maker }
            }
        } catch {
            host.log(.error, error.text)
        }
    }

    // MARK: Guest side

    /// Guest RAM, and contents that others make.
    private struct Outside: FWCfgMemory, FWCfgContents {
        let memory: Memory
        let makers: [UInt16: Maker]
        func read(_ address: UInt64, count: Int) -> [UInt8]? { memory.read(address, count: count) }
        func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool { memory.write(address, Array(bytes)) }
        func contents(ofKey key: UInt16) -> [UInt8] {
            makers[key].flatMap { $0.peer.contents($0.file.number, length: $0.file.length) } ?? []
        }
    }

    override func read(_ access: Access) -> ReadResult {
        switch access.cookie {
        case Cookie.data: .value(access.isPeek ? chip.peekData() : chip.readData())
        case Cookie.address: .value(chip.readAddress(UInt8(access.offset), width: UInt8(access.width)))
        default: .noRegister
        }
    }

    override func readBulk(_ access: Access, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        guard access.cookie == Cookie.data else { return 0 }
        for index in bytes.indices { bytes[index] = chip.readData() }
        return bytes.count
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        guard let memory = try? host.memory else { return .fault }
        let outside = Outside(memory: memory, makers: makers)
        switch access.cookie {
        case Cookie.selector: chip.select(UInt16(truncatingIfNeeded: value), outside)
        case Cookie.address: chip.writeAddress(UInt8(access.offset), width: UInt8(access.width), value, outside)
        default: break
        }
        return .ok
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        let saved = chip.state
        state.put("selector", saved.selector)
        state.put("offset", saved.offset)
        state.put("address-high", saved.addressHigh)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = FWCfg.State()
        saved.selector = try state.get("selector")
        saved.offset = try state.get("offset")
        saved.addressHigh = try state.get("address-high")
        guard chip.restore(saved) else { throw PluginError("no such state of the device") }
    }
}

let library = Library(
    "fw-cfg", version: "1.0", summary: "firmware configuration device", needsMinor: 4, classes: [FWCfgPlugin.definition]
)

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
