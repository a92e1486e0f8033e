// What a CPU is between two instructions: all that a snapshot holds of it, whatever engine runs it. Memory, the virtual clock and the level of the
// INTR pin are others' to save.

public import CBackplane

public struct CPUSnapshot: Sendable {
    /// Legal by `RegisterRules`.
    public var registers = bp_registers()
    /// Of PAE paging, as they were loaded with CR3; they count where `isPAE`.
    public var pageDirectoryPointers: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    public var floating = FloatingState()
    /// Selectors of the last x87 instruction and of its operand; 0 on engines and processors that do not keep them (SDM volume 1, 8.1.8).
    public var instructionSelector: UInt16 = 0
    public var dataSelector: UInt16 = 0
    public var xcr0: UInt64 = 1
    /// XSTATE_BV of the components above x87 and SSE that are not in their initial state, and the bytes of XSAVE's standard form from 576 on, as the
    /// host's processor lays them out (CPUID leaf 13).
    public var extendedComponents: UInt64 = 0
    public var extendedState: [UInt8] = []
    /// By number: all that differ from what they are after RESET. Never EFER, FS.base and GS.base, which are `registers`; the TSC as RDMSR gives it.
    public var msrs: [UInt32: UInt64] = [:]
    public var pending = Pending()

    public init() {}

    /// The CPU walks its tables from four pointers that it has loaded: PAE paging outside of long mode (SDM volume 3, 4.4.1).
    public var isPAE: Bool {
        registers.cr0 & CR0.pg != 0 && registers.cr4 & CR4.pae != 0 && registers.efer & EFER.lma == 0
    }

    /// MSRs that are always saved: those with names in the format, but for IA32_APIC_BASE, which goes with a local APIC.
    public static var alwaysSavedMSRs: [UInt32] { CPUStateFormat.everyCPUsMSRs }

    /// How a sentence names an MSR: as the saved state's field.
    public static func name(ofMSR index: UInt32) -> String { CPUStateFormat.name(ofMSR: index) }

    /// What is under way: the guest's non-register state of SDM volume 3, 25.4.2, and the event of a VM entry, 25.8.3.
    public struct Pending: Sendable, Equatable {
        public enum Activity: UInt8, Sendable {
            case active = 0
            /// HLT has retired; RIP is past it.
            case halted = 1
        }
        public enum Shadow: UInt8, Sendable {
            case none = 0
            case sti = 1
            /// MOV SS or POP SS: debug traps are held too.
            case movSS = 2
        }

        public var activity = Activity.active
        public var shadow = Shadow.none
        /// An NMI's handler has not returned.
        public var isNMIBlocked = false
        public var isNMIPending = false
        /// DR6 bits 3:0, BS and BT of a #DB that comes before the next instruction, or behind `Shadow.movSS` after it. DR6 does not have them yet.
        public var debugTraps: UInt64 = 0
        /// RIP is at a repeated string instruction that has done a round: what is delivered now pushes RF set (SDM volume 3, 17.3.1.1). RFLAGS.RF
        /// says the same where an engine has no other place for it.
        public var isBetweenRounds = false
        /// Taken from its source and not delivered: comes before the next instruction, whatever else waits.
        public var event: Event?

        public init() {}
    }

    public struct Event: Sendable, Equatable {
        /// As in bits 10:8 of the VM-entry interruption-information field. Events of INT n, INT3 and INTO do not occur: RIP is at the instruction.
        public enum Kind: UInt8, Sendable { case external = 0, nmi = 2, exception = 3 }
        public var kind: Kind
        public var vector: UInt8
        /// DR6 and CR2 have what the exception leaves there.
        public var errorCode: UInt32?

        public init(_ kind: Kind, _ vector: UInt8, errorCode: UInt32? = nil) {
            (self.kind, self.vector, self.errorCode) = (kind, vector, errorCode)
        }
    }
}

extension CPU {
    /// The state between two instructions, as tagged fields (docs/engines.md). What is half done is completed first. Throws within an exit.
    public func save() throws(EngineError) -> StateBuffer {
        let snapshot = try snapshot()
        // A debugger has made it: `load` would refuse it.
        if let rule = snapshot.brokenRule { throw EngineError("the CPU is in no state that can be saved: \(rule)") }
        return CPUStateFormat.encode(snapshot)
    }

    /// Becomes the CPU that was saved, of this engine or another; the CPU may have run. Memory that has changed meanwhile is told as always, and the
    /// virtual clock is set before: the TSC goes on from its saved value. Throws, and leaves the CPU as it was, where the state is not this format's,
    /// or none that a CPU, or this one, can hold: the text names the field.
    public func load(_ state: StateBuffer) throws(EngineError) {
        let snapshot: CPUSnapshot
        do throws(EngineError) {
            snapshot = try CPUStateFormat.decode(state)
            if let rule = snapshot.brokenRule { throw EngineError(rule) }
        } catch {
            throw EngineError("the CPU's saved state: \(error)")
        }
        try restore(snapshot)
    }
}
