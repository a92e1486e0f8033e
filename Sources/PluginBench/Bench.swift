import CBackplane
import Core

/// One plugin instance in a machine without a CPU: a virtual clock that stands still until told otherwise, RAM for
/// DMA, and a peer of the bench's own at every slot. Used from one thread.
/// Host descriptors (`events->watch`) are looked at only where something is waited for: an answer, a completion, rest.
public final class Bench {
    public let plan: BenchPlan
    let machine: Machine
    let board: Board
    let device: PluginInstance
    private let driver: PluginInstance?
    let streams: PluginInstance
    let disks: PluginInstance
    private let log: BenchLog
    private let console: BenchConsole
    private var deferredBefore: UInt64 = 0
    /// The wait for a deferred answer, where there is one (Answers.swift).
    var wait = AnswerWait()
    var timeBefore: UInt64 = 0
    var isOwed = false
    /// Its record in the journal.
    private let place: Int?
    /// What the plugin did wrong so far: sentences.
    public private(set) var faults: [String] = []
    /// Called ahead of each operation, so that a child process can say which one it died of.
    public var onOperation: ((Operation) -> Void)?
    /// Timers that one `advance` fires at most.
    public static let timerLimit = 300
    private static let atOnceLimit = 250
    static let openEvent = UInt32(BP_STREAM_OPEN)

    public convenience init(
        library: PluginLibrary, className: String, properties: [String: String] = [:]
    ) throws(BenchError) {
        try self.init(try BenchPlan(library: library, className: className, properties: properties))
    }

    /// Created, connected, reset as at power-on at virtual time `time`, and started.
    public convenience init(_ plan: BenchPlan, at time: UInt64 = 0) throws(BenchError) {
        try self.init(plan, at: time, beforeReset: { _ in }, beforeStart: { (_) throws(BenchError) in })
    }

    init(
        _ plan: BenchPlan, at time: UInt64, beforeReset: (Bench) -> Void,
        beforeStart: (Bench) throws(BenchError) -> Void
    ) throws(BenchError) {
        self.plan = plan
        let board = Board(
            BoardState(
                streams: plan.streamCount, nets: plan.netCount, disks: plan.slotDisks, lines: plan.lineCount))
        let log = BenchLog()
        let console = BenchConsole(board)
        // SAFETY: the board outlives the machine: both are held here, and the machine is torn down in deinit.
        let address = UInt64(UInt(bitPattern: Unmanaged.passUnretained(board).toOpaque()))
        let place = plan.journal?.takeMachine()
        self.place = place?.index
        let link = AnswerLink()
        var options = MachineOptions(
            makeEngine: { (_) throws(MachineError) in RegisterEngine() }, log: log.function, logLevel: .warning,
            console: console, manualClock: true,
            loadLibrary: { (instance) throws(LibraryError) in
                if instance.id == BenchPlan.deviceID { return plan.library }
                return plan.customLibrary.map { instance.id.hasPrefix("bench-end-") ? $0.library : plan.peers }
                    ?? plan.peers
            })
        options.record = place?.record
        options.bringAnswer = { link.bench?.bringAnswer() ?? false }
        do throws(MachineError) {
            machine = try Machine(plan.description(boardAddress: address), options: options)
        } catch {
            if let place { plan.journal?.giveBack(machine: place.index) }
            throw BenchError("\(error)")
        }
        guard let device = machine.instance(named: BenchPlan.deviceID),
            let streams = machine.instance(named: "bench-streams"), let disks = machine.instance(named: "bench-disks")
        else { throw BenchError("the bench has lost its instances") }
        (self.device, self.streams, self.disks) = (device, streams, disks)
        driver = machine.instance(named: "bench-driver")
        (self.board, self.log, self.console) = (board, log, console)
        board.clock = { [unowned(unsafe) machine] in machine.now }
        board.depth = { [unowned(unsafe) machine] in machine.depth(of: device) }
        link.bench = self
        machine.adoptThread()
        if let place { plan.journal?.made(machine: place.index, device: machine.recordName(of: device)) }
        deferredBefore = machine.deferredCount
        machine.setTime(time)
        beforeReset(self)
        powerOn()
        try beforeStart(self)
        do throws(MachineError) { try machine.startInstances() } catch { throw BenchError("\(error)") }
        settle()
        _ = board.takeEffects()
    }

