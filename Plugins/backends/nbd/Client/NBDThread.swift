import BackendSupport
import CBackendSupport
import Glibc
import PluginKit

/// The thread of an engine, which alone has the connection.
final class NBDThread {
    enum Link {
        /// A server of its own does not listen yet.
        case starting(NBDServer, deadline: Int)
        case negotiating(NBDConnection, deadline: Int)
        case up(NBDConnection)
        /// Until the next attempt.
        case down(until: Int)
    }

    private static let (shortestPause, longestPause) = (100, 5000)
    /// Parts that are out at a time, and the most bytes of one: so much memory there is.
    private static let (mostParts, longestPart) = (16, 256 << 10)
    /// How often to look whether a server listens.
    private static let startInterval = 5
    /// A connection that was there for so long, in milliseconds, is no reason to wait for the next one.
    private static let lasting = 10_000
    /// The part that is no client's.
    private static let own = -1

    let engine: NBDEngine
    private let patience: Int
    var link = Link.down(until: 0)
    var server: NBDServer?
    /// Bytes that the image is to have, once nothing is with its server.
    var wantedSize: UInt64?
    /// It is being made larger, or its server starts anew since: requests wait.
    var isGrowing = false
    /// Its image may be larger than the disk is known to be, until a server has told.
    var mayHaveGrown = false
    /// What the first connection found; nil: there was none yet.
    private var export: NBDExport?
    private var window = RequestWindow(.init(data: 1, clear: 1, parts: mostParts))
    private var flights: [Int64: (part: RequestWindow.Part, buffer: UnsafeMutableRawBufferPointer?)] = [:]
    private var buffers: [UnsafeMutableRawBufferPointer] = []
    private var epoch: UInt64 = 0
    private var pause = shortestPause
    private var isUpSince = 0
    /// Writes that had an answer may be gone: the next flush must say so.
    private var hasLostWrites = false
    /// A flush of the machine's own, before it is quiet.
    private var isSettling = false
    private var said = ""
    private var reported: [Int32] = []

    init(_ engine: NBDEngine, patience: Int) {
        self.engine = engine
        self.patience = patience
    }

    deinit { buffers.forEach { $0.deallocate() } }

    func run() {
        begin()
        while export != nil || !isOver, let work = engine.takeWork() {
            if work.epoch != epoch {
                epoch = work.epoch
                window.giveUp(.stale)
            }
            for request in work.requests { window.append(request) }
            if work.settles { settle() }
            if let size = work.size { wantedSize = size }
            attend()
            engine.finish(takeFinished())
            wait(milliseconds: work.isLate ? 10 : pauseBefore)
        }
        end()
    }

    /// The first attempt has failed.
    private var isOver = false

    // MARK: The connection

    func begin() {
        let deadline = HostClock.milliseconds + patience
        do throws(NBDError) {
            switch engine.source.place {
            case .uri(let uri):
                let connection = try NBDConnection()
                try connection.begin(uri: uri)
                link = .negotiating(connection, deadline: deadline)
            case .image(let path, let format):
                let started = try NBDServer(path: path, format: format, isReadOnly: engine.source.isReadOnly)
                server = started
                link = .starting(started, deadline: deadline)
            }
        } catch {
            fail(error.text)
        }
    }

    private func attend() {
        switch link {
        case .starting(let server, let deadline):
            if !isGrowing { window.giveUp(.ioError) }
            do throws(NBDError) {
                if let socket = try server.connect() {
                    let connection = try NBDConnection()
                    try connection.begin(socket: socket)
                    link = .negotiating(connection, deadline: deadline)
                } else if HostClock.milliseconds >= deadline {
                    fail("qemu-nbd does not listen within \(patience / 1000) s")
                }
            } catch { fail(error.text) }
        case .negotiating(let connection, let deadline):
            if !isGrowing { window.giveUp(.ioError) }
            switch connection.phase {
            case .ready:
                adopt(connection)
                // What has waited while the image grew.
                if case .up = link { send(connection) }
            case .lost: fail(server?.lastWords ?? connection.reason ?? "the server ends the connection")
            case .connecting where HostClock.milliseconds >= deadline:
                fail("the server does not answer within \(patience / 1000) s")
            case .connecting: break
            }
        case .up(let connection):
            collect(connection)
            if let size = wantedSize {
                if connection.phase == .ready, flights.isEmpty { return grow(to: size, connection) }
            } else {
                send(connection)
            }
            if connection.phase == .lost { lose(connection.reason ?? "the server ends the connection") }
        case .down(let time):
            forgetWantedSize()
            failAll()
            if HostClock.milliseconds >= time { begin() }
        }
    }

    private func forgetWantedSize() {
        if wantedSize != nil {
            engine.link.log(.error, "'\(engine.source.name)' is not made larger: its server is gone")
        }
        wantedSize = nil
    }

