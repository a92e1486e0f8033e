// A machine's port for debuggers: one thread, one debugger at a time. It may wait for the vCPUs; nobody waits for it.

import CHost
import Core
import Glibc
import Synchronization

/// A Machine as a session sees it.
final class MachineTarget: GDBTarget, Sendable {
    let machine: Machine
    let cpuCount: Int

    init(_ machine: Machine) {
        self.machine = machine
        cpuCount = machine.debugCPUCount
    }

    func registers(_ cpu: Int) throws(MachineError) -> DebugRegisters {
        let all = try machine.readRegisters(vcpu: cpu, msrs: DebugRegisters.msrIndices)
        return DebugRegisters(machine: all.machine, floating: all.floating, msrs: all.msrs)
    }

    func setRegisters(_ registers: DebugRegisters, _ cpu: Int) throws(MachineError) {
        let before = try self.registers(cpu)
        var machineBefore = before.machine
        var machineAfter = registers.machine
        let isChanged = withUnsafeBytes(of: &machineBefore) { old in
            withUnsafeBytes(of: &machineAfter) { !old.elementsEqual($0) }
        }
        try machine.setRegisters(
            isChanged ? registers.machine : nil, before.floating == registers.floating ? nil : registers.floating,
            vcpu: cpu)
    }

    func readMemory(_ address: UInt64, _ count: Int, _ cpu: Int) throws(MachineError) -> [UInt8] {
        try machine.readForDebugger(linear: address, count: count, vcpu: cpu)
    }

    func writeMemory(_ address: UInt64, _ bytes: [UInt8], _ cpu: Int) throws(MachineError) {
        try machine.writeForDebugger(linear: address, bytes, vcpu: cpu)
    }

    func insert(_ point: DebugPoint) throws(MachineError) { try machine.insert(point) }
    func remove(_ point: DebugPoint) throws(MachineError) -> Bool { try machine.remove(point) }
    func resume(step: Int?) throws(MachineError) { try machine.resumeForDebugger(step: step) }
    func interrupt() { machine.interruptForDebugger() }
    func phase() -> DebugPhase { machine.debugPhase() }
}

