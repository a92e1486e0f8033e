// What an operator can do to running machines, for QMP clients and the monitor alike. Commands run one after the other on a
// thread of their own, so that a machine that keeps one waiting takes neither the terminal nor the sockets with it.

public import Core
import Glibc
public import MachineFile
import Synchronization

public final class ControlPlane: QMPResponder {
    public let version: String
    let log: LogWriter
    private let thread = SerialThread("control")
    private let machines_ = Mutex<[Machine]>([])
    private let catalog: CatalogBox
    private let server = Mutex<QMPServer?>(nil)
    private let hasQuit = Atomic<Bool>(false)

    /// SAFETY: used on the control thread only.
    private struct CatalogBox: @unchecked Sendable { let catalog: any PluginCatalog }

    /// `catalog` finds the plugins of policies that are inserted; from here on it is this object's alone.
    public init(version: String, catalog: any PluginCatalog, log: LogWriter) {
        self.version = version
        self.catalog = CatalogBox(catalog: catalog)
        self.log = log
    }

    /// For the first machine, whose events go to all clients.
    public func attach(_ machine: Machine) {
        machines_.withLock { $0.append(machine) }
        machine.onEvent { [weak self] event in self?.tell(event, of: machine.description.name) }
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

    /// Once the machines have ended: what was asked is answered, and the socket is gone.
    public func finish() {
        thread.finish()
        if let server = server.withLock({ $0.take() }) { server.finish() }
        for machine in machines_.withLock({ $0 }) { machine.onEvent(nil) }
        machines_.withLock { $0 = [] }
    }

    // MARK: For commands

    package func enqueue(_ body: @escaping @Sendable () -> Void) -> Bool { thread.run(body) }

    var machines: [Machine] { machines_.withLock { $0 } }

    /// nil: the first.
    func machine(_ name: String?) throws(CommandError) -> Machine {
        let all = machines
        guard let name else {
            if let first = all.first { return first }
            throw CommandError("there is no machine")
        }
        if let found = all.first(where: { $0.description.name == name }) { return found }
        throw CommandError("there is no machine '\(name)'")
    }

    func describe(_ request: PolicyRequest, for machine: Machine) throws(CommandError) -> InstanceDescription {
        let ids = Set(machine.instanceSummaries().map(\.description.id))
        do throws(RequestError) {
            return try request.description(taken: ids, catalog: catalog.catalog)
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
        guard let server = server.withLock({ $0 }) else { return }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let (name, data) = description(of: event)
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
        case .online(let instance): return ("BACKPLANE_INSTANCE_ONLINE", .members(("instance", .string(instance))))
        }
    }
}