    deinit {
        if let place { plan.journal?.use(machine: place) }
        plan.journal?.beat()
        machine.tearDown()
        if let place { plan.journal?.giveBack(machine: place) }
        board.streamPeers = nil
        board.diskPeers = nil
        board.streamClients = [:]
        board.blockClients = [:]
        board.driver = nil
        board.netPeers = nil
        board.netClients = [:]
        board.customEnds = [:]
        machine.releaseThread()
    }

    private func powerOn() {
        machine.resetInstances(warm: false)
        if plan.type.kind == .loader { machine.resetLoaders(warm: false) }
    }

    public var now: UInt64 { machine.now }

    // MARK: Operations

    /// Does it, delivers what follows from it, and says what came of it. `position`: in the list that is being played.
    public func apply(_ operation: Operation, at position: Int? = nil) -> Outcome {
        var outcome = Outcome()
        machine.becomeCurrent()
        if let journal = plan.journal {
            if let place { journal.use(machine: place) }
            if let position { journal.begin(operation: position) }
            journal.beat()
        }
        onOperation?(operation)
        switch operation {
        case .read, .write, .peek, .readString, .writeString: access(operation, &outcome)
        case .advance(let time): advance(time)
        case .line(let index, let level): drive(index, level)
        case .input(let index, let bytes): outcome.value = input(index, bytes)
        case .throttle(let index, let on): throttle(index, on)
        case .event(let index, let event): sendEvent(index, event)
        case .complete(let well): outcome.value = complete(well)
        case .request(let index, let kind, let sector, let count, let pattern):
            outcome.bytes = request(index, kind, sector, count, pattern)
        case .frame(let index, let bytes): outcome.value = frame(index, bytes)
        case .link(let index, let isUp): link(index, isUp)
        case .send(let end, let function, let arguments): send(end, function, arguments, &outcome)
        case .acknowledge: outcome.value = machine.acknowledgeInterrupt().map(UInt64.init) ?? .max
        case .call(let name, let arguments): call(name, arguments)
        case .exit(let reason, let address, let value): outcome.value = exit(reason, address, value)
        case .reset(let warm):
            machine.resetInstances(warm: warm)
            if plan.type.kind == .loader { machine.resetLoaders(warm: warm) }
        case .mark: break
        }
        settle()
        outcome.effects = board.takeEffects()
        outcome.interrupt = machine.interruptPin()
        return outcome
    }

    private func access(_ operation: Operation, _ outcome: inout Outcome) {
        if case .peek(let space, let address, let width) = operation {
            outcome.value = machine.peek(space: space.kind, address: address, width: width) ?? .max
            return
        }
        awaitingAnswers(operation) {
            switch operation {
            case .read(.port, let address, let width):
                outcome.value = machine.access(port: UInt16(truncatingIfNeeded: address), width: width)
            case .read(.memory, let address, let width):
                outcome.value = machine.access(address: address, width: width)
            case .read(.msr, let address, _):
                outcome.value = machine.access(msr: UInt32(truncatingIfNeeded: address)) ?? .max
            case .write(.msr, let address, _, let value):
                _ = machine.access(msr: UInt32(truncatingIfNeeded: address), value: value)
            case .write(.port, let address, let width, let value):
                _ = machine.access(port: UInt16(truncatingIfNeeded: address), width: width, value: value)
            case .write(.memory, let address, let width, let value):
                _ = machine.access(address: address, width: width, value: value)
            case .readString(let port, let width, let count):
                outcome.bytes = [UInt8](repeating: 0, count: max(0, count) * Int(width))
                outcome.bytes.withUnsafeMutableBytes {
                    machine.accessString(port: port, width: width, $0, isWrite: false)
                }
            case .writeString(let port, let width, var bytes):
                bytes.withUnsafeMutableBytes { machine.accessString(port: port, width: width, $0, isWrite: true) }
            default: break
            }
        }
        let deferred = machine.deferredCount
        if deferred != deferredBefore {
            board.record(.deferred, 0, deferred &- deferredBefore)
            deferredBefore = deferred
        }
    }

