// What a machine is, for tables, drawings and the bench: copies, taken with the lock held.

import CBackplane
import CHost

/// A range of ports or addresses and who answers it.
public struct ClaimSummary: Sendable, Equatable {
    public var owner: String
    /// "command block"; may be empty.
    public var name: String
    public var first: UInt64
    public var last: UInt64
    public var priority: Int64
    /// OR of 1, 2, 4, 8; 0 for plain memory.
    public var widths: UInt8
    public var kind: Kind

    /// `device`: memory of a device's own, which the guest reads and writes as it does RAM.
    public enum Kind: String, Sendable {
        case ports, mmio, ram, rom, device, msrs

        init(space: Int) {
            switch space {
            case BP_SPACE_PORT: self = .ports
            case BP_SPACE_MSR: self = .msrs
            default: self = .mmio
            }
        }

        /// BP_SPACE_*
        var space: Int {
            switch self {
            case .ports: BP_SPACE_PORT
            case .msrs: BP_SPACE_MSR
            case .mmio, .ram, .rom, .device: BP_SPACE_MEMORY
            }
        }
    }
}

extension MemoryKind {
    fileprivate var summaryKind: ClaimSummary.Kind {
        switch self {
        case .main: .ram
        case .rom: .rom
        case .device: .device
        }
    }
}

/// An interrupt line, who drives it, and its level.
public struct LineSummary: Sendable, Equatable {
    public var endpoint: Endpoint
    public var drivers: [String]
    public var level: Bool
}

extension Machine {
    /// Ports first, then guest-physical space, then MSRs; each ascending.
    public func claimSummaries() -> [ClaimSummary] {
        lock.held { _ in
            var list: [ClaimSummary] = []
            for number in 1..<max(1, exits.claims.count) where exits.claimRecords[number].isLive {
                let record = exits.claimRecords[number]
                list.append(
                    ClaimSummary(
                        owner: instance(of: record.node)?.id ?? "?", name: claimNames[number] ?? "", first: record.base,
                        last: record.last, priority: Int64(record.priority), widths: record.widths,
                        kind: ClaimSummary.Kind(space: Int(record.space))))
            }
            for mapping in memory.mappings {
                let owner = instances.first { ObjectIdentifier($0) == mapping.owner }
                list.append(
                    ClaimSummary(
                        owner: owner?.id ?? "memory", name: memory.region(of: mapping.region)?.key ?? "RAM",
                        first: mapping.address, last: mapping.last, priority: mapping.priority, widths: 0,
                        kind: mapping.kind.summaryKind))
            }
            func rank(_ claim: ClaimSummary) -> (Int, UInt64, Int64) {
                (
                    claim.kind == .ports ? 0 : claim.kind == .msrs ? 2 : 1, claim.first,
                    -max(claim.priority, Int64(Int32.min))
                )
            }
            return list.sorted { rank($0) < rank($1) }
        }
    }

    /// In the order of their endpoints.
    public func lineSummaries() -> [LineSummary] {
        lock.held { _ in
            return lines.lines.map {
                LineSummary(endpoint: $0.endpoint, drivers: $0.drivingInstances.map(\.id), level: $0.level)
            }.sorted { ($0.endpoint.instance, $0.endpoint.index) < ($1.endpoint.instance, $1.endpoint.index) }
        }
    }

    /// INTR of a vCPU.
    public func interruptPin(_ vcpu: Int = 0) -> Bool { vcpus.indices.contains(vcpu) && vcpus[vcpu].interruptRequested }
}

// MARK: A machine without a CPU, driven by its owner's thread (the bench)

extension Machine {
    public var now: UInt64 { clock.now }

    /// As at power-on (`warm` false) or RESET, for every instance but loaders.
    public func resetInstances(warm: Bool) {
        _ = try? locked { () throws(MachineError) in
            endSpans()
            for instance in instances where instance.description.type.kind != .loader { instance.reset(warm: warm) }
        }
    }

    /// Moves a manual clock on, firing each timer at its own time.
    public func advance(to time: UInt64) {
        _ = try? locked { () throws(MachineError) in
            while let deadline = timers.nextDeadline, deadline <= time {
                clock.advance(to: deadline)
                loop.runTimers()
                // A timer that sets itself for the past fires again at once, at most as often as there are nanoseconds.
                if timers.nextDeadline == deadline, deadline >= clock.now { clock.advance(to: deadline &+ 1) }
            }
            clock.advance(to: time)
        }
    }

    /// Runs what other threads have posted.
    public func runPosted() { loop.runPosted() }

    /// Of a machine that nothing else drives, the calling thread is vCPU 0's.
    private func driveCPU() {
        if !state.isStarted || cpus.isEmpty { exits.threads[0] = ch_thread_id() }
    }

