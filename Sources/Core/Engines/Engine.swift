// The contract between the core and what runs the CPU. Engines import Core; Core imports no engine.
//
// Threads: `CPU.run` and the register functions are called on the vCPU's own thread only, except where said. The machine's
// lock is not held by the caller of `run`; `ExitHandler`'s functions take it themselves. Everything else of an engine is
// called with the machine's lock held.

public import CBackplane

/// What an engine can do; I/O, MMIO, HLT and triple faults every engine delivers.
public struct EngineAbilities: Sendable, Equatable {
    /// Basic exit reasons (SDM appendix C) that can be delivered on demand, as bits.
    public var exits: UInt64
    /// A fault can be injected at the instruction that exits (`BP_WANT_PRECISE`).
    public var preciseInject: Bool
    /// The clock can be derived from retired instructions.
    public var countedClock: Bool
    /// `DebugControl.breakpoints` works: a debugger's breakpoints need no INT3 in guest memory.
    public var linearBreakpoints: Bool

    public init(exits: [Int], preciseInject: Bool, countedClock: Bool, linearBreakpoints: Bool = false) {
        let everywhere = [BP_EXIT_TRIPLE_FAULT, BP_EXIT_HLT, BP_EXIT_IO, BP_EXIT_EPT_VIOLATION]
        self.exits = (exits + everywhere).reduce(0) { $0 | (1 << UInt64($1)) }
        self.preciseInject = preciseInject
        self.countedClock = countedClock
        self.linearBreakpoints = linearBreakpoints
    }

    public func delivers(_ reason: Int) -> Bool { reason >= 0 && reason < 64 && exits >> UInt64(reason) & 1 != 0 }
}

/// What is to come out beyond what exits anyway: what policies want to see, and the MSRs that instances answer; computed by the core.
public struct Intercepts: Sendable, Equatable {
    public struct Range: Sendable, Equatable {
        public var reason: UInt16
        /// MSRs, CPUID leaves, CR numbers, vectors, guest-physical addresses...: inclusive.
        public var first: UInt64
        public var last: UInt64
        /// Only what the CPU does not have: unknown MSRs. Their exits carry BP_EXITF_UNCLAIMED.
        public var isUnclaimedOnly: Bool

        public init(reason: UInt16, first: UInt64, last: UInt64, isUnclaimedOnly: Bool = false) {
            self.reason = reason
            self.first = first
            self.last = last
            self.isUnclaimedOnly = isUnclaimedOnly
        }
    }

    public var ranges: [Range]
    /// An instance answers IA32_APIC_BASE: CPUID says that there is a local APIC, while bit 11 of what was last written there is set, as it is
    /// after RESET.
    public var hasLocalAPIC: Bool

    public init(ranges: [Range] = [], hasLocalAPIC: Bool = false) {
        self.ranges = ranges
        self.hasLocalAPIC = hasLocalAPIC
    }
}

/// An engine could not do what it was asked: names the operation, e.g. "KVM_CREATE_VM: permission denied".
public struct EngineError: Error, Sendable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// One virtual machine of an engine.
public protocol Engine: AnyObject {
    /// "kvm", "soft"
    var name: String { get }
    var abilities: EngineAbilities { get }
    /// Replaces the memory map within a range of whole pages by `memory`, which lies inside of it. May be called while vCPUs run; they see it
    /// before their next instruction at the latest.
    func updateMemory(_ range: ClosedRange<UInt64>, _ memory: [MappedMemory]) throws(EngineError)
    /// May be called only while vCPUs are quiet.
    func setIntercepts(_ intercepts: Intercepts) throws(EngineError)
    /// Somebody other than the guest wrote to a page that has `PageFlags.code`: what was decoded from it is stale.
    func didWriteCode(page: UInt64)
    /// Called once for each vCPU, on any thread, before it runs.
    func makeCPU(_ vcpu: VCPU) throws(EngineError) -> any CPU
    /// Why a debugger's breakpoints of this kind cannot work on this host, as a sentence; nil: they can.
    func problem(with kind: DebugPoint.Kind) -> String?
}

