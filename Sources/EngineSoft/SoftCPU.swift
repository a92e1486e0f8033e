// One virtual CPU of the software engine: the run loop, and what the core asks of a CPU.
// SAFETY for this file: `s` is allocated in init and freed in deinit; handlers run on the vCPU's thread inside `run` only.

public import CBackplane
import CHost
import Glibc
public import Core

public final class SoftCPU: CountedCPU {
    let s: S
    let vcpu: VCPU
    let memory: SoftMemory
    let options: SoftOptions
    var decoder: Decoder
    var model: CPUModel
    /// nil: every block is interpreted.
    private(set) var translator: Translator?
    var debug = DebugControl()
    var hasBreakpoints = false
    /// Bits 11:0 of linear addresses at which the decoded blocks may stop for the debugger (Events/Debugger.swift).
    var breakpointOffsets: Set<UInt64> = []
    /// Whether HLT was the last instruction.
    var halt = Halt.none
    enum Halt {
        case none, retired
        /// By `restore`: the next `run` comes back as the one did that was saved.
        case loaded
    }
    /// What `run` returns when the block loop has stopped with `.end`.
    var runEnd = RunEnd.attention
    let scratch: UnsafeMutablePointer<Op>
    let jumpCache: UnsafeMutablePointer<JumpEntry>
    /// Count changes of fetch translations, of user code and of others: part of every jump key.
    private var generations: (user: UInt64, supervisor: UInt64) = (1, 1)
    var lookups = 0
    /// The code of `enterBlock`, to tell a block that is valid from a dropped one.
    private let enterBlockAddress = unsafeBitCast(unthunked(enterBlock), to: UInt.self)
    /// The count at which `run` comes back; `CPUState.deadline` but while a single instruction runs.
    var eventDeadline = noDeadline
    var isStepping = false
    /// The next instruction runs alone: an interrupt that nobody answered is looked at again after it.
    var stepsNext = false
    /// Changes that other threads asked for, taken over between blocks.
    private let mailbox = Mailbox()
    var ranges: [Intercepts.Range] = []
    /// An exception or interrupt was delivered while an instruction ran (INT n): it ends no single step.
    var didDeliver = false
    /// The instruction that `step` runs follows a MOV SS or POP SS that holds events.
    var followsStackLoad = false
    /// The instruction that `step` runs has loaded RF: IRET or a task switch.
    var loadedResumeFlag = false
    /// Undefined opcodes that the guest has tried, by their bytes: each is logged once.
    var undefinedSeen: [UInt64: UInt64] = [:]
    var system = SystemState()
    lazy var checks = CheckedRuns()

    init(vcpu: VCPU, options: SoftOptions) {
        self.vcpu = vcpu
        self.options = options
        model = CPUModel()
        decoder = Decoder(features: model.features)
        s = .allocate(byteCount: Layout.size, alignment: 4096)
        s.initializeMemory(as: UInt8.self, repeating: 0, count: Layout.tlb)
        (s + Layout.sites).initializeMemory(as: UInt8.self, repeating: 0, count: Layout.size - Layout.sites)
        memory = SoftMemory(vcpu: vcpu, tables: s + Layout.tlb)
        scratch = .allocate(capacity: BlockBuilder.capacity)
        jumpCache = .allocate(capacity: JumpEntry.count)
        jumpCache.initialize(repeating: .empty, count: JumpEntry.count)
        s.cpu.initialize(to: CPUState())
        s.run.initialize(
            to: RunState(
                attention: UnsafePointer(vcpu.attention), jumpCache: jumpCache, tlb: memory.table(.supervisor),
                retired: vcpu.retired, exits: Unmanaged.passUnretained(vcpu.exits),
                owner: Unmanaged.passUnretained(self), index: vcpu.index))
        startTranslator()
        resetState()
    }

