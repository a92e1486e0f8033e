/// QEMU's firmware configuration device: the chip only.
///
/// Source: QEMU, docs/specs/fw_cfg.rst. Ports 0x510 (selector), 0x511 (data) and 0x514 to 0x51B (DMA address).
/// Departures: writes to the data port are ignored, as since QEMU 2.4; a DMA read may run at most `longestPadding` bytes
/// beyond its item's end (there it reads zeroes), so that no guest makes the host fill gigabytes.
public struct FWCfg: Sendable {
    // MARK: Registers

    /// Selector values that mean something by themselves.
    public enum Key {
        public static let signature: UInt16 = 0x00
        public static let features: UInt16 = 0x01
        public static let cpuCount: UInt16 = 0x05
        public static let bootMenu: UInt16 = 0x0E
        public static let cpuLimit: UInt16 = 0x0F
        public static let directory: UInt16 = 0x19
        public static let firstFile: UInt16 = 0x20
        /// Of x86: whether ISA's IRQ 0 is the I/O APIC's pin 2.
        public static let irq0Override: UInt16 = 0x8002
        /// Bits 13:0 name an item, bit 15 those of the architecture. Bit 14 asked for write mode once.
        static let item: UInt16 = 0xBFFF
    }

    /// What key 1 says.
    static let features: UInt32 = 0b11  // the ports, and DMA

    /// FWCfgDmaAccess.control; the key is in bits 31:16.
    struct Control: OptionSet {
        let rawValue: UInt32
        static let error = Self(rawValue: 1 << 0)
        static let read = Self(rawValue: 1 << 1)
        static let skip = Self(rawValue: 1 << 2)
        static let select = Self(rawValue: 1 << 3)
        static let write = Self(rawValue: 1 << 4)
        var key: UInt16 { UInt16(rawValue &>> 16) }
    }

    static let longestPadding: UInt32 = 1 << 20
    static let chunk = 4096

    // MARK: What the machine has

    public enum Source: Equatable, Sendable {
        case bytes([UInt8])
        /// Contents that are made when the item is selected, of a size that is known before.
        case made(size: UInt32)

        var size: UInt32 {
            switch self {
            case .bytes(let bytes): UInt32(clamping: bytes.count)
            case .made(let size): size
            }
        }
    }

    public struct File: Equatable, Sendable {
        /// 1 to 55 bytes of UTF-8.
        public var name: String
        public var source: Source
        /// The guest can write it, by DMA; its size stays.
        public var isWritable: Bool

        public init(_ name: String, _ source: Source, isWritable: Bool = false) {
            self.name = name
            self.source = source
            self.isWritable = isWritable
        }
    }

    public enum Refusal: Error, Equatable {
        case name(String), duplicate(String), key(UInt16), size(String), tooManyFiles
    }

    struct Item: Sendable {
        var source: Source
        var isWritable: Bool
    }

    let items: [UInt16: Item]
    /// Key of each file by its name.
    public let keys: [String: UInt16]

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var selector: UInt16 = Key.signature
        /// Of the next byte in the selected item.
        public var offset: UInt32 = 0
        /// The upper half of the DMA address register.
        public var addressHigh: UInt32 = 0
        /// Contents of the selected item where it was made.
        public var made: [UInt8] = []
        /// Contents of writable files that the guest wrote, by key.
        public var written: [UInt16: [UInt8]] = [:]
        public init() {}
    }

    public internal(set) var state = State()

    /// `values`: items without a name, by key. Keys 0, 1 and 0x19 and those of files are the chip's.
    public init(values: [UInt16: [UInt8]] = [:], files: [File] = []) throws(Refusal) {
        let sorted = files.sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
        guard sorted.count <= 0x1000 else { throw .tooManyFiles }
        var items: [UInt16: Item] = [:]
        for (key, bytes) in values {
            guard key != Key.signature, key != Key.features, key & ~Key.item == 0,
                key < Key.directory || key & 0x8000 != 0
            else { throw .key(key) }
            items[key] = Item(source: .bytes(bytes), isWritable: false)
        }
        var keys: [String: UInt16] = [:]
        for file in sorted {
            guard (1...55).contains(file.name.utf8.count), !file.name.utf8.contains(0) else { throw .name(file.name) }
            guard keys[file.name] == nil else { throw .duplicate(file.name) }
            if case .made = file.source, file.isWritable { throw .size(file.name) }
            if file.source.size > UInt32(Int32.max) { throw .size(file.name) }
            let key = Key.firstFile &+ UInt16(keys.count)
            keys[file.name] = key
            items[key] = Item(source: file.source, isWritable: file.isWritable)
        }
        items[Key.signature] = Item(source: .bytes(Array("QEMU".utf8)), isWritable: false)
        items[Key.features] = Item(source: .bytes(Self.features.littleEndianBytes), isWritable: false)
        items[Key.directory] = Item(source: .bytes(Self.directory(sorted)), isWritable: false)
        self.items = items
        self.keys = keys
    }

    /// struct FWCfgFiles: numbers are big-endian, names end in zeroes.
    private static func directory(_ files: [File]) -> [UInt8] {
        var bytes = UInt32(truncatingIfNeeded: files.count).bigEndianBytes
        for (index, file) in files.enumerated() {
            bytes += file.source.size.bigEndianBytes
            let key = Key.firstFile &+ UInt16(truncatingIfNeeded: index)
            bytes += [UInt8(key &>> 8), UInt8(truncatingIfNeeded: key), 0, 0]
            bytes += Array(file.name.utf8) + [UInt8](repeating: 0, count: 56 - file.name.utf8.count)
        }
        return bytes
    }

    /// What the guest wrote is gone too.
    public mutating func reset() { state = State() }

    /// Takes over a saved state. False, and nothing changes, where it does not fit this machine's files.
    public mutating func restore(_ saved: State) -> Bool {
        for (key, bytes) in saved.written {
            guard let item = items[key], item.isWritable, item.source.size == UInt32(clamping: bytes.count) else {
                return false
            }
        }
        var size: UInt32 = 0
        if case .made(let made) = items[saved.selector & Key.item]?.source { size = made }
        guard saved.made.isEmpty || saved.made.count == Int(size) else { return false }
        state = saved
        return true
    }

    /// What the guest sees in the file `name`; nil: there is none, or it is made.
    public func contents(of name: String) -> [UInt8]? {
        guard let key = keys[name], let item = items[key] else { return nil }
        if let written = state.written[key] { return written }
        guard case .bytes(let bytes) = item.source else { return nil }
        return bytes
    }
}

extension FixedWidthInteger where Self: UnsignedInteger {
    var littleEndianBytes: [UInt8] {
        (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self &>> Self(8 &* $0)) }
    }
    var bigEndianBytes: [UInt8] { littleEndianBytes.reversed() }

    /// The number that `bytes` are, most significant first. More than fit push the first ones out.
    init(bigEndianBytes bytes: some Sequence<UInt8>) {
        self = bytes.reduce(0) { ($0 &<< 8) | Self(truncatingIfNeeded: $1) }
    }
}
