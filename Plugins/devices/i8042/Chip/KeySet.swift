/// A set of numbers of 0...191, held inline: keys by evdev code, or codes of set 3.
public struct KeySet: Equatable, Sendable {
    public var low: UInt64 = 0
    public var middle: UInt64 = 0
    public var high: UInt64 = 0

    public init() {}

    init(_ members: [UInt8]) { for member in members { self[UInt16(member)] = true } }

    /// Numbers beyond 191 are never in it.
    subscript(member: UInt16) -> Bool {
        get {
            let bit: UInt64 = 1 &<< UInt64(member & 63)
            switch member / 64 {
            case 0: return low & bit != 0
            case 1: return middle & bit != 0
            case 2: return high & bit != 0
            default: return false
            }
        }
        set {
            let bit: UInt64 = 1 &<< UInt64(member & 63)
            switch member / 64 {
            case 0: low = newValue ? low | bit : low & ~bit
            case 1: middle = newValue ? middle | bit : middle & ~bit
            case 2: high = newValue ? high | bit : high & ~bit
            default: break
            }
        }
    }

    var count: Int { low.nonzeroBitCount + middle.nonzeroBitCount + high.nonzeroBitCount }
}