    /// An attempt has come to nothing.
    private func fail(_ reason: String) {
        isGrowing = false
        link = .down(until: HostClock.milliseconds + pause)
        pause = min(pause * 2, NBDThread.longestPause)
        server?.end()
        server = nil
        guard export != nil else {
            isOver = true
            return engine.hasOpened(.failure(NBDError("'\(engine.source.name)': " + reason)))
        }
        if said != reason { engine.link.log(.warning, "'\(engine.source.name)' is not back: \(reason)") }
        said = reason
    }

    private func adopt(_ connection: NBDConnection) {
        do throws(NBDError) {
            let found = try connection.export()
            if let export, mayHaveGrown, found.size >= export.size {
                self.export?.size = found.size
                engine.hasGrown(to: found.size)
            } else if let export, export.size != found.size {
                throw NBDError("it has \(found.size) bytes now, where the disk has \(export.size)")
            }
            guard found.minimum <= engine.sectorLength, engine.sectorLength % found.minimum == 0 else {
                throw NBDError(
                    "the server takes no requests of less than \(found.minimum) bytes: sector-size: \(found.minimum) has such sectors"
                )
            }
            link = .up(connection)
            window.limits = NBDThread.limits(found)
            isUpSince = HostClock.milliseconds
            said = ""
            engine.setConnected(true)
            if export != nil, !isGrowing { engine.link.log(.info, "'\(engine.source.name)' is back") }
            (isGrowing, mayHaveGrown) = (false, false)
            if export == nil {
                export = found
                engine.hasOpened(.success(found))
            }
            export?.canFlush = found.canFlush
        } catch { fail(error.text) }
    }

    private static func limits(_ export: NBDExport) -> RequestWindow.Limits {
        func aligned(_ length: UInt64) -> Int {
            Int(clamping: max(export.minimum, length / export.minimum * export.minimum))
        }
        return .init(
            data: aligned(min(export.maximum, UInt64(longestPart))), clear: aligned(min(export.maximum, 1 << 30)),
            parts: mostParts)
    }

    private func lose(_ reason: String) {
        engine.link.log(
            .warning,
            "'\(engine.source.name)' is lost: \(server?.lastWords ?? reason); the guest gets I/O errors until it is back"
        )
        engine.setConnected(false)
        forgetWantedSize()
        let lasted = HostClock.milliseconds - isUpSince
        pause = lasted >= NBDThread.lasting ? NBDThread.shortestPause : min(pause * 2, NBDThread.longestPause)
        disconnect(until: HostClock.milliseconds + pause)
        hasLostWrites = hasLostWrites || engine.hasUnflushedWrites
        server?.end()
        server = nil
        failAll()
    }

    /// The connection goes, and with it its hold on the buffers.
    private func disconnect(until time: Int) {
        link = .down(until: time)
        for flight in flights.values {
            recycle(flight.buffer)
            window.complete(flight.part, .ioError)
        }
        flights.removeAll()
    }

    private func failAll() {
        window.giveUp(.ioError)
        settled()
    }

    private func end() {
        if case .up(let connection) = link { connection.end(milliseconds: 300) }
        disconnect(until: 0)
        server?.end()
        server = nil
    }

    // MARK: Requests

    private func takeFinished() -> [(request: DiskRequest, status: Status)] {
        let finished = window.takeFinished()
        // A flush that fails has told of what was lost.
        if finished.contains(where: {
            $0.request.operation == .flush && $0.status == .ioError && $0.request.epoch == epoch
        }) {
            hasLostWrites = false
        }
        return finished
    }

    private func send(_ connection: NBDConnection) {
        while connection.phase == .ready, let part = window.takePart() {
            if let status = refusal(part) {
                window.complete(part, status)
                continue
            }
            var buffer: UnsafeMutableRawBufferPointer?
            if part.operation == .read || part.operation == .write { buffer = takeBuffer(window.limits.data) }
            guard part.operation != .write || fill(buffer, part) else {
                recycle(buffer)
                window.complete(part, window.request(of: part).map { $0.epoch == epoch } == true ? .refused : .stale)
                continue
            }
            // Before it goes out: what is written while a flush is under way is not covered.
            if part.operation != .read { engine.setDirty(part.operation != .flush) }
            switch connection.send(part.operation, at: part.offset, length: part.length, buffer?.baseAddress) {
            case .success(let cookie):
                flights[cookie] = (part, buffer)
                engine.countPart()
            case .failure(let error):
                recycle(buffer)
                window.complete(part, status(error.code, part))
            }
        }
    }