    private func advance(_ time: UInt64) {
        let (end, overflow) = machine.now.addingReportingOverflow(time)
        let (_, atOnce) = machine.advance(to: overflow ? .max / 2 : end, limit: Bench.timerLimit)
        if atOnce > Bench.atOnceLimit { fault("its timers fire without end while the clock stands still") }
    }

    private func drive(_ index: Int, _ level: Bool) {
        guard let driver, board.state.lines.indices.contains(index) else { return }
        board.state.lines[index] = level
        machine.perform(as: driver) { board.driver?.set(index, level) }
    }

    // MARK: Streams

    private func withStream(_ index: Int, _ slot: (StreamEnds) -> Void, _ client: (StreamClientEnd) -> Void) {
        guard board.state.streams.indices.contains(index) else { return }
        if index < plan.slotStreams {
            machine.perform(as: streams) { board.streamPeers.map(slot) }
        } else if let end = board.streamClients[index],
            let instance = machine.instance(named: "bench-stream-client-\(index - plan.slotStreams)")
        {
            machine.perform(as: instance) { client(end) }
        }
    }

    private func input(_ index: Int, _ bytes: [UInt8]) -> UInt64 {
        var sent = 0
        withStream(
            index, { sent = $0.send(index, bytes) },
            {
                $0.write(bytes)
                sent = bytes.count
            })
        return UInt64(sent)
    }

    private func throttle(_ index: Int, _ on: Bool) {
        withStream(
            index,
            {
                board.state.streams[index].isThrottled = on
                $0.throttle(index, on)
            }, { $0.ready(on ? 0 : 4096) })
    }

    private func sendEvent(_ index: Int, _ event: UInt32) {
        withStream(
            index,
            {
                if Int(event) == BP_STREAM_OPEN { board.state.streams[index].isOpen = true }
                if Int(event) == BP_STREAM_CLOSED { board.state.streams[index].isOpen = false }
                $0.event(index, event)
            }, { $0.event(event) })
    }

    // MARK: Networks

    private func withNet(_ index: Int, _ slot: (NetEnds) -> Void, _ client: (NetClientEnd) -> Void) {
        guard board.state.nets.indices.contains(index) else { return }
        if index < plan.slotNets {
            guard let nets = machine.instance(named: "bench-nets") else { return }
            machine.perform(as: nets) { board.netPeers.map(slot) }
        } else if let end = board.netClients[index],
            let instance = machine.instance(named: "bench-net-client-\(index - plan.slotNets)")
        {
            machine.perform(as: instance) { client(end) }
        }
    }

    private func frame(_ index: Int, _ bytes: [UInt8]) -> UInt64 {
        var sent = 0
        withNet(
            index, { sent = $0.send(index, bytes) },
            {
                $0.send(bytes)
                sent = 1
            })
        return UInt64(sent)
    }

    private func link(_ index: Int, _ isUp: Bool) {
        withNet(
            index,
            {
                board.state.nets[index].isUp = isUp
                $0.link(index, isUp)
            }, { $0.ready(isUp ? NetClientEnd.room : 0) })
    }

    // MARK: Interfaces of the plugin's own

    private func send(_ name: String, _ function: String, _ arguments: [CallArgument], _ outcome: inout Outcome) {
        guard let library = plan.customLibrary, let place = plan.customs.first(where: { $0.name == name }) else {
            return
        }
        let interface = library.interfaces[place.interface]
        let key = CustomEnd.key(place.interface, interface.isProvided ? place.index : 0)
        guard let end = board.customEnds[key],
            let position = interface.outgoing.firstIndex(where: { $0.name == function }),
            let instance = machine.instance(named: BenchPlan.endID(place, interface))
        else { return }
        if HeaderInterfaces.isLevel(interface.name, function), case .number(let level)? = arguments.last {
            let line = "\(name) \(function) \(arguments.dropLast())"
            board.state.levels[line] = level == 0 ? nil : .send(end: name, function: function, arguments)
        }
        machine.perform(as: instance) { (outcome.value, outcome.bytes) = end.call(place.index, position, arguments) }
    }

