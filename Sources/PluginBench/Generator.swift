import Core

/// Makes operations that the class can be expected to bear: random ones, and mutations of what drivers do.
struct Generator {
    private let plan: BenchPlan
    private let ranges: [ClaimSummary]
    private let sequences: [[Operation]]
    private let methods: [MethodDescription]
    private var random: Random

    /// `claims`: of the instance, as they are at the start.
    init(_ plan: BenchPlan, claims: [ClaimSummary], sequences: [[Operation]], random: Random) {
        self.plan = plan
        ranges = claims
        self.sequences = sequences.filter { !$0.isEmpty }
        self.random = random
        // What takes a text may name a file of the host.
        methods = plan.type.methods.filter { $0.parameters.allSatisfy { $0.type != .text } }
    }

    mutating func operations(_ count: Int) -> [Operation] {
        var list: [Operation] = []
        list.reserveCapacity(count + 16)
        while list.count < count {
            if random.chance(sequences.isEmpty ? 0 : 6), let sequence = random.pick(sequences) {
                mutate(sequence, into: &list, limit: count)
            } else {
                list.append(operation())
            }
        }
        return list
    }

    // MARK: Drivers' sequences

    private mutating func mutate(_ sequence: [Operation], into list: inout [Operation], limit: Int) {
        let start = random.chance(70) ? 0 : random.below(sequence.count)
        for operation in sequence[start...] {
            guard list.count < limit, !random.chance(1) else { return }
            switch random.below(100) {
            case 0..<3: continue
            case 3..<6: list.append(contentsOf: [operation, operation])
            case 6..<9: list.append(self.operation())
            case 9..<13: list.append(changed(operation))
            default: list.append(operation)
            }
        }
    }

    private mutating func changed(_ operation: Operation) -> Operation {
        switch operation {
        case .write(let space, let address, let width, let value):
            return .write(
                space, address: address, width: width,
                value: random.chance(50) ? value ^ 1 << UInt64(random.below(Int(width) * 8)) : self.value())
        case .read(let space, let address, _): return .read(space, address: address, width: width(space))
        case .advance(let time): return .advance(time / 2 &+ random.below(time &+ 1))
        default: return operation
        }
    }

    // MARK: Random ones

    private mutating func operation() -> Operation {
        let dice = random.below(100)
        switch dice {
        case 0..<8: return advance()
        case 8..<(ranges.isEmpty && !plan.customs.isEmpty ? 90 : 22): if let host = hostSide() { return host }
        case 22..<24: return .reset(warm: random.chance(90))
        default: break
        }
        if dice < 30, plan.type.kind == .policy {
            return .exit(UInt16(random.below(64)), address: value(), value: value())
        }
        return access()
    }

    private mutating func advance() -> Operation {
        switch random.below(100) {
        case 0..<80: .advance(random.logarithmic(bits: 24))
        case 80..<98: .advance(random.logarithmic(bits: 32))
        default: .advance(random.logarithmic(bits: 44))
        }
    }

    private mutating func hostSide() -> Operation? {
        var choices: [Operation] = []
        if plan.lineCount > 0 {
            let line = Operation.line(random.below(plan.lineCount), random.chance(50))
            choices.append(line)
        }
        if plan.streamCount > 0 {
            let index = random.below(plan.streamCount)
            choices.append(.input(index, random.bytes(1 + random.below(random.chance(90) ? 4 : 40))))
            choices.append(.throttle(index, random.chance(40)))
            if random.chance(30) { choices.append(.event(index, UInt32(1 + random.below(8)))) }
        }
        if plan.slotDisks > 0 {
            choices.append(.complete(random.chance(95)))
            choices.append(.complete(true))
        }
        if plan.providedDisks > 0 { choices.append(request()) }
        if plan.netCount > 0 {
            choices.append(frame())
            choices.append(.link(random.below(plan.netCount), random.chance(70)))
        }
        if let send = send() { choices.append(send) }
        if plan.isController { choices.append(.acknowledge) }
        if random.chance(10), let method = random.pick(methods) { choices.append(call(method)) }
        return random.pick(choices)
    }