    /// Where the host gives no memory for code, all is interpreted.
    private func startTranslator() {
        guard options.translation != .off else { return }
        do throws(CodeArena.Refusal) {
            translator = try Translator(model.features, memory.blocks, interpreted: options.interpreted)
        } catch {
            let why =
                error.errno == 0 ? "no host code is made for this processor" : String(cString: strerror(error.errno))
            vcpu.exits.log(
                .warning, "CPU \(vcpu.index): the host gives no executable memory (\(why)): nothing is translated")
        }
    }

    deinit {
        s.deallocate()
        scratch.deallocate()
        jumpCache.deallocate()
    }

    /// The attention word is looked at before every block.
    public func kick() {}

    public func setDeadline(_ instructions: UInt64) {
        eventDeadline = min(instructions, noDeadline)
        guard !isStepping else { return }
        s.run.pointee.deadline = eventDeadline
        // The running block was entered for longer than that: it ends after the instruction that exits.
        if instructions < s.run.pointee.executed { raiseAttention() }
    }

    // MARK: The run loop

    public func run() -> RunEnd {
        if halt == .loaded {
            halt = .retired
            return .halted(interruptsEnabled: s.cpu.pointee.systemFlags & RFLAGS.interrupt != 0, rip: s.rip)
        }
        halt = .none
        s.run.pointee.stop = .none
        s.run.pointee.isRunning = true
        let end = loop()
        if case .halted = end { halt = .retired }
        s.publishCount()
        s.run.pointee.isRunning = false
        return end
    }

    private func loop() -> RunEnd {
        let cpu = s.cpu
        var isHot = false
        while true {
            if s.run.pointee.executed >= eventDeadline { return .attention }
            if cpu.pointee.pendingDebug != 0, let end = reportDebug() { return end }
            if let end = attend() { return end }
            cpu.pointee.didRound = false
            if mustStep {
                if let end = step() { return end }
            } else if options.translation == .check {
                if let end = runChecked(from: findNext()) { return end }
            } else {
                let first = findNext()
                if isHot, first != toRunLoop { translator?.sample(first, s) }
                let executed = s.run.pointee.executed
                run(from: first)
                isHot = s.run.pointee.executed &- executed >= Translator.longestRun / 2
            }
            switch s.run.pointee.stop {
            case .none: break
            case .fault:
                s.run.pointee.stop = .none
                s.publishCount()
                if let end = deliverFault() ?? stepIntoHandler() { return end }
            case .end:
                s.run.pointee.stop = .none
                return runEnd
            }
        }
    }

    /// Runs blocks until one has to come back.
    @inline(__always)
    func run(from p: P) {
        if p == toRunLoop { return }
        ch_run(s, p)
        if s.run.pointee.flagKind != 0 { settleFlags(s) }
    }

    /// What was there when the block loop came back: the next block by the jump cache, or found or made, and linked.
    @inline(__always)
    func findNext() -> P {
        let entry = jumpCache + JumpEntry.index(s.rip)
        if s.run.pointee.chain == nil, entry.pointee.rip == s.rip, entry.pointee.key == s.run.pointee.jumpKey,
            let target = entry.pointee.target, target.load(as: UInt.self) == enterBlockAddress
        {
            return target
        }
        return findBlock(single: false)
    }

    // MARK: Translations and modes

    /// After CR3, CR0.PG, CR4 or EFER have changed.
    func flushTranslations(keepsGlobal: Bool) {
        // Links to supervisor code outlive CR3 where all that was linked is global.
        let keepsSupervisor = keepsGlobal && !memory.fetches.hasPrivateSupervisor
        memory.flush(keepsGlobal: keepsGlobal)
        translationsChanged(keepsSupervisor: keepsSupervisor)
    }

    func flushTranslation(of linear: UInt64) {
        if memory.flush(page: linear) { translationsChanged() }
    }

    private func translationsChanged(keepsSupervisor: Bool = false) {
        generations.user &+= 1
        if !keepsSupervisor { generations.supervisor &+= 1 }
        // What was left to be linked would be linked to what is there now.
        s.run.pointee.chain = nil
        updateJumpKey()
    }

    private func updateJumpKey() {
        let mode = s.run.pointee.mode
        let generation = mode.contains(.user) ? generations.user : generations.supervisor
        s.run.pointee.jumpKey = generation << 16 | UInt64(mode.rawValue)
    }

