// What CPUID says: exactly what works, and nothing more. Source: SDM volume 2, CPUID.

import CHost

/// The processor that the guest sees. Its family and model are those of a CPU without speculative execution (Atom, Saltwell), which is the
/// truth here too: Linux then takes none of its detours around side channels.
struct CPUModel {
    typealias Leaf = (eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32)

    static let physicalBits = PageWalk.physicalBits
    /// Family 6, model 0x36, stepping 1: also what EDX holds after RESET.
    static let signature: UInt32 = 0x0003_0661
    static let vendor = "GenuineIntel"
    static let brand = "Backplane soft CPU at 1.00GHz"

    let features: FeatureSet
    /// A device answers IA32_APIC_BASE.
    var hasLocalAPIC = false

    /// SSE3 and later are there where the host has them, because vector instructions are executed by the host's own.
    init() {
        var set: [Feature] = [
            .base, .mmx, .sse, .sse2, .cmpxchg16b, .popcnt, .fsgsbase, .xsave, .clflush, .clflushopt, .rdtscp, .syscall,
            .sysenter, .invpcid, .smap, .lahf64, .prefetchw, .rdpid,
            // Not in CPUID; decoded, so that a policy can answer them.
            .monitor, .rdrand, .rdseed,
        ]
        let host = ch_cpu_features()
        if host & 1 << 0 != 0 { set.append(.sse3) }
        if host & 1 << 9 != 0 { set.append(.ssse3) }
        if host & 1 << 19 != 0 { set.append(.sse41) }
        if host & 1 << 20 != 0 { set.append(.sse42) }
        features = FeatureSet(set)
    }

    func cpuid(leaf: UInt32, subleaf: UInt32, _ s: S) -> Leaf {
        let lastBasic = s.cpu.pointee.msrs.miscEnable & MiscEnable.limitsCPUID == 0 ? Self.lastBasic : 2
        return switch leaf {
        case 0: (lastBasic, Self.word(Self.vendor, 0), Self.word(Self.vendor, 2), Self.word(Self.vendor, 1))
        case 1...lastBasic: basic(leaf, subleaf, s)
        case 0x4000_0000:
            (0x4000_0000, Self.word("Backplane VM", 0), Self.word("Backplane VM", 1), Self.word("Backplane VM", 2))
        case 0x8000_0000...Self.lastExtended: extended(leaf, s)
        // Beyond the last one, the answer is that of the last basic leaf.
        default: basic(lastBasic, subleaf, s)
        }
    }

    private static let lastBasic: UInt32 = 0x16
    private static let lastExtended: UInt32 = 0x8000_0008

    /// Four bytes of a text.
    private static func word(_ text: String, _ index: Int) -> UInt32 {
        var value: UInt32 = 0
        for (position, byte) in text.utf8.dropFirst(index * 4).prefix(4).enumerated() {
            value |= UInt32(byte) << UInt32(position * 8)
        }
        return value
    }

    // MARK: Basic leaves

    private func basic(_ leaf: UInt32, _ subleaf: UInt32, _ s: S) -> Leaf {
        switch leaf {
        case 1: (Self.signature, Self.lines, versionECX(s), versionEDX(s))
        // Descriptors: none, but for "see leaf 4".
        case 2: (1, 0, 0, 0)
        case 7 where subleaf == 0: (0, Self.structuredEBX, Self.structuredECX, 0)
        case 0xd: state(subleaf)
        // The TSC: the crystal's own 1 GHz, which is also what local APICs count (Linux takes their clock from here).
        case 0x15: (1, 1, 1_000_000_000, 0)
        case 0x16: (1000, 1000, 100, 0)
        default: (0, 0, 0, 0)
        }
    }

    /// CLFLUSH line of 8 * 8 bytes, one logical processor.
    private static let lines: UInt32 = 8 << 8 | 1 << 16

    private func versionECX(_ s: S) -> UInt32 {
        // CX16, POPCNT, XSAVE, hypervisor
        var bits: UInt32 = 1 << 13 | 1 << 23 | 1 << 26 | 1 << 31
        if features.contains(.sse3) { bits |= 1 << 0 }
        if features.contains(.ssse3) { bits |= 1 << 9 }
        if features.contains(.sse41) { bits |= 1 << 19 }
        if features.contains(.sse42) { bits |= 1 << 20 }
        // PCID
        bits |= 1 << 17
        if s.cpu.pointee.cr4 & CR4.osxsave != 0 { bits |= 1 << 27 }
        return bits
    }

    /// With APIC where there is one and IA32_APIC_BASE has it enabled.
    private func versionEDX(_ s: S) -> UInt32 {
        let isEnabled = hasLocalAPIC && s.cpu.pointee.msrs.apicBase & 1 << 11 != 0
        return Self.ownEDX | (isEnabled ? 1 << 9 : 0)
    }

    /// FPU, VME, DE, PSE, TSC, MSR, PAE, MCE, CX8, SEP, PGE, CMOV, PAT, PSE-36, CLFSH, MMX, FXSR, SSE, SSE2. No MTRR, MCA: machine checks, which never come, are a Pentium's.
    private static let ownEDX: UInt32 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 15, 16, 17, 19, 23, 24, 25, 26]
        .reduce(0) { $0 | 1 << $1 }

    /// FSGSBASE, SMEP, ERMS, INVPCID, CLFLUSHOPT, SMAP
    private static let structuredEBX: UInt32 = [0, 7, 9, 10, 20, 23].reduce(0) { $0 | 1 << $1 }
    /// UMIP, RDPID
    private static let structuredECX: UInt32 = 1 << 2 | 1 << 22

    /// XSAVE: x87 and SSE, 512 + 64 bytes.
    private func state(_ subleaf: UInt32) -> Leaf {
        subleaf == 0 ? (UInt32(truncatingIfNeeded: SoftCPU.xcr0Bits), 576, 576, 0) : (0, 0, 0, 0)
    }

    // MARK: Extended leaves

    private func extended(_ leaf: UInt32, _ s: S) -> Leaf {
        switch leaf {
        case 0x8000_0000: return (Self.lastExtended, 0, 0, 0)
        // LAHF, PREFETCHW; SYSCALL, NX, 1 GiB pages, RDTSCP, long mode
        case 0x8000_0001:
            let noNX = s.cpu.pointee.msrs.miscEnable & MiscEnable.xdDisable != 0
            return (0, 0, 1 << 0 | 1 << 8, 1 << 11 | (noNX ? 0 : 1 << 20) | 1 << 26 | 1 << 27 | 1 << 29)
        case 0x8000_0002...0x8000_0004:
            let first = Int(leaf - 0x8000_0002) * 4
            return (
                Self.word(Self.brand, first), Self.word(Self.brand, first + 1), Self.word(Self.brand, first + 2),
                Self.word(Self.brand, first + 3)
            )
        // An invariant TSC
        case 0x8000_0007: return (0, 0, 0, 1 << 8)
        // 48 bits of linear address
        case 0x8000_0008: return (UInt32(truncatingIfNeeded: Self.physicalBits) | 48 << 8, 0, 0, 0)
        default: return (0, 0, 0, 0)
        }
    }
}
