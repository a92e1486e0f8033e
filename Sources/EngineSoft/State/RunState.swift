// What a CPU needs to run and a snapshot does not: pointers, counters, and what follows from the state. After a load of CPUState,
// `updateMode` and `flushTranslations` make the rest anew.

import CBackplane
import Core

/// Why the block loop came back.
enum Stop: UInt8 {
    /// To look at attention, budget and the next block.
    case none
    /// `fault` waits to be delivered; RIP is at the instruction.
    case fault
    /// `runEnd` of the SoftCPU says more: HLT, shutdown, debug event.
    case end
}

/// An exception that an instruction raised. `code` counts where the vector has an error code.
struct Fault {
    var vector: UInt8 = 0
    var hasCode = false
    var code: UInt32 = 0
    /// #GP(0) of a linear address that is not canonical.
    var isAddress = false
}

struct RunState {
    // MARK: What every block and memory access reads
    /// SAFETY: VCPU.attention.
    var attention: UnsafePointer<UInt32>
    /// Bits of the attention word that end a block now; INTR counts only while the guest can take it.
    var attentionMask: UInt32 = 0
    /// Instructions of the running block.
    var blockCount: UInt32 = 0
    /// Retired instructions; inside a block, as if all of it had retired.
    var executed: UInt64 = 0
    /// `executed` must not go beyond.
    var deadline: UInt64 = noDeadline
    /// SAFETY: the block that was entered last; lives until the arena is emptied, which only the run loop does.
    var block: UnsafeMutablePointer<Block>?
    /// Generation of fetch translations, mode and privilege: what a cross-page chain and the jump cache were made under.
    var jumpKey: UInt64 = 0
    /// SAFETY: owned by the SoftCPU.
    var jumpCache: UnsafeMutablePointer<JumpEntry>
    /// All ones in long mode, 0xffffffff otherwise: linear addresses wrap.
    var linearMask: UInt64 = 0xffff_ffff
    /// SAFETY: the table of the TLB for the privilege in force, in `S`.
    var tlb: UnsafeMutableRawPointer
    /// ES CS SS DS FS GS as operands use them, then 0. In 64-bit mode those of ES, CS, SS and DS are 0.
    var segmentBase: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
        0, 0, 0, 0, 0, 0, 0, 0
    )
    /// What a slow load leaves.
    var loaded: UInt64 = 0
    var loadedHigh: UInt64 = 0
    var mode: Mode = []
    var stop = Stop.none
    /// `run` is under way: a request for the registers comes from within an exit.
    var isRunning = false
    /// Each round of a repeated string instruction ends the step: TF or a debugger (SDM volume 3, 17.3.1.4).
    var stepsRounds = false
    /// The guest's DR7 enables an instruction breakpoint.
    var watchesInstructions = false
    /// Data breakpoints of the guest or of the debugger.
    var watchesData = false

    // MARK: What generated code keeps (Translate/)
    /// Instructions that may be entered before the run loop has to look; negative: none. `executed` is `limit - left` meanwhile.
    var left: Int64 = 0
    var limit: UInt64 = 0
    /// Of the page where the running code lies: its linear address.
    var pageBase: UInt64 = 0
    /// What the status flags follow from (FlagRecipe.code); 0: they are in CPUState, and so they are outside of generated code.
    var flagKind: UInt32 = 0
    /// The access that the TLB does not answer (`MissedAccess`).
    var missedAccess: UInt32 = 0
    var flagA: UInt64 = 0
    var flagB: UInt64 = 0
    /// A carry, in bit 0.
    var flagC: UInt64 = 0
    var scratch: UInt64 = 0
    var scratch2: UInt64 = 0
    var scratch3: UInt64 = 0
    var scratchCarry: UInt64 = 0
    /// Retired instructions of blocks that were entered as host code.
    var translatedCount: UInt64 = 0
    /// The C library's x87 control word, which the host has outside of generated code.
    var hostControlWord: UInt16 = 0x37f
    /// Host addresses, of groups of accesses (AccessGroups): good within a block.
    var groups: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
    /// Where MXCSR is (`VectorControl`).
    var vectorControl: UInt32 = 0
    /// Where the interpreter goes on, beside the operation that is told.
    var handler: Handler?

    // MARK: What slow paths read
    /// A chain slot that waits for the block at `chainTarget`, if that comes next: an interrupt may come between.
    var chain: UnsafeMutablePointer<ChainSlot>?
    var chainTarget: UInt64 = 0
    var fault = Fault()
    /// RIP of the instruction that exited last.
    var exitRIP: UInt64 = 0
    /// Reasons that policies want, as bits: intercepted instructions test theirs.
    var intercepted: UInt64 = 0
    /// The debugger's watchpoints, as DR0 to DR3 and DR7 would hold them.
    var watch: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    var watchControl: UInt64 = 0
    /// Those that the instruction has touched, as bits.
    var watchHits: UInt64 = 0
    /// Where the number of retired instructions is published for the core (`publishCount`).
    /// SAFETY: VCPU.retired.
    var retired: UnsafeMutablePointer<UInt64>
    /// SAFETY: the machine's, which outlives its CPUs.
    var exits: Unmanaged<ExitHandler>
    /// Back to the SoftCPU that owns this state.
    /// SAFETY: it outlives its state.
    var owner: Unmanaged<SoftCPU>
    /// Of the vCPU.
    var index: UInt32
}
