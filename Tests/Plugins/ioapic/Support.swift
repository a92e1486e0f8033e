import IOAPIC

extension IOAPIC {
    mutating func select(_ register: UInt8) { _ = write(0x00, UInt32(register)) }

    mutating func register(_ register: UInt8) -> UInt32? {
        select(register)
        return read(0x10)
    }

    mutating func set(_ register: UInt8, _ value: UInt32) {
        select(register)
        _ = write(0x10, value)
    }

    mutating func takeMessages() -> [Message] {
        var messages: [Message] = []
        while let message = takeMessage() { messages.append(message) }
        return messages
    }
}

/// Seeded numbers (SplitMix64), the same on every run.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