extension Engine {
    /// Replaces the whole memory map.
    public func setMemory(_ memory: [MappedMemory]) throws(EngineError) {
        try updateMemory(0...UInt64.max, memory)
    }

    public func problem(with kind: DebugPoint.Kind) -> String? { nil }
}

/// Why `run` came back.
public enum RunEnd: Sendable {
    /// `VCPU.attention` has the leave bit, or the deadline of a `CountedCPU` is reached.
    case attention
    /// HLT retired; RIP is past it. The engine has not slept.
    case halted(interruptsEnabled: Bool, rip: UInt64)
    /// Triple fault or a shutdown cycle.
    case shutdown
    /// A debug event: single step or breakpoint (DR6 bits; address).
    case debug(DebugEvent)
    /// The engine cannot go on. The text has the reason in words, registers and code bytes.
    case failed(EngineError)
}

public struct DebugEvent: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        case singleStep
        /// One of `DebugControl.breakpoints`, or INT3; RIP is at the instruction.
        case softwareBreakpoint
        /// One of `DebugControl.hardware`: bits 3:0 of `dr6` say which, by position.
        case hardwareBreakpoint
    }
    public var kind: Kind
    public var rip: UInt64
    /// DR6 as the event would leave it.
    public var dr6: UInt64

    public init(kind: Kind, rip: UInt64, dr6: UInt64) {
        self.kind = kind
        self.rip = rip
        self.dr6 = dr6
    }
}

/// What a debugger asks of a CPU.
public struct DebugControl: Sendable, Equatable {
    public struct Hardware: Sendable, Equatable {
        public enum Kind: Sendable { case execute, write, access }
        public var address: UInt64
        /// 1, 2, 4 or 8 bytes; 1 for execute.
        public var length: UInt8
        public var kind: Kind
        /// Of the debug register that holds it.
        public var condition: DR7.Condition {
            switch kind {
            case .execute: .execution
            case .write: .write
            case .access: .readOrWrite
            }
        }

        public init(address: UInt64, length: UInt8, kind: Kind) {
            self.address = address
            self.length = length
            self.kind = kind
        }
    }

    public var singleStep: Bool
    /// During a single step interrupts and NMIs wait, so that it is one instruction of the code that runs.
    public var holdsInterrupts: Bool
    /// Linear addresses whose instructions come back as `softwareBreakpoint` before they run; only where the engine has
    /// `EngineAbilities.linearBreakpoints`.
    public var breakpoints: Set<UInt64>
    /// INT3 in guest memory is the debugger's: it comes back as `softwareBreakpoint` instead of raising #BP.
    public var softwareBreakpoints: Bool
    /// At most four. The guest's own DR0 to DR3 go on working beside them only where the engine can do that (soft).
    public var hardware: [Hardware]

    public init(
        singleStep: Bool = false, holdsInterrupts: Bool = false, breakpoints: Set<UInt64> = [],
        softwareBreakpoints: Bool = false, hardware: [Hardware] = []
    ) {
        self.singleStep = singleStep
        self.holdsInterrupts = holdsInterrupts
        self.breakpoints = breakpoints
        self.softwareBreakpoints = softwareBreakpoints
        self.hardware = hardware
    }
}

/// An exception that an engine has handed to the debugger and that turned out to be the guest's own.
public enum DebugException: Sendable, Equatable {
    /// #BP, as the INT3 at RIP raises it.
    case breakpoint
    /// #DB as a trap, with these bits of DR6.
    case trap(dr6: UInt64)
}