    /// Serves host descriptors that are ready and what was posted, after waiting for either for at most `milliseconds`.
    public func serveHost(milliseconds: Int32) { loop.poll(milliseconds: milliseconds) }

    /// Whether an instance watches a host descriptor.
    public var watchesDescriptors: Bool {
        lock.held { _ in loop.hasWatches }
    }

    /// When the next timer fires, in virtual nanoseconds; nil: none is set.
    public var nextTimer: UInt64? {
        lock.held { _ in timers.nextDeadline }
    }

    /// What `MachineOptions.record` calls the instance.
    public func recordName(of instance: PluginInstance) -> UInt { UInt(bitPattern: instance.node) }

    /// A port or memory access as vCPU 0 makes it; `value` nil reads.
    public func access(port: UInt16, width: UInt8, value: UInt64? = nil) -> UInt64 {
        driveCPU()
        return value.map { exits.portWrite(0, port: port, width: width, value: $0, rip: 0).value }
            ?? exits.portRead(0, port: port, width: width, rip: 0).value
    }

    public func access(address: UInt64, width: UInt8, value: UInt64? = nil) -> UInt64 {
        driveCPU()
        return value.map { exits.memoryWrite(0, address: address, width: width, value: $0, rip: 0).value }
            ?? exits.memoryRead(0, address: address, width: width, rip: 0).value
    }

    /// RDMSR, or WRMSR of `value`; nil: #GP, or the CPU's own.
    public func access(msr: UInt32, value: UInt64? = nil) -> UInt64? {
        driveCPU()
        var exit = bp_exit()
        exit.size = UInt32(MemoryLayout<bp_exit>.size)
        exit.reason = UInt16(value == nil ? BP_EXIT_RDMSR : BP_EXIT_WRMSR)
        exit.address = UInt64(msr)
        exit.value = value ?? 0
        return exits.event(&exit) == .handled ? exit.value : nil
    }

    /// String I/O; `bytes` holds whole elements.
    public func accessString(port: UInt16, width: UInt8, _ bytes: UnsafeMutableRawBufferPointer, isWrite: Bool) {
        guard let base = bytes.baseAddress, width > 0 else { return }
        let count = bytes.count / Int(width)
        driveCPU()
        if isWrite {
            _ = exits.portWriteString(0, port: port, width: width, count: count, from: base, rip: 0)
        } else {
            _ = exits.portReadString(0, port: port, width: width, count: count, into: base, rip: 0)
        }
    }

    /// Reads a claim without side effects; nil: nothing claims it, or it does not take this width.
    public func peek(space: ClaimSummary.Kind, address: UInt64, width: UInt8) -> UInt64? {
        lock.held { _ in exits.peek(space.space, address, width) }
    }

    public func acknowledgeInterrupt() -> UInt8? {
        driveCPU()
        return exits.acknowledgeInterrupt(0)
    }

    /// What a plugin, a policy or an operator has asked for.
    public var requestedEnd: MachineEnd? { state.pendingEnd }
    public func clearRequests() {
        lock.held { _ in
            state.pendingEnd = nil
            state.wantsReset = false
        }
    }
    public var hasResetRequest: Bool { state.wantsReset }

    /// Disconnects and destroys everything. Of a machine that has not started, or whose `start` has thrown.
    public func tearDown() {
        ch_thread_begin(host)
        withoutCPUs { _ in dismantle() }
        ch_thread_begin(nil)
        loop.join()
        seat.end()
    }
}

// MARK: What the bench does in place of a running machine, from one thread

extension Machine {
    /// The calling thread drives this machine from here on: crash reports name its instances, and vcpu/1 answers them.
    public func adoptThread() {
        ch_thread_begin(host)
        exits.threads[0] = ch_thread_id()
    }

    /// As `adoptThread`, for a thread that has done that already and has driven another machine since. Cheap.
    public func becomeCurrent() { ch_thread_begin(host) }

    /// What a crash report says where it happens outside of every callback; "" ends it.
    public static func setActivity(_ text: String) { ch_set_activity(text) }

    /// The thread drives no machine any more.
    public func releaseThread() { ch_thread_begin(nil) }

    /// `start` of every instance, without an event loop or vCPUs.
    public func startInstances() throws(MachineError) {
        try locked { () throws(MachineError) in
            for instance in instances { try instance.start() }
        }
    }

    /// True: it is at rest. False: `hasQuiesced` will say so, once what it waits for has come.
    public func quiesce(_ instance: PluginInstance) -> Bool {
        (try? locked { () throws(MachineError) in instance.quiesce() }) ?? true
    }

    public func hasQuiesced(_ instance: PluginInstance) -> Bool {
        (try? locked { () throws(MachineError) in instance.hasQuiesced }) ?? true
    }

    public func save(_ instance: PluginInstance) throws(MachineError) -> StateBuffer {
        try locked { () throws(MachineError) in try instance.save() }
    }

