/// The hypercalls of the `paravirt` policy, by number: the same through VMCALL and through a port.
public enum Hypercall: UInt64, CaseIterable, Sendable {
    /// Gives the signature in bits 63:32 and the version in 31:0.
    case identify = 0
    /// Writes RCX bytes at the linear address RBX to the console, at most 4096. Gives the number written.
    case write = 1
    /// Gives the virtual clock, in nanoseconds.
    case clock = 2
    /// Gives UTC in seconds since 1970.
    case wallClock = 3
    /// Powers off; RBX not zero: as a failure, with the exit status (RBX << 1) | 1.
    case powerOff = 4

    /// "BPPV"
    public static let signature: UInt64 = 0x5650_5042
    public static let version: UInt64 = 1
    public static let identity = signature << 32 | version
    /// Of a number that is no hypercall, or arguments that are none.
    public static let failure = UInt64.max
    public static let longestWrite: UInt64 = 4096
}

/// KVM's clock for guests that know it, such as Linux. Source: Linux's Documentation/virt/kvm/x86/msr.rst and cpuid.rst.
/// The software engine's TSC counts nanoseconds of the virtual clock: the scale is one.
public enum KVMClock {
    public static let wallClockMSR: UInt64 = 0x4b56_4d00
    public static let systemTimeMSR: UInt64 = 0x4b56_4d01
    public static let leaves: ClosedRange<UInt64> = 0x4000_0000...0x4000_0001
    /// KVM_FEATURE_CLOCKSOURCE2 and KVM_FEATURE_CLOCKSOURCE_STABLE_BIT.
    static let features: UInt32 = 1 << 3 | 1 << 24

    /// EAX, EBX, ECX, EDX.
    public static func leaf(_ number: UInt64) -> (UInt32, UInt32, UInt32, UInt32) {
        // "KVMKVMKVM\0\0\0"
        if number == 0x4000_0000 { return (0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x0000_004d) }
        return (features, 0, 0, 0)
    }

    /// Where a write to the system time's MSR wants the structure; nil: nowhere (bit 0 is clear).
    public static func address(_ value: UInt64) -> UInt64? { value & 1 == 1 ? value & ~3 : nil }

    /// struct pvclock_vcpu_time_info, 32 bytes, little-endian. `tsc`: the TSC at the virtual time `now`.
    public static func timeInfo(version: UInt32, tsc: UInt64, now: UInt64) -> [UInt8] {
        // ns = ((TSC - tsc) << 1) * 2^31 >> 32 + now
        var bytes = little(version) + little(0 as UInt32) + little(tsc) + little(now)
        bytes += little(0x8000_0000 as UInt32)
        // Shift, flags (PVCLOCK_TSC_STABLE_BIT), padding.
        return bytes + [1, 1, 0, 0]
    }

    /// struct pvclock_wall_clock, 12 bytes: UTC at the virtual time 0.
    public static func wallClock(version: UInt32, seconds: UInt32, nanoseconds: UInt32) -> [UInt8] {
        little(version) + little(seconds) + little(nanoseconds)
    }

    private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<(T.bitWidth / 8)).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
    }
}