    // MARK: Blocks

    private func complete(_ well: Bool) -> UInt64 {
        var isDone = false
        machine.perform(as: disks) { isDone = board.diskPeers?.complete(well: well) ?? false }
        return isDone ? 1 : 0
    }

    private func request(
        _ index: Int, _ kind: BlockKind, _ sector: UInt64, _ count: UInt64, _ pattern: UInt8
    ) -> [UInt8] {
        guard let client = board.blockClients[index],
            let instance = machine.instance(named: "bench-block-client-\(index)")
        else { return [] }
        var size: UInt64 = 0
        machine.perform(as: instance) {
            size = client.info?.sectorSize ?? 0
            client.submit(kind, sector: sector, count: count, pattern: pattern)
        }
        // What a class that stands above disks asks these for is done meanwhile.
        let isDone = waitForPosts(until: {
            if client.isWaiting { machine.perform(as: disks) { _ = board.diskPeers?.complete(well: true) } }
            return !client.isWaiting
        })
        if !isDone {
            fault("a block request is not completed within \(plan.patience / 1_000_000_000) s")
            machine.perform(as: instance) { client.cancel() }
        }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
        return kind == .read && !overflow ? client.contents(bytes) : []
    }

    // MARK: Methods and exits

    /// Results are not compared: many tell of the run, such as counters.
    private func call(_ name: String, _ arguments: [String]) {
        _ = try? machine.locked { () throws(MachineError) in _ = try? device.invoke(name, arguments) }
    }

    private func exit(_ reason: UInt16, _ address: UInt64, _ value: UInt64) -> UInt64 {
        var exit = bp_exit()
        exit.reason = reason & 63
        exit.address = address
        exit.value = value
        exit.width = 1
        switch machine.event(&exit) {
        case .unhandled: return 0
        case .handled: return exit.value << 2 | 1
        case .inject(let vector, let code): return UInt64(vector) << 2 | UInt64(code ?? 0) << 10 | 2
        }
    }

    // MARK: What follows

    /// Runs what is posted, and takes note of requests and of faults.
    func settle() {
        if plan.type.kind == .backend || !board.blockClients.isEmpty { machine.runPosted() }
        machine.runQuietWork()
        if let end = machine.requestedEnd {
            if end.reason.hasPrefix("plugin fault") || end.reason.hasPrefix("plugins call each other") {
                fault(end.reason)
            } else {
                board.record(.end, 0, UInt64(UInt32(bitPattern: end.status)))
            }
            machine.clearRequests()
        }
        if machine.hasResetRequest {
            board.record(.reset, 0, 0)
            machine.clearRequests()
        }
        for violation in board.violations { fault(violation) }
        for breach in machine.takeContractBreaches() where breach.instance == BenchPlan.deviceID { fault(breach.text) }
        for line in log.takeErrors() where line.contains("too many calls wait") { fault(line) }
    }

    func fault(_ sentence: String) {
        if faults.count < 20, !faults.contains(sentence) { faults.append(sentence) }
    }

    /// False: it did not happen within the plan's patience.
    func waitForPosts(until isDone: () -> Bool) -> Bool {
        let began = monotonic()
        var rounds = 0
        while !isDone() {
            plan.journal?.beat()
            machine.serveHost(milliseconds: 0)
            if isDone() { return true }
            rounds += 1
            if monotonic() &- began > plan.patience { return false }
            if rounds > 20 { sleepShortly(50) }
        }
        return true
    }
}

/// Leads a machine's wait for an answer to the bench, which is made after it.
private final class AnswerLink {
    weak var bench: Bench?
}
