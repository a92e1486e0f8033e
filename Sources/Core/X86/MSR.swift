// Numbers of model-specific registers. Source: SDM volume 4, chapter 2 (architectural MSRs).

public enum MSR {
    /// P5_MC_ADDR and P5_MC_TYPE.
    @inlinable public static var machineCheckAddress: UInt32 { 0 }
    @inlinable public static var machineCheckType: UInt32 { 1 }
    @inlinable public static var tsc: UInt32 { 0x10 }
    @inlinable public static var platformID: UInt32 { 0x17 }
    @inlinable public static var apicBase: UInt32 { 0x1b }
    @inlinable public static var tscAdjust: UInt32 { 0x3b }
    @inlinable public static var microcode: UInt32 { 0x8b }
    @inlinable public static var sysenterCS: UInt32 { 0x174 }
    @inlinable public static var sysenterESP: UInt32 { 0x175 }
    @inlinable public static var sysenterEIP: UInt32 { 0x176 }
    @inlinable public static var miscEnable: UInt32 { 0x1a0 }
    @inlinable public static var debugControl: UInt32 { 0x1d9 }
    @inlinable public static var pat: UInt32 { 0x277 }
    @inlinable public static var tscDeadline: UInt32 { 0x6e0 }
    @inlinable public static var efer: UInt32 { 0xc000_0080 }
    @inlinable public static var star: UInt32 { 0xc000_0081 }
    @inlinable public static var lstar: UInt32 { 0xc000_0082 }
    @inlinable public static var cstar: UInt32 { 0xc000_0083 }
    @inlinable public static var syscallMask: UInt32 { 0xc000_0084 }
    @inlinable public static var fsBase: UInt32 { 0xc000_0100 }
    @inlinable public static var gsBase: UInt32 { 0xc000_0101 }
    @inlinable public static var kernelGSBase: UInt32 { 0xc000_0102 }
    @inlinable public static var tscAux: UInt32 { 0xc000_0103 }
}