package final class GDBServer: Sendable {
    /// Bytes that wait for the debugger to read them; beyond it the connection is closed.
    static let outputLimit = 4 << 20
    /// Connections that are told that there is a debugger already, at one time.
    private static let refusedLimit = 16

    /// Runs a monitor command and answers its text, on any thread; false: it never will.
    typealias RunCommand = @Sendable (_ line: String, _ answer: @escaping @Sendable (String) -> Void) -> Bool

    private struct Client {
        let id: UInt64
        let descriptor: Int32
        var framer = GDBFramer()
        var output = ByteQueue()
        /// What came while a monitor command runs.
        var waiting: [GDBFramer.Item] = []
        /// Begins with the first packet: until then the guest goes on.
        var session: GDBSession?
        var isAsking = false
        /// Nothing more is read: what waits is written, and then it is closed.
        var isEnding = false
        var isDead = false
    }

    private struct Shared {
        var mustEnd = false
        var answers: [(client: UInt64, text: String)] = []
        var lastID: UInt64 = 0
    }

    private let listener: GDBListener
    private let architecture: GDBArchitecture?
    private let target: MachineTarget
    private let runCommand: RunCommand
    private let log: LogWriter
    private let wakeUp: Int32
    private let shared = Mutex(Shared())
    private let thread = Mutex<pthread_t?>(nil)
    /// The thread's own.
    private let doorway: Doorway

    init(
        _ address: GDBAddress, machine: Machine, log: LogWriter, runCommand: @escaping RunCommand
    ) throws(ControlError) {
        listener = try GDBListener(address.place)
        architecture = address.architecture
        target = MachineTarget(machine)
        self.runCommand = runCommand
        self.log = log
        doorway = Doorway(log: log)
        wakeUp = ch_eventfd()
        guard wakeUp >= 0 else {
            listener.remove()
            throw ControlError("creating an event descriptor", code: -wakeUp)
        }
    }

    deinit { _ = Glibc.close(wakeUp) }

    /// "tcp:127.0.0.1:1234", as it is listened at.
    package var text: String { listener.text }

    package func start() throws(ControlError) {
        let started = try Threads.start("gdb") { [self] in run() }
        thread.withLock { $0 = started }
    }

    /// The debugger is told of the end of the machine; then the port is closed.
    package func finish() {
        shared.withLock { $0.mustEnd = true }
        wake()
        if let thread = thread.withLock({ $0.take() }) { pthread_join(thread, nil) }
        listener.remove()
    }

    private func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(wakeUp, &one, 8)
    }

    // MARK: The thread

    private func run() {
        var client: Client?
        var refused: [(descriptor: Int32, deadline: UInt64)] = []
        while !shared.withLock({ $0.mustEnd }) {
            var entries = [
                pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
                pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: client?.descriptor ?? -1, events: client.map(events) ?? 0, revents: 0),
            ]
            entries += refused.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
            _ = poll(&entries, nfds_t(entries.count), refused.isEmpty ? -1 : 200)
            if entries[0].revents != 0 { noticed(&client) }
            if var current = client, entries[2].revents != 0 {
                serve(&current, entries[2].revents)
                client = current
            }
            closeEnded(&client)
            dismiss(&refused, entries.dropFirst(3).map(\.revents))
            if entries[1].revents != 0 { accept(&client, &refused) }
        }
        for (descriptor, _) in refused { close(descriptor) }
        noticed(&client)
        if var current = client {
            let deadline = ch_monotonic() + 500_000_000
            while !current.output.isEmpty, !current.isDead, ch_monotonic() < deadline {
                var entry = pollfd(fd: current.descriptor, events: Int16(POLLOUT), revents: 0)
                if poll(&entry, 1, 20) > 0 { write(&current) }
            }
            end(&current)
        }
    }

    private func events(_ client: Client) -> Int16 {
        // While a command runs, what more comes stays with the sender.
        var events = client.isEnding || client.isAsking ? 0 : Int(POLLIN)
        if !client.output.isEmpty { events |= Int(POLLOUT) }
        return Int16(events)
    }

    private func accept(_ client: inout Client?, _ refused: inout [(descriptor: Int32, deadline: UInt64)]) {
        let descriptor: Int32
        switch listener.accept() {
        case nil: return
        case .success(let accepted): descriptor = accepted
        case .failure(let error):
            doorway.report("gdb: \(error)")
            // Not again at once.
            usleep(100_000)
            return
        }
        guard client != nil else {
            let id = shared.withLock { shared in
                shared.lastID += 1
                return shared.lastID
            }
            client = Client(id: id, descriptor: descriptor)
            return
        }
        let packet = GDBFramer.frame(Array("E.another debugger is connected to this machine".utf8))
        _ = packet.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        doorway.report("gdb: a second debugger is turned away")
        // Closing at once, with its first packet unread, would take the answer back.
        guard refused.count < GDBServer.refusedLimit, shutdown(descriptor, Int32(SHUT_WR)) == 0 else {
            close(descriptor)
            return
        }
        refused.append((descriptor, ch_monotonic() + 2_000_000_000))
    }

    private func dismiss(_ refused: inout [(descriptor: Int32, deadline: UInt64)], _ events: [Int16]) {
        var left: [(descriptor: Int32, deadline: UInt64)] = []
        for (index, entry) in refused.enumerated() {
            var bytes = [UInt8](repeating: 0, count: 4096)
            let isReady = index < events.count && events[index] != 0
            let isOver = isReady && recv(entry.descriptor, &bytes, bytes.count, 0) == 0
            if isOver || ch_monotonic() > entry.deadline { close(entry.descriptor) } else { left.append(entry) }
        }
        refused = left
    }

    private func serve(_ client: inout Client, _ revents: Int16) {
        if revents & Int16(POLLOUT) != 0 { write(&client) }
        if revents & Int16(POLLIN) != 0 {
            receive(&client)
        } else if revents & Int16(POLLHUP | POLLERR | POLLNVAL) != 0 {
            client.isDead = true
        }
    }

    private func write(_ client: inout Client) {
        let bytes = client.output.front(64 << 10)
        let count = bytes.withUnsafeBytes { send(client.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        let code = errno
        if count >= 0 {
            client.output.removeFirst(count)
        } else if code != EAGAIN, code != EINTR {
            client.isDead = true
        }
    }

    private func receive(_ client: inout Client) {
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = recv(client.descriptor, &bytes, bytes.count, 0)
        let code = errno
        if count < 0 {
            if code != EAGAIN, code != EINTR { client.isDead = true }
            return
        }
        if count == 0 {
            client.isDead = true
            return
        }
        take(client.framer.feed(bytes.prefix(count)), &client)
    }

    private func take(_ items: [GDBFramer.Item], _ client: inout Client) {
        for (index, item) in items.enumerated() {
            if client.isEnding || client.isDead { return }
            if client.isAsking {
                client.waiting += items[index...]
                return
            }
            if client.session == nil {
                // gdb begins with '+'.
                guard case .packet = item else {
                    if item == .garbage { client.isDead = true }
                    continue
                }
                guard begin(&client) else { return }
            }
            guard let reactions = client.session?.take(item) else { return }
            carryOut(reactions, &client)
        }
    }

    private func begin(_ client: inout Client) -> Bool {
        guard target.machine.attachDebugger(notify: { [weak self] in self?.wake() }) else {
            client.isDead = true
            return false
        }
        var chosen = architecture ?? .i386
        if architecture == nil, let registers = try? target.machine.registers(), registers.efer >> 10 & 1 != 0 {
            chosen = .x86_64
        }
        log.write(.info, nil, "gdb: a debugger is connected; the guest stands still (\(chosen.rawValue))")
        client.session = GDBSession(chosen, target: target)
        return true
    }

    private func carryOut(_ reactions: [GDBSession.Reaction], _ client: inout Client) {
        for reaction in reactions {
            switch reaction {
            case .write(let bytes):
                if client.output.count > GDBServer.outputLimit {
                    client.isDead = true
                } else {
                    client.output.append(bytes)
                }
            case .monitor(let line):
                client.isAsking = true
                let id = client.id
                let isTaken = runCommand(line) { [weak self] text in
                    self?.shared.withLock { $0.answers.append((id, text)) }
                    self?.wake()
                }
                if !isTaken { client.isDead = true }
            case .detach: leave(&client)
            case .kill: target.machine.stop(0, "")
            case .close: client.isEnding = true
            }
        }
    }

    /// The guest has stopped, the machine has ended, or a command is done.
    private func noticed(_ client: inout Client?) {
        var count: UInt64 = 0
        _ = read(wakeUp, &count, 8)
        let answers = shared.withLock { shared in
            defer { shared.answers = [] }
            return shared.answers
        }
        guard var current = client else { return }
        defer { client = current }
        for (id, text) in answers where id == current.id && current.isAsking {
            current.isAsking = false
            if let reactions = current.session?.answerMonitor(text) { carryOut(reactions, &current) }
            let items = current.waiting
            current.waiting = []
            take(items, &current)
        }
        guard current.session != nil, !current.isEnding else { return }
        let phase = target.phase()
        if let reactions = current.session?.notice(phase) { carryOut(reactions, &current) }
    }

    private func closeEnded(_ client: inout Client?) {
        guard var current = client, current.isDead || (current.isEnding && current.output.isEmpty) else { return }
        end(&current)
        client = nil
    }

    private func end(_ client: inout Client) {
        leave(&client)
        close(client.descriptor)
    }

    /// Its breakpoints go, and the guest goes on.
    private func leave(_ client: inout Client) {
        guard client.session != nil else { return }
        client.session = nil
        target.machine.detachDebugger()
        log.write(.info, nil, "gdb: the debugger has left")
    }
}
