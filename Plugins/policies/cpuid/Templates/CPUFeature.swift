/// A feature bit of CPUID. Source: SDM volume 2, CPUID; leaf 0x80000001 also AMD's APM volume 3, appendix E.
public struct CPUFeature: Equatable, Sendable {
    public enum Register: Int, Sendable { case eax = 0, ebx, ecx, edx }

    /// As Linux's /proc/cpuinfo writes it.
    public let name: StaticString
    public let leaf: UInt32
    public let register: Register
    public let bit: UInt32

    public static func == (a: CPUFeature, b: CPUFeature) -> Bool {
        a.leaf == b.leaf && a.register == b.register && a.bit == b.bit
    }

    public static func named(_ name: String) -> CPUFeature? { all.first { $0.name.description == name } }

    private static func row(_ leaf: UInt32, _ register: Register, _ bits: [(StaticString, UInt32)]) -> [CPUFeature] {
        bits.map { CPUFeature(name: $0.0, leaf: leaf, register: register, bit: $0.1) }
    }

    /// Those of leaf 7 are of subleaf 0.
    public static let all: [CPUFeature] =
        row(
            1, .edx,
            [
                ("fpu", 0), ("vme", 1), ("de", 2), ("pse", 3), ("tsc", 4), ("msr", 5), ("pae", 6), ("mce", 7),
                ("cx8", 8),
                ("apic", 9), ("sep", 11), ("mtrr", 12), ("pge", 13), ("mca", 14), ("cmov", 15), ("pat", 16),
                ("pse36", 17),
                ("pn", 18), ("clflush", 19), ("dts", 21), ("acpi", 22), ("mmx", 23), ("fxsr", 24), ("sse", 25),
                ("sse2", 26), ("ss", 27), ("ht", 28), ("tm", 29), ("pbe", 31),
            ])
        + row(
            1, .ecx,
            [
                ("pni", 0), ("pclmulqdq", 1), ("dtes64", 2), ("monitor", 3), ("ds_cpl", 4), ("vmx", 5), ("smx", 6),
                ("est", 7), ("tm2", 8), ("ssse3", 9), ("cid", 10), ("sdbg", 11), ("fma", 12), ("cx16", 13),
                ("xtpr", 14),
                ("pdcm", 15), ("pcid", 17), ("dca", 18), ("sse4_1", 19), ("sse4_2", 20), ("x2apic", 21), ("movbe", 22),
                ("popcnt", 23), ("tsc_deadline_timer", 24), ("aes", 25), ("xsave", 26), ("osxsave", 27), ("avx", 28),
                ("f16c", 29), ("rdrand", 30), ("hypervisor", 31),
            ])
        + row(
            7, .ebx,
            [
                ("fsgsbase", 0), ("tsc_adjust", 1), ("bmi1", 3), ("avx2", 5), ("smep", 7), ("bmi2", 8), ("erms", 9),
                ("invpcid", 10), ("avx512f", 16), ("rdseed", 18), ("adx", 19), ("smap", 20), ("clflushopt", 23),
                ("sha_ni", 29),
            ])
        + row(0x8000_0001, .ecx, [("lahf_lm", 0), ("abm", 5), ("3dnowprefetch", 8)])
        + row(0x8000_0001, .edx, [("syscall", 11), ("nx", 20), ("pdpe1gb", 26), ("rdtscp", 27), ("lm", 29)])
}
