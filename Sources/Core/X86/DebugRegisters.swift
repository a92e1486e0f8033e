// The layout of DR6 and DR7. Source: SDM volume 3, 17.2.

public enum DR6 {
    /// Bits that are always 1, and those that MOV DR can change.
    @inlinable public static var fixed: UInt64 { 0xffff_0ff0 }
    @inlinable public static var writable: UInt64 { 0xe00f }
    /// B0 to B3: the breakpoints that were met.
    @inlinable public static var breakpoints: UInt64 { 0xf }
    /// BD: a debug register was touched with DR7.GD set.
    @inlinable public static var accessDetected: UInt64 { 1 << 13 }
    @inlinable public static var singleStep: UInt64 { 1 << 14 }
    @inlinable public static var taskSwitch: UInt64 { 1 << 15 }
}

public enum DR7 {
    @inlinable public static var fixed: UInt64 { 0x400 }
    @inlinable public static var writable: UInt64 { 0xffff_23ff }
    /// LE and GE.
    @inlinable public static var exact: UInt64 { 0x300 }
    /// GD.
    @inlinable public static var accessDetection: UInt64 { 1 << 13 }
    /// L0, G0, ... L3, G3.
    @inlinable public static var enables: UInt64 { 0xff }

    /// R/W of a breakpoint: what meets it.
    public enum Condition: UInt64, Sendable {
        case execution = 0
        case write = 1
        /// Only with CR4.DE.
        case io = 2
        case readOrWrite = 3
    }

    @inlinable
    public static func isEnabled(_ number: Int, in control: UInt64) -> Bool { control &>> UInt64(number &* 2) & 3 != 0 }

    @inlinable
    public static func condition(of number: Int, in control: UInt64) -> Condition {
        Condition(rawValue: control &>> UInt64(16 &+ number &* 4) & 3).unsafelyUnwrapped
    }

    /// LEN, in bytes: 1, 2, 4 or 8.
    @inlinable
    public static func length(of number: Int, in control: UInt64) -> UInt64 {
        switch control &>> UInt64(18 &+ number &* 4) & 3 {
        case 0: 1
        case 1: 2
        case 2: 8
        default: 4
        }
    }

    /// A breakpoint enabled for all tasks; nil: no register holds one of so many bytes.
    @inlinable
    public static func global(_ number: Int, _ condition: Condition, length: UInt64) -> UInt64? {
        let code: UInt64
        switch length {
        case 1: code = 0
        case 2: code = 1
        case 4: code = 3
        case 8: code = 2
        default: return nil
        }
        return 2 << UInt64(2 * number) | (condition.rawValue | code << 2) << UInt64(16 + 4 * number)
    }
}