    /// Leaves the instance as it was where it throws.
    public func load(_ state: StateBuffer, into instance: PluginInstance) throws(MachineError) {
        try locked { () throws(MachineError) in try instance.load(state) }
    }

    /// Runs `body` as a callback of `instance`: what it calls may be queued, and is delivered before this returns.
    public func perform(as instance: PluginInstance, _ body: () -> Void) {
        _ = try? locked { () throws(MachineError) in
            if !instance.isOffline { instance.call(ch_activity_posted) { body() } }
        }
    }

    /// An exit that is neither I/O nor memory, as the engine of vCPU 0 reports it.
    public func event(_ exit: inout bp_exit) -> EventResult {
        driveCPU()
        return exits.event(&exit)
    }

    /// A loader's part of a reset; the CPU is the engine's.
    public func resetLoaders(warm: Bool) {
        _ = try? locked { () throws(MachineError) in
            for instance in instances where instance.description.type.kind == .loader { instance.reset(warm: warm) }
        }
    }

    /// What waits for a point where the vCPUs are quiet; without vCPUs that is now.
    public func runQuietWork() {
        guard !state.quietWork.isEmpty || !state.pauses.isEmpty else { return }
        _ = try? locked { () throws(MachineError) in
            state.pauses = []
            while !state.quietWork.isEmpty {
                let work = state.quietWork
                state.quietWork = []
                for item in work { item() }
            }
        }
    }

    /// Fires what is due up to `time`, each timer at its own time, but no more than `limit` callbacks: the clock stops
    /// at the last one then. Answers how many fired, and the most that fired without the clock moving on.
    public func advance(to time: UInt64, limit: Int) -> (fired: Int, atOnce: Int) {
        var fired = 0
        var atOnce = 0
        var most = 0
        _ = try? locked { () throws(MachineError) in
            while fired < limit, let deadline = timers.nextDeadline, deadline <= time {
                if deadline > clock.now { atOnce = 0 }
                clock.advance(to: deadline)
                guard let entry = timers.takeDue(at: clock.now) else { break }
                fired += 1
                atOnce += 1
                most = max(most, atOnce)
                if entry.owner.isOffline { continue }
                entry.owner.call(ch_activity_timer, entry.cookie) {
                    entry.handler(entry.owner.raw, entry.cookie, clock.now)
                }
                drain()
            }
            if fired < limit { clock.advance(to: time) }
        }
        return (fired, most)
    }

    /// Moves the clock on without firing anything: before the first reset.
    public func setTime(_ time: UInt64) { clock.advance(to: time) }

    /// How many accesses have been deferred so far; from any thread.
    public var deferredCount: UInt64 { ch_load64(exits.tokens) }

    /// Callbacks of the instance on the call stack.
    public func depth(of instance: PluginInstance) -> Int { Int(instance.node.pointee.depth) }

    /// What the instance holds of the machine.
    public func holdings(of instance: PluginInstance) -> (claims: Int, mappings: Int, timers: Int, wants: Int) {
        lock.held { _ in
            let claims = (1..<max(1, exits.claims.count)).count {
                exits.claimRecords[$0].isLive && exits.claimRecords[$0].node == instance.node
            }
            let mappings = memory.mappings.count { $0.owner == ObjectIdentifier(instance) }
            return (
                claims, mappings, timers.entries.count { $0.owner === instance },
                wants.count { $0.owner == ObjectIdentifier(instance) }
            )
        }
    }

    /// The entropy that `host/1` gives next, where the description seeds it.
    public var entropyState: UInt64? {
        get { random.state }
        set { random.state = newValue }
    }

    /// The instance's own memory regions by key, as a snapshot holds them.
    public func regions(of instance: PluginInstance) -> [String: [UInt8]] {
        lock.held { _ in
            var contents: [String: [UInt8]] = [:]
            for region in memory.regions where region.owner === instance { contents[region.key] = Array(region.bytes) }
            return contents
        }
    }

    public func setRegions(_ contents: [String: [UInt8]], of instance: PluginInstance) {
        lock.held { _ in
            for region in memory.regions where region.owner === instance {
                // SAFETY: never more than the region's own bytes.
                if let bytes = contents[region.key] { region.bytes.copyBytes(from: bytes.prefix(region.bytes.count)) }
            }
        }
    }

    /// Guest RAM, from its beginning.
    public var ramContents: [UInt8] {
        get {
            guard let ram else { return [] }
            return Array(UnsafeRawBufferPointer(start: ram.base, count: Int(ram.length)))
        }
        set {
            guard let ram else { return }
            let target = UnsafeMutableRawBufferPointer(start: ram.base, count: Int(ram.length))
            target.copyBytes(from: newValue.prefix(target.count))
        }
    }
}
