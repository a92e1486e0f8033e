// Bits of control registers, of EFER and of RFLAGS, by the SDM's names in lower case.
// Source: SDM volume 1, 3.4.3; volume 3, 2.2.1, 2.3 and 2.5.

public enum CR0 {
    @inlinable public static var pe: UInt64 { 1 << 0 }
    @inlinable public static var mp: UInt64 { 1 << 1 }
    @inlinable public static var em: UInt64 { 1 << 2 }
    @inlinable public static var ts: UInt64 { 1 << 3 }
    @inlinable public static var et: UInt64 { 1 << 4 }
    @inlinable public static var ne: UInt64 { 1 << 5 }
    @inlinable public static var wp: UInt64 { 1 << 16 }
    @inlinable public static var am: UInt64 { 1 << 18 }
    @inlinable public static var nw: UInt64 { 1 << 29 }
    @inlinable public static var cd: UInt64 { 1 << 30 }
    @inlinable public static var pg: UInt64 { 1 << 31 }
    /// All that are defined; the others must be 0.
    @inlinable public static var defined: UInt64 { 0xe005_003f }
}

public enum CR4 {
    @inlinable public static var vme: UInt64 { 1 << 0 }
    @inlinable public static var pvi: UInt64 { 1 << 1 }
    @inlinable public static var tsd: UInt64 { 1 << 2 }
    @inlinable public static var de: UInt64 { 1 << 3 }
    @inlinable public static var pse: UInt64 { 1 << 4 }
    @inlinable public static var pae: UInt64 { 1 << 5 }
    @inlinable public static var mce: UInt64 { 1 << 6 }
    @inlinable public static var pge: UInt64 { 1 << 7 }
    @inlinable public static var pce: UInt64 { 1 << 8 }
    @inlinable public static var osfxsr: UInt64 { 1 << 9 }
    @inlinable public static var osxmmexcpt: UInt64 { 1 << 10 }
    @inlinable public static var umip: UInt64 { 1 << 11 }
    @inlinable public static var la57: UInt64 { 1 << 12 }
    @inlinable public static var fsgsbase: UInt64 { 1 << 16 }
    @inlinable public static var pcide: UInt64 { 1 << 17 }
    @inlinable public static var osxsave: UInt64 { 1 << 18 }
    @inlinable public static var smep: UInt64 { 1 << 20 }
    @inlinable public static var smap: UInt64 { 1 << 21 }
}

public enum EFER {
    @inlinable public static var sce: UInt64 { 1 << 0 }
    @inlinable public static var lme: UInt64 { 1 << 8 }
    @inlinable public static var lma: UInt64 { 1 << 10 }
    @inlinable public static var nxe: UInt64 { 1 << 11 }
}

/// `interrupt`: IF.
public enum RFLAGS {
    @inlinable public static var cf: UInt64 { 1 << 0 }
    /// Always 1.
    @inlinable public static var fixed: UInt64 { 1 << 1 }
    @inlinable public static var pf: UInt64 { 1 << 2 }
    @inlinable public static var af: UInt64 { 1 << 4 }
    @inlinable public static var zf: UInt64 { 1 << 6 }
    @inlinable public static var sf: UInt64 { 1 << 7 }
    @inlinable public static var tf: UInt64 { 1 << 8 }
    @inlinable public static var interrupt: UInt64 { 1 << 9 }
    @inlinable public static var df: UInt64 { 1 << 10 }
    @inlinable public static var of: UInt64 { 1 << 11 }
    @inlinable public static var iopl: UInt64 { 3 << 12 }
    @inlinable public static var nt: UInt64 { 1 << 14 }
    @inlinable public static var rf: UInt64 { 1 << 16 }
    @inlinable public static var vm: UInt64 { 1 << 17 }
    @inlinable public static var ac: UInt64 { 1 << 18 }
    @inlinable public static var vif: UInt64 { 1 << 19 }
    @inlinable public static var vip: UInt64 { 1 << 20 }
    @inlinable public static var id: UInt64 { 1 << 21 }
    @inlinable public static var status: UInt64 { cf | pf | af | zf | sf | of }
}
