import LocalAPIC
import Testing

/// A chip that firmware has switched on: SVR 0x1FF.
func readyAPIC(id: UInt8 = 0, isBootstrap: Bool = true, tscHertz: UInt64 = 1_000_000_000) -> LocalAPIC {
    var chip = LocalAPIC(id: id, isBootstrap: isBootstrap, tscHertz: tscHertz)
    chip.write(0x0F0, 0x1FF, at: 0)
    return chip
}

extension LocalAPIC {
    mutating func fixed(_ vector: UInt8, level: Bool = false, at now: UInt64 = 0) {
        receive(
            InterruptMessage(destination: .physical(0xFF), delivery: .fixed, vector: vector, isLevelTriggered: level),
            at: now)
    }

    mutating func end() { write(0x0B0, 0, at: 0) }
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
