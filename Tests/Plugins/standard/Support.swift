import PluginKit
import StandardDecisions

/// A record with the numbers of the SDM and of plugin.h written out.
func exit(
    _ reason: UInt16, flags: UInt16 = 0, width: UInt32 = 0, rip: UInt64 = 0, address: UInt64 = 0, value: UInt64 = 0,
    time: UInt64 = 0
) -> bp_exit {
    var exit = bp_exit()
    exit.reason = reason
    exit.flags = flags
    exit.width = width
    exit.rip = rip
    exit.address = address
    exit.value = value
    exit.time = time
    return exit
}

extension DefaultDecisions {
    init(_ change: (inout Settings) -> Void) {
        var settings = Settings()
        change(&settings)
        self.init(settings)
    }

    mutating func decide(_ exit: bp_exit) -> Decision {
        var copy = exit
        return decide(&copy)
    }
}

let second: UInt64 = 1_000_000_000
let tripleFault: UInt16 = 2
let hlt: UInt16 = 12
let io: UInt16 = 30
let rdmsr: UInt16 = 31
let wrmsr: UInt16 = 32
let eptViolation: UInt16 = 48
let write: UInt16 = 1
let unclaimed: UInt16 = 4
let ripPast: UInt16 = 8
let interruptsEnabled: UInt16 = 16
let askPower: UInt16 = 64
