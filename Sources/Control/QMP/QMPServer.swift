// The QMP socket: one thread reads and writes all clients and waits for nobody; commands run on the control plane's thread.

import CHost
import Glibc
import Synchronization

/// Who answers: on a thread that may wait.
package protocol QMPResponder: AnyObject, Sendable {
    var version: String { get }
    /// Runs `body` after all that was given before; false: never.
    func enqueue(_ body: @escaping @Sendable () -> Void) -> Bool
    func execute(_ command: String, _ arguments: JSONValue) throws(CommandError) -> JSONValue
}

package final class QMPServer: Sendable {
    /// Of clients that stay connected at one time.
    package static let clientLimit = 256
    /// More than these are let in too, so that `ctl` always is, but each stays only until others want its place.
    package static let guestLimit = 16
    /// Bytes that wait for a client's reader; beyond it the connection is closed.
    static let outputLimit = 4 << 20
    /// Requests of one client that wait for their answers; beyond it nothing more is read.
    static let requestLimit = 16

    private struct Client {
        let descriptor: Int32
        var framer = JSONFramer()
        var output = ByteQueue()
        var waiting = 0
        var isNegotiated = false
        /// Nothing more is read: what waits is written, and then it is closed.
        var isEnding = false
        /// Of ending: nothing that it does not take at once is written.
        var isDead = false
        /// Beyond `clientLimit`, or without a descriptor to spare.
        var isGuest = false
    }

    private struct State {
        var clients: [UInt64: Client] = [:]
        var nextID: UInt64 = 1
        var mustEnd = false
    }

    private let state = Mutex(State())
    private let socket: SocketFile
    private let responder: any QMPResponder
    private let log: LogWriter
    private let wakeUp: Int32
    private let thread = Mutex<pthread_t?>(nil)
    /// The server's thread's own.
    private let doorway: Doorway

    /// Creates the socket; clients are answered from `start` on.
    package init(path: String, responder: any QMPResponder, log: LogWriter) throws(ControlError) {
        self.responder = responder
        self.log = log
        socket = try SocketFile(path)
        doorway = Doorway(log: log)
        wakeUp = ch_eventfd()
        guard wakeUp >= 0 else {
            socket.remove()
            throw ControlError("creating an event descriptor", code: -wakeUp)
        }
    }

    deinit { _ = Glibc.close(wakeUp) }

    package func start() throws(ControlError) {
        let started = try Threads.start("qmp") { [self] in run() }
        thread.withLock { $0 = started }
    }

    /// What has been answered is still written, for a moment; then all connections are closed and the socket's file goes.
    package func finish() {
        state.withLock { $0.mustEnd = true }
        wake()
        if let thread = thread.withLock({ $0.take() }) { pthread_join(thread, nil) }
        socket.remove()
    }

    /// To every client that has negotiated. From any thread, never waits.
    package func broadcast(_ event: JSONValue) {
        let bytes = Array((event.written + "\r\n").utf8)
        state.withLock { state in
            for id in state.clients.keys where state.clients[id]?.isNegotiated == true {
                QMPServer.append(bytes, to: &state.clients[id]!)
            }
        }
        wake()
    }

    private static func append(_ bytes: [UInt8], to client: inout Client) {
        guard !client.isDead else { return }
        // One answer may be large; a reader that leaves that much unread has stopped reading.
        if client.output.count > outputLimit {
            client.isEnding = true
            client.isDead = true
            return
        }
        client.output.append(bytes)
    }

    private func wake() {
        var one: UInt64 = 1
        _ = Glibc.write(wakeUp, &one, 8)
    }

    // MARK: The thread

    private func run() {
        while true {
            if state.withLock({ $0.mustEnd }) { break }
            pass(timeout: -1, isAccepting: true)
        }
        let deadline = ch_monotonic() + 500_000_000
        while ch_monotonic() < deadline, state.withLock({ $0.clients.values.contains { !$0.output.isEmpty } }) {
            pass(timeout: 20, isAccepting: false)
        }
        let all = state.withLock { state in
            defer { state.clients = [:] }
            return state.clients.values.map(\.descriptor)
        }
        for descriptor in all { close(descriptor) }
    }

    private func pass(timeout: Int32, isAccepting: Bool) {
        var ids: [UInt64] = []
        var entries = [
            pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
            pollfd(fd: isAccepting ? socket.descriptor : -1, events: Int16(POLLIN), revents: 0),
        ]
        state.withLock { state in
            for (id, client) in state.clients {
                var events = 0
                if isAccepting, !client.isEnding, client.waiting < QMPServer.requestLimit { events |= Int(POLLIN) }
                if !client.output.isEmpty, !client.isDead { events |= Int(POLLOUT) }
                ids.append(id)
                entries.append(pollfd(fd: client.descriptor, events: Int16(events), revents: 0))
            }
        }
        guard poll(&entries, nfds_t(entries.count), timeout) > 0 else { return closeEnded() }
        if entries[0].revents != 0 {
            var count: UInt64 = 0
            _ = read(wakeUp, &count, 8)
        }
        for (id, entry) in zip(ids, entries.dropFirst(2)) where entry.revents != 0 {
            if entry.revents & Int16(POLLOUT) != 0 { write(id, entry.fd) }
            if entry.revents & Int16(POLLIN) != 0 {
                receive(id, entry.fd)
            } else if entry.revents & Int16(POLLHUP | POLLERR | POLLNVAL) != 0 {
                end(id, isDead: true)
            }
        }
        if entries[1].revents != 0 { accept() }
        closeEnded()
    }

    private func closeEnded() {
        let ended = state.withLock { state in
            let ids = state.clients.filter {
                $0.value.isDead || $0.value.isEnding && $0.value.output.isEmpty && $0.value.waiting == 0
            }.keys
            return ids.compactMap { state.clients.removeValue(forKey: $0)?.descriptor }
        }
        for descriptor in ended { close(descriptor) }
        doorway.keepSpare()
    }

    private func end(_ id: UInt64, isDead: Bool) {
        state.withLock { state in
            state.clients[id]?.isEnding = true
            if isDead { state.clients[id]?.isDead = true }
        }
    }

    private func accept() {
        switch socket.acceptClient() {
        case nil: break
        case .success(let descriptor): admit(descriptor, isGuest: false)
        case .failure(let error):
            doorway.report("QMP: \(error)")
            acceptWithSpare()
        }
    }

    /// The host gives no descriptor: the one that was kept serves a guest.
    private func acceptWithSpare() {
        if !doorway.openSpare() { state.withLock { QMPServer.endGuest(&$0) } }
        if case .success(let descriptor)? = socket.acceptClient() { return admit(descriptor, isGuest: true) }
        // Not again at once.
        usleep(100_000)
    }

    private func admit(_ descriptor: Int32, isGuest: Bool) {
        let greeting = Array((QMPSession.greeting(version: responder.version).written + "\r\n").utf8)
        let isFull = state.withLock { state in
            var client = Client(descriptor: descriptor)
            client.output.append(greeting)
            let guests = state.clients.values.count(where: \.isGuest)
            let isFull = state.clients.count - guests >= QMPServer.clientLimit
            client.isGuest = isGuest || isFull
            if client.isGuest, guests >= QMPServer.guestLimit { QMPServer.endGuest(&state) }
            state.clients[state.nextID] = client
            state.nextID += 1
            return isFull
        }
        if isFull { doorway.report("QMP: more than \(QMPServer.clientLimit) clients; those beyond stay for a moment") }
    }

    /// One that has asked nothing yet, if there is one, and of those the oldest.
    private static func endGuest(_ state: inout State) {
        let guests = state.clients.filter { $0.value.isGuest && !$0.value.isDead }
        let chosen = guests.min { ($0.value.isNegotiated ? 1 : 0, $0.key) < ($1.value.isNegotiated ? 1 : 0, $1.key) }
        guard let chosen else { return }
        close(chosen.value.descriptor)
        state.clients[chosen.key] = nil
    }

    private func write(_ id: UInt64, _ descriptor: Int32) {
        let bytes = state.withLock { $0.clients[id]?.output.front(64 << 10) ?? [] }
        let count = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        let code = errno
        if count >= 0 {
            state.withLock { $0.clients[id]?.output.removeFirst(count) }
        } else if code != EAGAIN, code != EINTR {
            end(id, isDead: true)
        }
    }

    private func receive(_ id: UInt64, _ descriptor: Int32) {
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        let code = errno
        if count < 0 {
            if code != EAGAIN, code != EINTR { end(id, isDead: true) }
            return
        }
        // Half closed: what was asked is still answered.
        if count == 0 { return end(id, isDead: false) }
        let items = state.withLock { state in
            let items = state.clients[id]?.framer.feed(bytes.prefix(count)) ?? []
            state.clients[id]?.waiting += items.count
            if items.last == .tooLong { state.clients[id]?.isEnding = true }
            return items
        }
        for item in items where !responder.enqueue({ [self] in answer(item, of: id) }) { end(id, isDead: true) }
    }

    // MARK: On the control plane's thread

    private func answer(_ item: JSONFramer.Item, of id: UInt64) {
        guard let isNegotiated = state.withLock({ $0.clients[id]?.isNegotiated }) else { return }
        var session = QMPSession(isNegotiated: isNegotiated)
        let reply = session.answer(item) { (command, arguments) throws(CommandError) in
            try responder.execute(command, arguments)
        }
        let bytes = Array((reply.written + "\r\n").utf8)
        state.withLock { state in
            guard state.clients[id] != nil else { return }
            state.clients[id]!.isNegotiated = session.isNegotiated
            state.clients[id]!.waiting -= 1
            QMPServer.append(bytes, to: &state.clients[id]!)
        }
        wake()
    }
}
