// What an operator can do to running machines, for QMP clients and the monitor alike. Commands run one after the other on a
// thread of their own, so that a machine that keeps one waiting takes neither the terminal nor the sockets with it.

public import Core
import Glibc
public import MachineFile
import Synchronization

public final class ControlPlane: QMPResponder {
    public let version: String
    let log: LogWriter
    private let thread: SerialThread
    private let machines_ = Mutex<[Machine]>([])
    private let catalog: CatalogBox
    private let server = Mutex<QMPServer?>(nil)
    private let debuggers = Mutex<[GDBServer]>([])
    private let hasQuit = Atomic<Bool>(false)

    /// SAFETY: used on the control thread only.
    private struct CatalogBox: @unchecked Sendable { let catalog: any PluginCatalog }

    /// `catalog` finds the plugins of policies that are inserted; from here on it is this object's alone.
    public init(version: String, catalog: any PluginCatalog, log: LogWriter) throws(ControlError) {
        thread = try SerialThread("control")
        self.version = version
        self.catalog = CatalogBox(catalog: catalog)
        self.log = log
    }

    /// One of the machines of a board, in order; its events go to all clients.
    public func attach(_ machine: Machine) {
        let isFirst = machines_.withLock { machines in
            machines.append(machine)
            return machines.count == 1
        }
        let name = machine.description.name
        machine.onEvent { [weak self] event in self?.tell(event, of: name) }
        let board = machine.seat.board
        if isFirst { board.onForeground { [weak self, weak board] in board.map { self?.tellForeground($0) } } }
    }

    /// A socket that speaks QEMU's Machine Protocol. `finish` removes it.
    public func listen(at path: String) throws(ControlError) {
        let server = try QMPServer(path: path, responder: self, log: log)
        do throws(ControlError) {
            try server.start()
        } catch {
            server.finish()
            throw error
        }
        self.server.withLock { $0 = server }
    }

    /// A port that speaks GDB's remote protocol. `finish` closes it. Answers where it is, with the port that was taken.
    @discardableResult
    public func listenForDebugger(at address: GDBAddress) throws(ControlError) -> String {
        let machine: Machine
        do throws(CommandError) {
            machine = try self.machine(address.machine)
        } catch {
            throw ControlError(error.text, code: ENOENT)
        }
        // Of its own machine, until a command chooses another.
        let choice = MachineChoice(machine.description.name)
        let server = try GDBServer(address, machine: machine, log: log) { [weak self] line, answer in
            guard let self else { return false }
            return enqueue { [self] in
                do throws(CommandError) {
                    answer(try Monitor(plane: self, choice: choice).run(line))
                } catch {
                    answer("error: \(error.text)\n")
                }
            }
        }
        do throws(ControlError) {
            try server.start()
        } catch {
            server.finish()
            throw error
        }
        debuggers.withLock { $0.append(server) }
        if case .tcp(let host, _) = address.place, !host.hasPrefix("127."), host != "::1" {
            log.write(.warning, nil, "gdb: everybody who reaches \(server.text) can do anything to the guest")
        }
        return server.text
    }

    /// Once the machines have ended: what was asked is answered, and the socket is gone.
    public func finish() {
        thread.finish()
        if let server = server.withLock({ $0.take() }) { server.finish() }
        let debuggers = debuggers.withLock { list in
            defer { list = [] }
            return list
        }
        for debugger in debuggers { debugger.finish() }
        for machine in machines_.withLock({ $0 }) { machine.onEvent(nil) }
        machines_.withLock { $0 = [] }
    }

    // MARK: For commands

    package func enqueue(_ body: @escaping @Sendable () -> Void) -> Bool { thread.run(body) }

    var machines: [Machine] { machines_.withLock { $0 } }

    /// By name, or by number from 1; nil: the first.
    func machine(_ name: String?) throws(CommandError) -> Machine {
        let all = machines
        guard let name else {
            if let first = all.first { return first }
            throw CommandError("there is no machine")
        }
        if let found = all.first(where: { $0.description.name == name }) { return found }
        if let number = Int(name), let found = all.first(where: { $0.seat.index == number &- 1 }) { return found }
        let known = all.map { "'\($0.description.name)'" }.joined(separator: ", ")
        throw CommandError("there is no machine '\(name)'" + (known.isEmpty ? "" : "; there is \(known)"))
    }

    /// nil: there is no machine.
    var guests: GuestBoard? { machines.first?.seat.board }

