// The instruction table: what the decoder, the disassembler and the test generator share. Entries come from the families' files
// (Table+*.swift); a look-up goes by map and opcode, then takes the first entry that fits prefixes, ModRM and mode.

/// Opcode maps: one byte, 0F, 0F 38, 0F 3A.
enum OpcodeMap: Int {
    case one = 0, two, three38, three3A
}

/// A mandatory prefix, where the table distinguishes by it.
enum MandatoryPrefix: UInt8 {
    case any, none, p66, pF3, pF2
    /// 66 is the operand size, F2 and F3 lead elsewhere.
    case noRepeat
}

/// What of ModRM.mod an entry takes.
enum ModRMForm: UInt8 {
    case any, memory, register
}

struct EntryFlags: OptionSet {
    let rawValue: UInt32
    /// Not in 64-bit mode; only in 64-bit mode.
    static let invalid64 = EntryFlags(rawValue: 1 << 0)
    static let only64 = EntryFlags(rawValue: 1 << 1)
    /// In 64-bit mode the operand size is 64 bits, or 16 with the prefix; or always 64.
    static let default64 = EntryFlags(rawValue: 1 << 2)
    static let force64 = EntryFlags(rawValue: 1 << 3)
    /// LOCK is allowed, with a memory destination.
    static let lockable = EntryFlags(rawValue: 1 << 4)
    /// #UD in real and virtual-8086 mode.
    static let protectedOnly = EntryFlags(rawValue: 1 << 5)
    /// Ends a block: control goes elsewhere, or what later instructions mean may change.
    static let endsBlock = EntryFlags(rawValue: 1 << 6)
    /// Not for user-mode differential tests: privileged, or its result depends on more than registers, flags and memory.
    static let system = EntryFlags(rawValue: 1 << 7)
    /// The ModRM byte is there though no operand needs it.
    static let modRM = EntryFlags(rawValue: 1 << 8)
    static let x87 = EntryFlags(rawValue: 1 << 9)
    static let mmx = EntryFlags(rawValue: 1 << 10)
    static let sse = EntryFlags(rawValue: 1 << 11)
    /// A memory operand of 16 bytes must be aligned.
    static let aligned = EntryFlags(rawValue: 1 << 12)
}

struct Entry {
    var map: OpcodeMap
    var opcode: UInt8
    var prefix = MandatoryPrefix.any
    /// ModRM.reg and ModRM.rm; 8: any.
    var reg: UInt8 = 8
    var rm: UInt8 = 8
    var form = ModRMForm.any
    var mnemonic: Mnemonic
    var operands: (Operand, Operand, Operand) = (.none, .none, .none)
    var flags: EntryFlags = []
    /// CPUID feature without which the opcode is undefined.
    var feature = Feature.base

    var hasModRM: Bool {
        flags.contains(.modRM) || reg != 8 || rm != 8 || form != .any || operands.0.needsModRM || operands.1.needsModRM
            || operands.2.needsModRM
    }
}

/// Groups of instructions that CPUID names.
enum Feature: UInt8, CaseIterable {
    case base, mmx, sse, sse2, sse3, ssse3, sse41, sse42, popcnt, cmpxchg16b, fsgsbase, xsave, xsaveopt, movbe, rdrand,
        rdseed, clflush
    case clflushopt, rdtscp, syscall, sysenter, invpcid, smap, lahf64, abm, prefetchw, adx, aes, pclmul, sha, bmi1,
        bmi2, monitor, rdpid
}

struct InstructionTable {
    private(set) var entries: [Entry] = []
    /// By map and opcode: first entry and count.
    private var ranges: [(start: UInt16, count: UInt16)] = []

    static let shared = InstructionTable()

    private init() {
        var builder = TableBuilder()
        builder.addArithmetic()
        builder.addDataTransfer()
        builder.addControlFlow()
        builder.addStrings()
        builder.addBits()
        builder.addSystem()
        builder.addX87()
        builder.addMMXAndSSE()
        var sorted = builder.entries.enumerated().map {
            ($0.element.map.rawValue << 8 | Int($0.element.opcode), $0.offset)
        }
        sorted.sort { $0 < $1 }
        ranges = Array(repeating: (0, 0), count: 4 * 256)
        for (key, position) in sorted {
            if ranges[key].count == 0 { ranges[key].start = UInt16(entries.count) }
            ranges[key].count += 1
            entries.append(builder.entries[position])
        }
    }

    /// Entries of an opcode, in the order in which they were added.
    func candidates(_ map: OpcodeMap, _ opcode: UInt8) -> Range<Int> {
        let range = ranges[map.rawValue << 8 | Int(opcode)]
        return Int(range.start)..<Int(range.start) + Int(range.count)
    }
}

/// Collects entries.
struct TableBuilder {
    private(set) var entries: [Entry] = []

    mutating func add(
        _ map: OpcodeMap, _ opcode: UInt8, _ mnemonic: Mnemonic, _ a: Operand = .none, _ b: Operand = .none,
        _ c: Operand = .none, prefix: MandatoryPrefix = .any, reg: UInt8 = 8, rm: UInt8 = 8, form: ModRMForm = .any,
        flags: EntryFlags = [], feature: Feature = .base
    ) {
        entries.append(
            Entry(
                map: map, opcode: opcode, prefix: prefix, reg: reg, rm: rm, form: form, mnemonic: mnemonic,
                operands: (a, b, c), flags: flags, feature: feature))
    }
}
