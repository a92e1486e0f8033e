import Images
public import LinuxBoot

/// `struct hvm_start_info` of the PVH boot protocol, version 1, with what it points to, in one block.
/// Source: Xen, docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h.
public struct StartInfo: Equatable, Sendable {
    /// XEN_HVM_START_MAGIC_VALUE: "xEn3" with its highest bit set.
    static let magic: UInt32 = 0x336E_C578

    public typealias Region = ZeroPage.Entry

    public var commandLine: [UInt8]
    /// Where each module lies.
    public var modules: [Range<UInt64>]
    public var memoryMap: [Region]
    /// Where ACPI's RSDP is; 0: it is not told.
    public var rootPointer: UInt64

    public init(commandLine: [UInt8], modules: [Range<UInt64>], memoryMap: [Region], rootPointer: UInt64 = 0) {
        self.commandLine = commandLine
        self.modules = modules
        self.memoryMap = memoryMap
        self.rootPointer = rootPointer
    }

    private static let headerSize: UInt64 = 56
    private static let moduleSize: UInt64 = 32
    private static let regionSize: UInt64 = 24

    /// The header, the modules, the memory map, the command line; for memory at `base`, a multiple of 8.
    public func bytes(at base: UInt64) -> [UInt8] {
        let moduleList = base &+ Self.headerSize
        let map = moduleList &+ UInt64(modules.count) &* Self.moduleSize
        let line = map &+ UInt64(memoryMap.count) &* Self.regionSize
        var bytes: [UInt8] = []
        for word in [Self.magic, 1, 0, UInt32(truncatingIfNeeded: modules.count)] { bytes.append(littleEndian: word) }
        for address in [modules.isEmpty ? 0 : moduleList, line, rootPointer, map] {
            bytes.append(littleEndian: address)
        }
        for word in [UInt32(truncatingIfNeeded: memoryMap.count), 0] { bytes.append(littleEndian: word) }
        for module in modules {
            for word in [module.lowerBound, module.upperBound - module.lowerBound, 0, 0] {
                bytes.append(littleEndian: word)
            }
        }
        for region in memoryMap {
            bytes.append(littleEndian: region.range.lowerBound)
            bytes.append(littleEndian: region.range.upperBound - region.range.lowerBound)
            for word in [region.kind.rawValue, 0] { bytes.append(littleEndian: word) }
        }
        return bytes + commandLine + [0]
    }
}
