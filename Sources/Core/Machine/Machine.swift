// A machine: its instances, memory, clock and vCPUs, and the one lock under which all callbacks run.
// SAFETY for this file: `host` is allocated here and freed in deinit, after all threads have ended.

import CBackplane
import CHost
import Glibc
import SplitMix

public final class Machine: @unchecked Sendable {
    public let description: MachineDescription
    let options: MachineOptions
    /// Its place among the guests of the process.
    public let seat: GuestSeat
    let host: UnsafeMutablePointer<ch_machine>
    let lock: MachineLock
    let nameText: UnsafeMutablePointer<CChar>
    /// Guest RAM's own "owner" in exit records.
    let memoryNode: UnsafeMutablePointer<ch_node>

    // MARK: Guarded by the lock

    public internal(set) var instances: [PluginInstance] = []
    var exits: ExitHandler!
    let clock: VirtualClock
    var timers = TimerQueue()
    var lines = InterruptLines()
    let wireTable = WireTable()
    var queuedCalls: [QueuedCall] = []
    var queuedBytes = 0
    var ram: GuestRAM?
    var memory: MemoryRegions
    var policies = Policies()
    var controller: (instance: PluginInstance, peer: bp_peer)?
    /// Whoever is wired to the output of a controller.
    var controllerClients: [(provider: PluginInstance, client: bp_peer)] = []
    var messages = MessageVectors()
    /// Whoever is wired to a PCI bus.
    var pciFunctions: [PCIFunctionWire] = []
    /// The host's own ends of what is shown and of what takes keys.
    var screens: [ScreenEnd] = []
    var inputs: [InputEnd] = []
    var powerButtons: [(instance: PluginInstance, handler: bp_posted, argument: UnsafeMutableRawPointer?)] = []
    var engine: (any Engine)?
    var vcpus: [VCPU] = []
    var cpus: [any CPU] = []
    var state = RunState()
    var counted = CountedTime()
    var alarms: [InstructionAlarm] = []
    /// Whether there has been one: until then no vCPU's deadline is touched.
    var hasAlarms = false
    var spans: [bp_id: (address: UInt64, length: UInt64)] = [:]
    /// What claims are called, by number.
    var claimNames: [Int: String] = [:]
    var liveThreads = 0
    var debugger = DebuggerState()
    /// Told what happens to the machine, with the lock held: must not block, nor call the machine.
    var eventHandler: (@Sendable (MachineEvent) -> Void)?
    /// Seeded entropy; nil: the host's own is used.
    var random: SplitMix64?
    private var lastID: bp_id = 0
    /// Whether equal-priority overlaps are errors (at load) or the earlier claim wins (at run time).
    var isLoading = true

    // MARK: Of their own locking

