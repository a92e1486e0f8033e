// Vectors of exceptions. Source: SDM volume 3, table 6-1.

public enum Vector {
    @inlinable public static var de: UInt8 { 0 }
    @inlinable public static var db: UInt8 { 1 }
    @inlinable public static var nmi: UInt8 { 2 }
    @inlinable public static var bp: UInt8 { 3 }
    @inlinable public static var of: UInt8 { 4 }
    @inlinable public static var br: UInt8 { 5 }
    @inlinable public static var ud: UInt8 { 6 }
    @inlinable public static var nm: UInt8 { 7 }
    @inlinable public static var df: UInt8 { 8 }
    @inlinable public static var ts: UInt8 { 10 }
    @inlinable public static var np: UInt8 { 11 }
    @inlinable public static var ss: UInt8 { 12 }
    @inlinable public static var gp: UInt8 { 13 }
    @inlinable public static var pf: UInt8 { 14 }
    @inlinable public static var mf: UInt8 { 16 }
    @inlinable public static var ac: UInt8 { 17 }
    @inlinable public static var xm: UInt8 { 19 }
}
