import Core

/// Saved states that nobody should trust: one field of a good one dropped, changed or added.
struct HostileStates {
    /// What was done, and the state.
    private(set) var list: [(what: String, state: StateBuffer)] = []

    init(of good: StateBuffer, random: inout Random) {
        for key in good.fields.keys.sorted() {
            guard let field = good.fields[key] else { continue }
            add("without '\(key)'", good) { $0[key] = nil }
            for (what, content) in HostileStates.changes(of: field.content, random: &random) {
                add("'\(key)' \(what)", good) {
                    $0[key] = StateBuffer.Field(content: content, isOptional: field.isOptional)
                }
            }
        }
        add("with an unknown required field", good) { $0["bench-unknown"] = .init(content: .unsigned(1)) }
        add("with an unknown optional field", good) {
            $0["bench-unknown"] = .init(content: .unsigned(1), isOptional: true)
        }
        add("without any field", good) { $0 = [:] }
        for version in [0, good.version &+ 1, .max] {
            list.append(("of version \(version)", StateBuffer(version: version, fields: good.fields)))
        }
    }

    private mutating func add(
        _ what: String, _ good: StateBuffer, _ change: (inout [String: StateBuffer.Field]) -> Void
    ) {
        var fields = good.fields
        change(&fields)
        list.append((what, StateBuffer(version: good.version, fields: fields)))
    }

    private static func changes(
        of content: StateBuffer.Content, random: inout Random
    ) -> [(String, StateBuffer.Content)] {
        switch content {
        case .unsigned(let value):
            var numbers: [UInt64] = [0, 1, .max, .max / 2, 1 << 63, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff]
            numbers += [value &+ 1, value &- 1]
            numbers += [value ^ 1 << random.below(8 as UInt64), value ^ 1 << random.below(64 as UInt64)]
            numbers += [random.next(), random.below(256 as UInt64)]
            return numbers.filter { $0 != value }.map { ("as \(hex($0))", .unsigned($0)) }
                + [("as bytes", .bytes([1, 2, 3, 4, 5, 6, 7, 8])), ("as no bytes", .bytes([]))]
        case .bytes(let bytes):
            var variants: [(String, [UInt8])] = [
                ("empty", []), ("one byte shorter", Array(bytes.dropLast())), ("one byte longer", bytes + [0]),
                ("all ones", bytes.map { _ in 0xff }), ("all zero", bytes.map { _ in 0 }),
                ("random", random.bytes(bytes.count)), ("4 KiB long", random.bytes(4096)),
            ]
            for _ in 0..<min(24, bytes.count) {
                var copy = bytes
                let position = random.below(copy.count)
                copy[position] = random.chance(30) ? 0xff : copy[position] ^ 1 << UInt8(random.below(8))
                variants.append(("with byte \(position) as \(hex(UInt64(copy[position])))", copy))
            }
            return variants.filter { $0.1 != bytes }.map { ($0.0, .bytes($0.1)) } + [("as a number", .unsigned(1))]
        }
    }
}

extension Scenario {
    /// After `before`, each hostile state in turn: refused without a change, or taken and then survived for `after`.
    func hostileStates(
        before: [Operation], random: inout Random, after: (inout Random) -> [Operation], count: inout Int
    ) -> (failure: Failure, operations: [Operation], state: String)? {
        do throws(BenchError) {
            let bench = try make()
            for (position, operation) in before.enumerated() { _ = bench.apply(operation, at: position) }
            let good = try bench.goodState()
            for (what, state) in HostileStates(of: good, random: &random).list {
                let operations = after(&random)
                plan.journal?.note = what
                if let failure = try survive(bench, good, what, state, operations, from: before.count + 1) {
                    return (failure, before + [.mark] + operations, what)
                }
                count += operations.count
            }
            return nil
        } catch {
            return (Failure(sentence: "\(error)", position: .max), [], "")
        }
    }

    /// Up to the mark; then only the hostile state that is called `what` is loaded, and the rest done.
    func hostileState(_ what: String, _ operations: [Operation], random: inout Random) -> Failure? {
        let (before, after) = parts(operations)
        do throws(BenchError) {
            let bench = try make()
            for (position, operation) in before.enumerated() { _ = bench.apply(operation, at: position) }
            let good = try bench.goodState()
            guard let state = HostileStates(of: good, random: &random).list.first(where: { $0.what == what })?.state
            else { return nil }
            plan.journal?.note = what
            return try survive(bench, good, what, state, Array(after), from: before.count + 1)
        } catch {
            return Failure(sentence: "\(error)", position: .max)
        }
    }

    /// `first`: the position of the first of `operations` in the list that is played; the mark is before it.
    private func survive(
        _ bench: Bench, _ good: StateBuffer, _ what: String, _ state: StateBuffer, _ operations: [Operation],
        from first: Int
    ) throws(BenchError) -> Failure? {
        plan.journal?.begin(operation: first - 1)
        // What peers grant at each start may be in its state.
        try bench.quiesce()
        try bench.start()
        bench.settle()
        try bench.quiesce()
        let kept = try bench.save()
        if try bench.load(state) != nil {
            try bench.quiesce()
            let now = try bench.save()
            try bench.start()
            return kept.difference(to: now).map { key in
                Failure(
                    sentence: "it refuses a state \(what), and yet its field '\(key)' is \(now.text(of: key)) now and "
                        + "was \(kept.text(of: key))",
                    position: first - 1)
            }
        }
        for (position, operation) in operations.enumerated() {
            _ = bench.apply(operation, at: first + position)
            if let fault = bench.faults.first {
                return Failure(sentence: "after a state \(what): \(fault)", position: first + position)
            }
        }
        return try bench.load(good).map {
            Failure(
                sentence: "after a state \(what) it refuses a good one: \($0)", position: first + operations.count - 1)
        }
    }
}

extension Bench {
    fileprivate func goodState() throws(BenchError) -> StateBuffer {
        try quiesce()
        let good = try save()
        try start()
        return good
    }
}
