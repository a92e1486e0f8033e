import Images

/// The block of memory that EBX points to at entry: the information structure, and behind it what it points to.
/// Source: Multiboot Specification 0.6.96, section 3.3.
///
/// Not given (their flags are clear): boot_device, a.out symbols, drives, ROM configuration table, APM, VBE,
/// framebuffer.
public struct BootInformation: Equatable, Sendable {
    public struct Flags: OptionSet, Equatable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let memory = Self(rawValue: 1 << 0)
        public static let commandLine = Self(rawValue: 1 << 2)
        public static let modules = Self(rawValue: 1 << 3)
        public static let sections = Self(rawValue: 1 << 5)
        public static let memoryMap = Self(rawValue: 1 << 6)
        public static let loaderName = Self(rawValue: 1 << 9)
    }

    public struct Module: Equatable, Sendable {
        public var start: UInt32
        /// Behind its last byte.
        public var end: UInt32
        public var text: [UInt8]
    }

    /// The section header table in memory.
    public struct Sections: Equatable, Sendable {
        public var count, headerSize, address, names: UInt32
    }

    static let loaderName = "Backplane"
    /// Up to the VBE fields, offsets 72 to 87.
    static let structureSize = 88

    public var commandLine: [UInt8]
    public var modules: [Module]
    public var sections: Sections?
    public var memory: MemoryMap

    /// The block, as it lies at `base`. Its size does not depend on `base`.
    public func bytes(at base: UInt32) -> [UInt8] {
        var tail: [UInt8] = []
        /// Where the next byte of the tail will be.
        func here() -> UInt32 { base &+ UInt32(truncatingIfNeeded: Self.structureSize + tail.count) }
        let map = here()
        for entry in memory.entries { Self.append(entry, to: &tail) }
        let mapLength = here() &- map
        let moduleTable = here()
        var text = moduleTable &+ UInt32(truncatingIfNeeded: 16 * modules.count)
        for module in modules {
            for value in [module.start, module.end, text, 0] { tail.append(littleEndian: value) }
            text &+= UInt32(truncatingIfNeeded: module.text.count + 1)
        }
        for module in modules { tail += module.text + [0] }
        let commandLineAddress = here()
        tail += commandLine + [0]
        let nameAddress = here()
        tail += Array(Self.loaderName.utf8) + [0]

        var words = [UInt32](repeating: 0, count: Self.structureSize / 4)
        var flags: Flags = [.memory, .commandLine, .modules, .memoryMap, .loaderName]
        (words[1], words[2]) = (memory.lowerKiB, memory.upperKiB)
        words[4] = commandLineAddress
        (words[5], words[6]) = (UInt32(truncatingIfNeeded: modules.count), moduleTable)
        if let sections {
            flags.insert(.sections)
            words.replaceSubrange(
                7...10, with: [sections.count, sections.headerSize, sections.address, sections.names])
        }
        (words[11], words[12]) = (mapLength, map)
        words[16] = nameAddress
        words[0] = flags.rawValue
        var bytes: [UInt8] = []
        for word in words { bytes.append(littleEndian: word) }
        return bytes + tail
    }

    /// The size field, 20, does not count itself.
    private static func append(_ entry: MemoryMap.Entry, to bytes: inout [UInt8]) {
        bytes.append(littleEndian: UInt32(20))
        bytes.append(littleEndian: entry.range.lowerBound)
        bytes.append(littleEndian: entry.range.upperBound - entry.range.lowerBound)
        bytes.append(littleEndian: entry.kind.rawValue)
    }
}