    /// SAFETY: words that threads sleep on; freed in deinit.
    let parkWord = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    let endWord = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)

    let loop: EventLoop
    let deferred = DeferredAccesses()
    let contract = ContractLog()
    /// Guarded by the lock; all are there when the machine is assembled.
    var debts: [Debt] = []

    /// Creates, wires and connects all instances, then the engine. Nothing runs yet.
    public init(_ description: MachineDescription, options: MachineOptions) throws(MachineError) {
        // RAM, and 8 GiB of plugins' regions.
        guard let pageFlags = PageFlags(pages: (description.memory >> 12) + 1 + (8 << 18)) else {
            throw MachineError("no address space is left for a table of pages")
        }
        memory = MemoryRegions(pageFlags)
        self.description = description
        self.options = options
        seat = options.seat ?? GuestBoard(names: [description.name]).seat(0)
        let name = description.name.utf8CString
        nameText = .allocate(capacity: name.count)
        _ = UnsafeMutableBufferPointer(start: nameText, count: name.count).initialize(from: name)
        host = options.record?.bindMemory(to: ch_machine.self, capacity: 1) ?? .allocate(capacity: 1)
        host.initialize(to: ch_machine())
        lock = MachineLock(of: host)
        host.pointee.name = UnsafePointer(nameText)
        host.pointee.watchdog_limit = description.watchdog
        memoryNode = .allocate(capacity: 1)
        memoryNode.initialize(to: ch_node(depth: 0, is_offline: 0, id: ch_text_memory(), plugin: ch_text_memory()))
        let isCounted = description.clock.mode == .counted
        clock = VirtualClock(options.manualClock ? .manual : isCounted ? .counted : .real)
        random = (description.clock.entropySeed ?? (isCounted ? CountedTime.entropySeed : nil)).map {
            SplitMix64(seed: $0)
        }
        parkWord.initialize(to: 0)
        endWord.initialize(to: 0)
        loop = try EventLoop()
        host.pointee.owner = Unmanaged.passUnretained(self).toOpaque()
        host.pointee.call_later = { machine, wire, function, arguments in
            Machine.of(machine).callLater(
                wire.unsafelyUnwrapped.assumingMemoryBound(to: ch_wire.self), Int(function),
                arguments.unsafelyUnwrapped)
        }
        host.pointee.call_refused = { machine, wire, function in
            Machine.of(machine).refuseCall(
                wire.unsafelyUnwrapped.assumingMemoryBound(to: ch_wire.self), Int(function))
        }
        host.pointee.owed = { machine, debt in debt.map { Machine.of(machine).noteDebt($0) } }
        exits = ExitHandler(host: host, machine: self, pageFlags: pageFlags)
        loop.machine = self
        let watchdogError = ch_watchdog_add(host)
        if watchdogError != 0 {
            seat.end()
            throw MachineError("starting the watchdog: \(String(cString: strerror(-watchdogError)))", status: 6)
        }
        ch_thread_begin(host)
        defer { ch_thread_begin(nil) }
        do throws(MachineError) {
            try lock.held { (_) throws(MachineError) in
                do throws(MachineError) {
                    try assemble()
                } catch {
                    dismantle()
                    throw error
                }
            }
        } catch {
            seat.end()
            throw error
        }
        // From here on its vCPUs are called in and woken from other threads.
        seat.board.occupy(seat.index, self)
    }

    deinit {
        ch_watchdog_remove(host)
        memoryNode.deallocate()
        parkWord.deallocate()
        endWord.deallocate()
        if options.record == nil { host.deallocate() }
        nameText.deallocate()
        ram?.unmap()
        memory.freeAll()
    }

    static func of(_ host: UnsafeMutablePointer<ch_machine>?) -> Machine {
        Unmanaged<Machine>.fromOpaque(host.unsafelyUnwrapped.pointee.owner.unsafelyUnwrapped).takeUnretainedValue()
    }

    // MARK: Small services

    /// Ids of claims, timers, mappings: never 0, never used again.
    func newID() -> bp_id {
        lastID += 1
        return lastID
    }

    func log(_ level: LogLevel, _ instance: String?, _ text: String) {
        if level >= options.logLevel { options.log(level, instance, text) }
    }

    public func instance(named id: String) -> PluginInstance? { instances.first { $0.id == id } }

    func instance(of node: UnsafeMutablePointer<ch_node>?) -> PluginInstance? { instances.first { $0.node == node } }

    /// Runs `body` with the lock held, from a thread that is in no callback; then delivers what waits.
    @discardableResult
    public func locked<R>(_ body: () throws(MachineError) -> R) throws(MachineError) -> R {
        try lock.held { (_) throws(MachineError) in
            defer { drain() }
            return try body()
        }
    }

    // MARK: Tables that the dispatch reads

    /// After the chain or what its policies want has changed.
    func rebuildPolicies() {
        exits.policies.deallocate()
        exits.policies = policies.tables()
        updatePorts(PortSpace.everything)
        let pages = policies.pagesToWatch
        if pages != policies.watchedPages {
            let changed = policies.watchedPages + pages
            policies.watchedPages = pages
            tellEngine(changed)
        }
    }

    var requirements: EngineRequirements {
        EngineRequirements(demands: policies.demands, countedClock: description.clock.mode == .counted)
    }

    /// MSRs that instances answer (BP_SPACE_MSR), as exits.
    private var claimedMSRs: [Intercepts.Range] {
        exits.claims.inOrder(of: BP_SPACE_MSR, 0...0xffff_ffff).flatMap { number in
            let range = exits.claimRecords[number].range
            return [BP_EXIT_RDMSR, BP_EXIT_WRMSR].map {
                Intercepts.Range(reason: UInt16($0), first: range.lowerBound, last: range.upperBound)
            }
        }
    }

    /// What the engine must bring out beyond what exits anyway.
    var intercepts: Intercepts {
        Intercepts(
            ranges: policies.intercepts + claimedMSRs,
            hasLocalAPIC: exits.claims.answering(BP_SPACE_MSR, UInt64(MSR.apicBase), isWrite: false) != 0)
    }
}