    /// After CR0, CR4, EFER, CPL, RFLAGS.VM or AC, or a segment register have changed: what blocks and accesses depend on.
    func updateMode() {
        let cpu = s.cpu
        let isLong = cpu.pointee.efer & EFER.lma != 0
        let cs = s.segment(Segment.cs).pointee
        var mode: Mode = []
        if isLong, cs.isLong {
            mode.insert(.code64)
        } else {
            if cs.isBig { mode.insert(.code32) }
            if s.segment(Segment.ss).pointee.isBig { mode.insert(.stack32) }
            if isFlat { mode.insert(.flat) }
        }
        let cr0 = cpu.pointee.cr0
        if cr0 & (CR0.em | CR0.ts) != 0 { mode.insert(.x87Blocked) }
        if cr0 & CR0.em != 0 { mode.formUnion([.sseUndefined, .mmxUndefined]) }
        if cpu.pointee.cr4 & CR4.osfxsr == 0 { mode.insert(.sseUndefined) }
        if cr0 & CR0.ts != 0 { mode.insert(.sseBlocked) }
        if cr0 & CR0.ts != 0, cr0 & CR0.mp != 0 { mode.insert(.waitBlocked) }
        if cr0 & CR0.pe != 0, cpu.pointee.systemFlags & RFLAGS.vm == 0 { mode.insert(.protected) }
        if cpu.pointee.cpl == 3, cr0 & CR0.am != 0, cpu.pointee.systemFlags & RFLAGS.ac != 0 { mode.insert(.alignment) }
        updateWatches()
        if s.run.pointee.watchesData { mode.insert(.dataBreakpoints) }
        let privilege = privilege
        if privilege == .user { mode.insert(.user) }
        if privilege == .supervisorAC { mode.insert(.userAccess) }
        s.run.pointee.tlb = memory.table(privilege)
        s.run.pointee.mode = mode
        s.run.pointee.linearMask = mode.contains(.code64) ? .max : 0xffff_ffff
        for number in 0..<6 {
            let isZero = mode.contains(.code64) && number < Segment.fs
            s.segmentBases[number] = isZero ? 0 : s.segment(number).pointee.base
        }
        updateJumpKey()
    }

    private var privilege: Privilege {
        let cpu = s.cpu
        if cpu.pointee.cpl == 3 { return .user }
        let mayReachUser = cpu.pointee.cr4 & CR4.smap != 0 && cpu.pointee.systemFlags & RFLAGS.ac != 0
        return mayReachUser ? .supervisorAC : .supervisor
    }

    private var isFlat: Bool {
        for number in [Segment.es, Segment.cs, Segment.ss, Segment.ds] {
            let segment = s.segment(number).pointee
            guard segment.isUsable, segment.base == 0, segment.limit == .max else { return false }
            let type = segment.attributes & 15
            // Code that can be read, or data that can be written and does not expand down.
            guard number == Segment.cs ? type & 0xa == 0xa : type & 0xe == 2 else { return false }
        }
        return true
    }

    // MARK: From other threads

    func memoryChanged(_ range: ClosedRange<UInt64>, _ pieces: [MappedMemory], whole: [MappedMemory]) {
        mailbox.put(range, pieces, whole: whole)
        raiseAttention()
    }

    /// DMA, or another CPU: decoded code of the page is dropped before the next block.
    func didWriteCode(page: UInt64) {
        mailbox.put(written: page)
        raiseAttention()
    }

    private func raiseAttention() { _ = ch_set_bits(vcpu.attention, ch_attention_engine) }

    /// Takes over what other threads left.
    func takeMail() {
        _ = ch_clear_bits(vcpu.attention, ch_attention_engine)
        let mail = mailbox.take()
        for page in mail.written { memory.blocks.drop(page << 12, 4096) }
        for change in mail.memory { memory.update(change.range, change.pieces) }
        if !mail.memory.isEmpty { translationsChanged() }
        if system.event != nil { raiseAttention() }
    }
}