    /// What needs no server.
    private func refusal(_ part: RequestWindow.Part) -> Status? {
        guard part.operation == .flush else { return nil }
        if hasLostWrites { return .ioError }
        guard export?.canFlush == true else {
            engine.setDirty(false)
            return .ok
        }
        return nil
    }

    /// False: it was cancelled meanwhile, or must not be written.
    private func fill(_ buffer: UnsafeMutableRawBufferPointer?, _ part: RequestWindow.Part) -> Bool {
        guard let buffer, let target = buffer.baseAddress, let request = window.request(of: part),
            engine.withBuffer(of: request, { target.copyMemory(from: $0 + part.place, byteCount: part.length) })
        else { return false }
        guard engine.source.isGuessedRaw, part.offset == 0,
            buffer.prefix(ImageFormat.magic.count).elementsEqual(ImageFormat.magic)
        else { return true }
        engine.link.log(
            .error,
            "the guest writes the header of a qcow2 image to '\(engine.source.name)', which was taken as raw by its first bytes: refused (format: raw allows it)"
        )
        return false
    }

    private func collect(_ connection: NBDConnection) {
        while let (cookie, code) = connection.completed() {
            guard let (part, buffer) = flights.removeValue(forKey: cookie) else { continue }
            var status: Status = code.map { self.status($0, part) } ?? .ok
            if part.operation == .flush, status != .ok { engine.setDirty(true) }
            guard part.id != NBDThread.own else {
                settled()
                continue
            }
            if status == .ok, part.operation == .read, let request = window.request(of: part),
                let bytes = buffer?.baseAddress
            {
                let isThere = engine.withBuffer(of: request) {
                    ($0 + part.place).copyMemory(from: bytes, byteCount: part.length)
                }
                if !isThere { status = .stale }
            }
            recycle(buffer)
            window.complete(part, status)
        }
    }

    private func takeBuffer(_ length: Int) -> UnsafeMutableRawBufferPointer {
        while let buffer = buffers.popLast() {
            if buffer.count >= length { return buffer }
            // Of a connection with other limits.
            buffer.deallocate()
        }
        return .allocate(byteCount: length, alignment: 4096)
    }

    private func recycle(_ buffer: UnsafeMutableRawBufferPointer?) { if let buffer { buffers.append(buffer) } }

    /// Of a command that the server, or the library for it, has refused.
    private func status(_ code: Int32, _ part: RequestWindow.Part) -> Status {
        // What is discarded may stay as it is.
        if part.operation == .discard, code == ENOTSUP || code == EINVAL { return .ok }
        if !reported.contains(code), reported.count < 16 {
            reported.append(code)
            let place = part.operation == .flush ? "" : " at byte \(part.offset)"
            engine.link.log(
                .error,
                "\(part.operation) of '\(engine.source.name)'\(place) failed: \(HostCallError.text(of: code)); the guest is told, and this is said once"
            )
        }
        switch code {
        case ENOSPC, EDQUOT, EFBIG: return .noSpace
        case EROFS, EPERM: return .readOnly
        case ENOTSUP: return .unsupported
        default: return .ioError
        }
    }

    // MARK: Quiet

    private func settle() {
        isSettling = true
        guard case .up(let connection) = link, engine.hasUnflushedWrites, export?.canFlush == true else {
            return settled()
        }
        engine.setDirty(false)
        guard case .success(let cookie) = connection.send(.flush, at: 0, length: 0, nil) else { return settled() }
        flights[cookie] = (.init(id: NBDThread.own, operation: .flush, offset: 0, length: 0, place: 0), nil)
    }

    /// Well or not: there is nobody to tell.
    private func settled() {
        guard isSettling else { return }
        isSettling = false
        engine.becomeQuiet()
    }

    // MARK: Waiting

    /// Milliseconds until something is to be done without an event; -1: nothing is.
    private var pauseBefore: Int {
        switch link {
        case .starting: NBDThread.startInterval
        case .negotiating(_, let time), .down(let time): max(0, time - HostClock.milliseconds)
        case .up(let connection): connection.phase == .lost ? 0 : -1
        }
    }

    private func wait(milliseconds: Int) {
        var descriptors = [pollfd(fd: engine.bell.raw, events: Int16(POLLIN), revents: 0)]
        var connection: NBDConnection?
        switch link {
        case .negotiating(let it, _), .up(let it): connection = it
        case .starting, .down: break
        }
        descriptors.append(connection?.interest ?? pollfd(fd: -1, events: 0, revents: 0))
        descriptors.append(pollfd(fd: server?.descriptor ?? -1, events: Int16(POLLIN), revents: 0))
        guard poll(&descriptors, nfds_t(descriptors.count), Int32(clamping: milliseconds)) > 0 else { return }
        if descriptors[1].revents != 0 { connection?.serve(descriptors[1].revents) }
        if descriptors[2].revents != 0 { server?.listen() }
    }
}