/// x87 and SSE registers, as FXSAVE has them (SDM volume 1, table 10-2).
public struct FloatingState: Sendable, Equatable {
    public var control: UInt16 = 0x37f
    public var status: UInt16 = 0
    /// The abridged tag word: a bit for each physical register that is not empty.
    public var notEmpty: UInt8 = 0
    public var opcode: UInt16 = 0
    public var instructionPointer: UInt64 = 0
    public var dataPointer: UInt64 = 0
    /// ST0 to ST7, 16 bytes each, of which the low 10 count.
    public var registers = [UInt8](repeating: 0, count: 128)
    /// XMM0 to XMM15, 16 bytes each.
    public var vectors = [UInt8](repeating: 0, count: 256)
    public var mxcsr: UInt32 = 0x1f80

    public init() {}
}

/// A CPU that the counted clock can be derived from (`EngineAbilities.countedClock`). It keeps `VCPU.retired`.
public protocol CountedCPU: CPU {
    /// `run` comes back with `.attention` once `VCPU.retired` is this, exactly; at once where it is already. On the vCPU's own thread,
    /// between runs or in an exit: an instruction that is under way is finished.
    func setDeadline(_ instructions: UInt64)
}

/// One virtual CPU of an engine.
public protocol CPU: AnyObject {
    /// Runs the guest until something of `RunEnd`. I/O, MMIO and intercepted instructions are handed to `vcpu.exits` inside.
    /// Takes interrupts (`vcpu.attention`, `vcpu.exits.acknowledgeInterrupt`) and NMIs by itself.
    func run() -> RunEnd
    /// From any thread, after bits of `vcpu.attention` were set: the CPU looks at them soon. No wake-up is lost.
    func kick()
    /// To the state after RESET (CS:IP F000:FFF0, real mode).
    func reset() throws(EngineError)
    func registers() throws(EngineError) -> bp_registers
    /// Refuses what no CPU could hold.
    func setRegisters(_ registers: bp_registers) throws(EngineError)
    /// Completes an access that is still half done (KVM: after IN or a load), so that the state is that between instructions.
    func completePending() throws(EngineError)
    func setDebug(_ control: DebugControl) throws(EngineError)
    /// Between runs, after `run` came back with a debug event that is the guest's own: it gets the exception when it goes on.
    func giveBack(_ exception: DebugException) throws(EngineError)
    func floatingState() throws(EngineError) -> FloatingState
    /// Refuses bits of MXCSR that no CPU has.
    func setFloatingState(_ state: FloatingState) throws(EngineError)
    /// A model-specific register as RDMSR gives it, without exits; nil: the CPU has none of this number.
    func readMSR(_ index: UInt32) throws(EngineError) -> UInt64?
    /// Translates a linear address by the guest's tables, for reading; nil: not mapped.
    func translate(_ linear: UInt64) throws(EngineError) -> UInt64?
    /// The guest's TSC is adjusted so that it shows no jump after a pause of `nanoseconds`.
    func didPause(nanoseconds: UInt64)
    /// All that `save` saves; completes what is half done first. Throws within an exit.
    func snapshot() throws(EngineError) -> CPUSnapshot
    /// Becomes that CPU; `snapshot` breaks no rule of `CPUSnapshot.brokenRule`. Throws, and changes nothing, where this CPU cannot hold it.
    func restore(_ snapshot: CPUSnapshot) throws(EngineError)
}

/// For CPUs that no debugger looks at: stand-ins of tests and measurements.
extension CPU {
    public func giveBack(_ exception: DebugException) throws(EngineError) {
        throw EngineError("this CPU takes no debug exceptions")
    }
    public func floatingState() throws(EngineError) -> FloatingState { FloatingState() }
    public func setFloatingState(_ state: FloatingState) throws(EngineError) {
        throw EngineError("this CPU has no x87 and SSE registers")
    }
    public func readMSR(_ index: UInt32) throws(EngineError) -> UInt64? { nil }
    public func snapshot() throws(EngineError) -> CPUSnapshot { throw EngineError("this CPU cannot be saved") }
    public func restore(_ snapshot: CPUSnapshot) throws(EngineError) {
        throw EngineError("this CPU cannot be loaded")
    }
}
