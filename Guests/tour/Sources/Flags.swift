/// Bits of a register. An `OptionSet` is out of reach here: its array literals would allocate, and `-no-allocations`
/// refuses the type for it.
protocol Flags {
    associatedtype RawValue: FixedWidthInteger
    var rawValue: RawValue { get }
    init(rawValue: RawValue)
}

extension Flags {
    static var none: Self { Self(rawValue: 0) }
    static func | (left: Self, right: Self) -> Self { Self(rawValue: left.rawValue | right.rawValue) }

    var isEmpty: Bool { rawValue == 0 }
    func contains(_ all: Self) -> Bool { rawValue & all.rawValue == all.rawValue }
    func containsAny(of some: Self) -> Bool { rawValue & some.rawValue != 0 }
}
