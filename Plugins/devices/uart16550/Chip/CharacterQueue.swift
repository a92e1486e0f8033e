/// One of the UART's two FIFOs: up to 16 characters, each with three error bits, held inline.
///
/// The oldest character is always in the lowest byte, so that a queue's fields depend only on what it holds: two
/// queues with the same contents are equal, however they came to be. Nothing here allocates.
public struct CharacterQueue: Equatable, Sendable {
    /// PC16550D: both FIFOs hold 16 characters.
    public static let capacity = 16

    /// Characters 0...7, the oldest in bits 7:0.
    public var low: UInt64 = 0
    /// Characters 8...15.
    public var high: UInt64 = 0
    /// Four bits a character, the oldest in bits 3:0: bit 0 parity error, bit 1 framing error, bit 2 break.
    public var errors: UInt64 = 0
    /// Characters held, 0...16.
    public var count: UInt8 = 0

    public init() {}

    public var isEmpty: Bool { count == 0 }
    public var isFull: Bool { count >= UInt8(Self.capacity) }

    /// The oldest character; 0 if there is none.
    public var first: UInt8 { UInt8(truncatingIfNeeded: low) }

    /// The oldest character's error bits.
    public var firstErrors: UInt8 { UInt8(truncatingIfNeeded: errors & 0xF) }

    /// Appends a character. A full queue stays as it is.
    public mutating func push(_ character: UInt8, errors newErrors: UInt8 = 0) {
        guard !isFull else { return }
        let position = UInt64(count)
        if position < 8 {
            low |= UInt64(character) &<< (position &* 8)
        } else {
            high |= UInt64(character) &<< ((position &- 8) &* 8)
        }
        errors |= UInt64(newErrors & 0x7) &<< (position &* 4)
        count &+= 1
    }

    /// Removes and returns the oldest character.
    public mutating func pop() -> UInt8? {
        guard !isEmpty else { return nil }
        let character = first
        low = (low &>> 8) | (high &<< 56)
        high &>>= 8
        errors &>>= 4
        count &-= 1
        return character
    }

    /// Forgets the oldest character's error bits, and keeps the character.
    public mutating func clearFirstErrors() { errors &= ~0xF }

    /// False for fields that no sequence of pushes and pops can make: more than 16 characters, or bits beyond the last.
    public var isConsistent: Bool {
        guard count <= UInt8(Self.capacity), errors & 0x8888_8888_8888_8888 == 0 else { return false }
        let held = UInt64(count)
        let used = held >= 8 ? UInt64.max : (1 &<< (held &* 8)) &- 1
        let usedHigh = held >= 16 ? UInt64.max : held <= 8 ? 0 : (1 &<< ((held &- 8) &* 8)) &- 1
        let usedErrors = held >= 16 ? UInt64.max : (1 &<< (held &* 4)) &- 1
        return low & ~used == 0 && high & ~usedHigh == 0 && errors & ~usedErrors == 0
    }
}
