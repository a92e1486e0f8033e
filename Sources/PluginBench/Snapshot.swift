import Core

/// A bench as it stands: the plugin's saved state and all that is around it.
struct Snapshot {
    var time: UInt64
    var state: StateBuffer
    var regions: [String: [UInt8]]
    var ram: [UInt8]
    var entropy: UInt64?
    var board: BoardState
    var pins: Pins
}

/// What can be seen of an instance without asking it.
struct Pins: Equatable {
    var lines: [Bool]
    var interrupt: Bool
    var claims: [ClaimSummary]
    /// Requests that wait at the bench's disks.
    var requests: Int

    /// What differs, in words; nil: nothing.
    func difference(to other: Pins) -> String? {
        if let line = zip(lines, other.lines).enumerated().first(where: { $1.0 != $1.1 }) {
            return "interrupt line \(line.offset) is \(line.element.0 ? "high" : "low") in the one and "
                + "\(line.element.1 ? "high" : "low") in the other"
        }
        if interrupt != other.interrupt { return "INTR is high in one of them only" }
        if claims != other.claims { return "their claims differ: \(Pins.text(claims)) and \(Pins.text(other.claims))" }
        if requests != other.requests {
            return "\(requests) block requests wait for the one, \(other.requests) for the other"
        }
        return nil
    }

    private static func text(_ claims: [ClaimSummary]) -> String {
        claims.prefix(4).map { "\($0.kind) \(hex($0.first))-\(hex($0.last))" }.joined(separator: ", ")
    }
}

extension StateBuffer {
    /// The first key, in order, whose field is not the same in both; nil: none.
    func difference(to other: StateBuffer) -> String? {
        Set(fields.keys).union(other.fields.keys).sorted().first { fields[$0] != other.fields[$0] }
    }

    func text(of key: String) -> String {
        switch fields[key]?.content {
        case nil: "nothing"
        case .unsigned(let number)?: hex(number)
        case .bytes(let bytes)?: "\(bytes.count) bytes"
        }
    }
}

extension Bench {
    var pins: Pins {
        let lines = machine.lineSummaries().filter { $0.endpoint.instance == "bench-lines" }.map(\.level)
        return Pins(
            lines: lines, interrupt: machine.interruptPin(),
            claims: machine.claimSummaries().filter { $0.owner == BenchPlan.deviceID },
            requests: board.diskPeers?.pendingCount ?? 0)
    }

    /// Brings the instance to rest; while it says that it is not, what it waits for is delivered.
    func quiesce() throws(BenchError) {
        guard !machine.quiesce(device) else { return }
        let isDone = waitForPosts(until: {
            if machine.hasQuiesced(device) { return true }
            machine.perform(as: disks) { _ = board.diskPeers?.complete(well: true) }
            return machine.hasQuiesced(device)
        })
        if !isDone { throw BenchError("it does not come to rest within \(plan.patience / 1_000_000_000) s") }
    }

    func start() throws(BenchError) {
        do throws(MachineError) { try machine.startInstances() } catch { throw BenchError("\(error)") }
    }

    func save() throws(BenchError) -> StateBuffer {
        do throws(MachineError) { return try machine.save(device) } catch { throw BenchError("\(error)") }
    }

    /// At rest, saved, and started again.
    func snapshot() throws(BenchError) -> Snapshot {
        try quiesce()
        let state = try save()
        try start()
        settle()
        _ = board.takeEffects()
        return Snapshot(
            time: now, state: state, regions: machine.regions(of: device), ram: machine.ramContents,
            entropy: machine.entropyState, board: board.state, pins: pins)
    }

    /// A new machine with the state of another.
    convenience init(_ plan: BenchPlan, from saved: Snapshot) throws(BenchError) {
        try self.init(
            plan, at: saved.time, beforeReset: { _ in },
            beforeStart: { (bench) throws(BenchError) in
                try bench.assume(saved)
            })
    }

    private func assume(_ saved: Snapshot) throws(BenchError) {
        surround(saved.board)
        machine.setRegions(saved.regions, of: device)
        machine.ramContents = saved.ram
        machine.entropyState = saved.entropy
        do throws(MachineError) { try machine.load(saved.state, into: device) } catch {
            throw BenchError("it refuses its own state: \(error)")
        }
        let again = try save()
        if let key = saved.state.difference(to: again) {
            throw BenchError(
                "loaded and saved again, the field '\(key)' is \(again.text(of: key)) and was "
                    + saved.state.text(of: key))
        }
        tellConditions()
        settle()
    }

    /// The peers as they were beside another instance, and what they drive.
    func surround(_ other: BoardState, keepingRooms: Bool = true) {
        let lines = other.lines
        let own = board.state.streams
        let nets = board.state.nets
        board.state = other
        // What the plugin has granted is not of its surroundings where it starts anew.
        for index in own.indices where !keepingRooms { board.state.streams[index].room = own[index].room }
        for index in nets.indices where !keepingRooms { board.state.nets[index].room = nets[index].room }
        for (index, level) in lines.enumerated() where level { _ = apply(.line(index, true)) }
        for (_, level) in other.levels.sorted(by: { $0.key < $1.key }) { _ = apply(level) }
    }

    /// What a peer tells a new client: that it can take no more, that somebody is there.
    func tellConditions() {
        for index in 0..<plan.slotStreams {
            let stream = board.state.streams[index]
            if stream.isOpen { _ = apply(.event(index, Bench.openEvent)) }
            if stream.isThrottled { _ = apply(.throttle(index, true)) }
        }
        for index in 0..<plan.slotNets where board.state.nets[index].isUp { _ = apply(.link(index, true)) }
    }

    /// Between quiesce and start, as hostile input. The sentence of a refusal, nil: taken.
    func load(_ state: StateBuffer) throws(BenchError) -> String? {
        try quiesce()
        var refusal: String?
        do throws(MachineError) { try machine.load(state, into: device) } catch { refusal = "\(error)" }
        try start()
        settle()
        _ = board.takeEffects()
        return refusal
    }
}
