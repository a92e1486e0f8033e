/// A set of interrupt vectors: IRR, ISR and TMR, eight registers of 32 bits each.
public struct VectorSet: Equatable, Sendable {
    /// Vectors 0...63, 64...127, 128...191, 192...255.
    public var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    public init() {}

    public static func == (left: Self, right: Self) -> Bool { left.words == right.words }

    public var isEmpty: Bool { words == (0, 0, 0, 0) }

    public func contains(_ vector: UInt8) -> Bool { self[word: vector &>> 6] &>> UInt64(vector & 63) & 1 != 0 }
    public mutating func insert(_ vector: UInt8) { self[word: vector &>> 6] |= 1 &<< UInt64(vector & 63) }
    public mutating func remove(_ vector: UInt8) { self[word: vector &>> 6] &= ~(1 &<< UInt64(vector & 63)) }

    /// The vector of the highest priority.
    public var highest: UInt8? {
        for index: UInt8 in [3, 2, 1, 0] where self[word: index] != 0 {
            return index &* 64 &+ UInt8(truncatingIfNeeded: 63 &- self[word: index].leadingZeroBitCount)
        }
        return nil
    }

    /// Register `index` (0...7) of the eight: vectors 32 * index and up.
    func register(_ index: UInt8) -> UInt32 {
        UInt32(truncatingIfNeeded: self[word: index &>> 1] &>> (index & 1 == 0 ? 0 : 32))
    }

    /// `index` counts modulo 4.
    private subscript(word index: UInt8) -> UInt64 {
        get {
            switch index & 3 {
            case 0: words.0
            case 1: words.1
            case 2: words.2
            default: words.3
            }
        }
        set {
            switch index & 3 {
            case 0: words.0 = newValue
            case 1: words.1 = newValue
            case 2: words.2 = newValue
            default: words.3 = newValue
            }
        }
    }
}