    private mutating func request() -> Operation {
        let kinds: [BlockKind] = [.read, .write, .read, .write, .flush]
        let sector = random.chance(95) ? random.below(64) : random.next() >> UInt64(random.below(64))
        return .request(
            random.below(plan.providedDisks), random.pick(kinds) ?? .flush, sector: sector,
            count: random.chance(95) ? 1 + random.below(8) : random.below(200),
            pattern: UInt8(truncatingIfNeeded: random.next()))
    }

    /// Ethernet's lengths as a rule; the rest of what a network may bring now and then.
    private mutating func frame() -> Operation {
        let length = random.chance(90) ? 14 + random.below(random.chance(80) ? 64 : 1501) : random.below(9100)
        return .frame(random.below(plan.netCount), random.bytes(length))
    }

    private mutating func send() -> Operation? {
        guard let library = plan.customLibrary, let place = random.pick(plan.customs),
            let function = random.pick(library.interfaces[place.interface].callable)
        else { return nil }
        let arguments = CustomEnd.arguments(of: function) { argument($0) }
        return .send(end: place.name, function: function.name, arguments)
    }

    /// Structs are zero but for their size, which any callee has to bear: what else would mean something in them is not known.
    private mutating func argument(_ type: WireType) -> CallArgument {
        let length = random.chance(80) ? random.below(17) : random.below(random.chance(90) ? 600 : 5000)
        switch type {
        case .bool: return .number(random.next() & 1)
        case .inBuffer: return .bytes(random.bytes(length))
        case .text: return .bytes((0..<min(length, 200)).map { _ in UInt8(0x20 + random.below(95)) })
        case .inStruct: return .bytes([UInt8](repeating: 0, count: [8, 16, 32, 64, 256][random.below(5)]))
        case .outBuffer, .outStruct: return .number(UInt64(type == .outStruct ? max(8, length / 8 * 8) : length))
        default: return .number(CustomEnd.narrow(value(), type))
        }
    }

    private mutating func call(_ method: MethodDescription) -> Operation {
        .call(
            method.name,
            method.parameters.map { parameter in
                switch parameter.type {
                case .bool: random.chance(50) ? "true" : "false"
                case .u8: "\(random.next() & 0xff)"
                case .u16: "\(random.next() & 0xffff)"
                case .u32: "\(random.next() & 0xffff_ffff)"
                default: "\(value())"
                }
            })
    }

    private mutating func access() -> Operation {
        let (space, address) = place()
        let width = width(space)
        if space == .port, random.chance(4) {
            let port = UInt16(truncatingIfNeeded: address)
            let count = random.below(random.chance(90) ? 8 : 300)
            return random.chance(50)
                ? .readString(port: port, width: width, count: count)
                : .writeString(port: port, width: width, bytes: random.bytes(count * Int(width)))
        }
        return random.chance(45)
            ? .read(space, address: address, width: width)
            : .write(space, address: address, width: width, value: value())
    }

    private mutating func width(_ space: Space) -> UInt8 {
        if space == .msr { return 8 }
        return switch random.below(100) {
        case 0..<65: 1
        case 65..<82: 2
        case 82..<96: 4
        default: space == .memory ? 8 : 4
        }
    }

    /// Inside a claim as a rule, at its edges or across them now and then.
    private mutating func place() -> (Space, UInt64) {
        guard let claim = random.pick(ranges) else {
            return random.chance(50) ? (.port, random.next() & 0xffff) : (.memory, random.below(plan.memory))
        }
        let space = Space(claim.kind)
        let length = claim.last &- claim.first &+ 1
        var offset: UInt64
        switch random.below(100) {
        case 0..<3: offset = random.below(8) &- 8
        case 3..<6: offset = length &- random.below(4)
        default: offset = random.below(length == 0 ? .max : length)
        }
        // Registers are at the beginning.
        if length > 4096, random.chance(80) { offset &= 0xff }
        let address = claim.first &+ offset
        return (space, space == .port ? address & 0xffff : address)
    }

    private mutating func value() -> UInt64 {
        switch random.below(8) {
        case 0: 0
        case 1: .max
        case 2: 1 << random.below(64 as UInt64)
        case 3: random.below(16 as UInt64)
        default: random.next()
        }
    }
}
