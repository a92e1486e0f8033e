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