    /// The one in the foreground; the first where all have ended.
    func foregroundMachine() throws(CommandError) -> Machine {
        let index = guests?.foreground
        if let found = machines.first(where: { $0.seat.index == index }) { return found }
        return try machine(nil)
    }

    /// Brings a machine to the foreground; nil: the next one.
    func bring(_ name: String?) throws(CommandError) {
        let first = try machine(nil)
        guard let name else {
            if first.seat.board.bringNext() { return }
            throw CommandError("all machines have ended")
        }
        let machine = try machine(name)
        guard machine.seat.board.bring(machine.seat.index) else {
            throw CommandError("the machine '\(machine.description.name)' has ended")
        }
    }

    func describe(
        _ request: PolicyRequest, for machine: Machine, replaces: Bool = false
    ) throws(CommandError) -> InstanceDescription {
        let ids = Set(machine.instanceSummaries().map(\.description.id))
        do throws(RequestError) {
            return try request.description(taken: ids, catalog: catalog.catalog, replaces: replaces)
        } catch {
            throw CommandError(error.description)
        }
    }

    func quit() {
        hasQuit.store(true, ordering: .relaxed)
        for machine in machines { machine.stop(0, "") }
    }

    // MARK: QMP

    package func execute(_ command: String, _ arguments: JSONValue) throws(CommandError) -> JSONValue {
        guard let found = QMPCommand.named(command) else {
            throw CommandError("The command \(command) has not been found", kind: "CommandNotFound")
        }
        let call = QMPCall(plane: self, arguments: arguments)
        try call.check(found)
        do {
            return try found.run(call)
        } catch let error as CommandError {
            throw error
        } catch let error as MachineError {
            throw CommandError(error.description)
        } catch {
            throw CommandError("\(error)")
        }
    }

    /// With the machine's lock held.
    private func tell(_ event: MachineEvent, of machine: String) {
        guard server.withLock({ $0 != nil }) else { return }
        let (name, data) = description(of: event)
        guard isSeveral else { return broadcast(name, data) }
        var members = [JSONMember(key: "machine", value: .string(machine))]
        if case .object(let others)? = data { members += others }
        broadcast(name, .object(members))
    }

    private var isSeveral: Bool { machines_.withLock { $0.count > 1 } }

    private func tellForeground(_ board: GuestBoard) {
        guard server.withLock({ $0 != nil }), let index = board.foreground else { return }
        broadcast(
            "BACKPLANE_FOREGROUND_CHANGED",
            .members(("machine", .string(board.names[index])), ("number", .number(UInt64(index + 1)))))
    }

    private func broadcast(_ name: String, _ data: JSONValue?) {
        guard let server = server.withLock({ $0 }) else { return }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        server.broadcast(
            QMPSession.event(
                name, data, seconds: Int64(now.tv_sec), microseconds: Int64(now.tv_nsec / 1000)))
    }

    /// QEMU's events under QEMU's names; ours begin with "BACKPLANE_".
    private func description(of event: MachineEvent) -> (String, JSONValue?) {
        switch event {
        case .stopped: return ("STOP", nil)
        case .resumed: return ("RESUME", nil)
        case .reset: return ("RESET", .members(("guest", .bool(true)), ("reason", .string("guest-reset"))))
        case .powerButton: return ("POWERDOWN", nil)
        case .ended(let end):
            let isOurs = hasQuit.load(ordering: .relaxed)
            let isGuests = !isOurs && (end.status & 1 == 1 || end.status == 0)
            let reason = isOurs ? "host-qmp-quit" : isGuests ? "guest-shutdown" : "host-error"
            return (
                "SHUTDOWN",
                .members(
                    ("guest", .bool(isGuests)), ("reason", .string(reason)), ("status", .integer(Int64(end.status))),
                    ("text", .string(end.reason)))
            )
        case .policiesChanged: return ("BACKPLANE_POLICIES_CHANGED", nil)
        case .propertySet(let instance, let name):
            return (
                "BACKPLANE_PROPERTY_SET", .members(("instance", .string(instance)), ("property", .string(name)))
            )
        case .offline(let instance, let reason):
            return (
                "BACKPLANE_INSTANCE_OFFLINE", .members(("instance", .string(instance)), ("reason", .string(reason)))
            )
        case .answerOwed(let instance, let what):
            return ("BACKPLANE_ANSWER_OWED", .members(("instance", .string(instance)), ("what", .string(what))))
        case .online(let instance): return ("BACKPLANE_INSTANCE_ONLINE", .members(("instance", .string(instance))))
        }
    }
}
