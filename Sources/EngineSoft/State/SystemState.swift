import CBackplane
import Core

/// What the system half of the CPU keeps beside the flat state.
struct SystemState {
    /// EXT of error codes: 1 while an exception or an external event is delivered (SDM volume 3, 6.13).
    var external: UInt32 = 0
    /// The last task switch got so far that a fault is the new task's.
    var hasSwitched = false
    /// `setRegisters` was called in an exit: applied when the instruction is finished.
    var deferred: (from: bp_registers, to: bp_registers)?
    /// By `restore`: delivered before the next instruction. Bit `ch_attention_engine` is set as long.
    var event: CPUSnapshot.Event?
}
