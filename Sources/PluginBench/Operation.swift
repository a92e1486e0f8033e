import Core

public enum Space: UInt8, Sendable, Equatable {
    case port, memory, msr

    init(_ kind: ClaimSummary.Kind) {
        switch kind {
        case .ports: self = .port
        case .msrs: self = .msr
        case .mmio, .ram, .rom, .device: self = .memory
        }
    }

    var kind: ClaimSummary.Kind {
        switch self {
        case .port: .ports
        case .memory: .mmio
        case .msr: .msrs
        }
    }
}

public enum BlockKind: UInt32, Sendable, Equatable { case read = 0, write, flush }

/// What the bench does to the plugin, one line each in a sequence file (`Operation.text`).
public enum Operation: Sendable, Equatable {
    /// By vCPU 0, `width` 1, 2, 4 or (memory) 8 bytes; of MSRs always 8, and a #GP reads as all ones.
    case read(Space, address: UInt64, width: UInt8)
    case write(Space, address: UInt64, width: UInt8, value: UInt64)
    /// As a debugger reads.
    case peek(Space, address: UInt64, width: UInt8)
    /// `rep ins` and `rep outs`.
    case readString(port: UInt16, width: UInt8, count: Int)
    case writeString(port: UInt16, width: UInt8, bytes: [UInt8])
    /// Virtual nanoseconds; stops early after `Bench.timerLimit` timers.
    case advance(UInt64)
    /// Input `index` of a class that provides irq-line/1.
    case line(Int, Bool)
    /// Bytes from the other end of stream `index`, as many as there is room for: first come the class's slots, then
    /// what it provides.
    case input(Int, [UInt8])
    /// The other end of stream `index` can take no more, or goes on.
    case throttle(Int, Bool)
    /// BP_STREAM_*
    case event(Int, UInt32)
    /// The oldest request that waits at the bench's disks is completed, well or with BP_IO_ERROR.
    case complete(Bool)
    /// A request to block device `index` of a class that provides block/1; the bench waits for its end.
    case request(Int, BlockKind, sector: UInt64, count: UInt64, pattern: UInt8)
    /// An Ethernet frame from the other end of net `index`, where it has room for one: first come the class's slots, then what it
    /// provides.
    case frame(Int, [UInt8])
    /// The other end of net `index` says that the link is up; of a class that provides net/1: that it has room for 16 frames, or none.
    case link(Int, Bool)
    /// A call of a function of an interface of the plugin's own, by its descriptor. `end`: "bus/1.0" for index 0 of what the class
    /// provides, "bus.0" for position 0 of its slot `bus`.
    case send(end: String, function: String, [CallArgument])
    /// The INTA cycle, where INTR is high.
    case acknowledge
    case call(String, [String])
    /// Another exit than I/O and memory, for policies: basic reason, address, value.
    case exit(UInt16, address: UInt64, value: UInt64)
    case reset(warm: Bool)
    /// Where a check saves, resets or changes the state.
    case mark
}

/// As its line in a sequence file.
extension Operation: Codable {
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let operation = try parseSequence(text).first else { throw SequenceError(description: "no operation") }
        self = operation
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// An argument of `send`. Lengths that follow buffers are not among them.
public enum CallArgument: Sendable, Equatable {
    /// A number; the size of a buffer or a struct that is to be filled.
    case number(UInt64)
    /// Of a buffer, a text, or a struct whose size is their count.
    case bytes([UInt8])

    var text: String {
        switch self {
        case .number(let number): hex(number)
        case .bytes(let bytes): "[" + bytes.map(hexByte).joined() + "]"
        }
    }

    init?(_ text: String) {
        guard text.hasPrefix("["), text.hasSuffix("]"), text.utf8.count % 2 == 0 else {
            guard let number = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text) else {
                return nil
            }
            self = .number(number)
            return
        }
        var bytes: [UInt8] = []
        var digits = text.dropFirst().dropLast()
        while !digits.isEmpty {
            guard let byte = UInt8(digits.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            digits = digits.dropFirst(2)
        }
        self = .bytes(bytes)
    }
}

func hexByte(_ byte: UInt8) -> String { byte < 16 ? "0" + String(byte, radix: 16) : String(byte, radix: 16) }

extension Operation {
    /// As in a sequence file.
    public var text: String {
        switch self {
        case .read(let space, let address, let width): "read \(space) \(hex(address)) \(width)"
        case .write(let space, let address, let width, let value):
            "write \(space) \(hex(address)) \(width) \(hex(value))"
        case .peek(let space, let address, let width): "peek \(space) \(hex(address)) \(width)"
        case .readString(let port, let width, let count): "ins \(hex(UInt64(port))) \(width) \(count)"
        case .writeString(let port, let width, let bytes): "outs \(hex(UInt64(port))) \(width)\(spaced(bytes))"
        case .advance(let time): "advance \(time)ns"
        case .line(let index, let level): "line \(index) \(level ? 1 : 0)"
        case .input(let index, let bytes): "input \(index)\(spaced(bytes))"
        case .throttle(let index, let on): "throttle \(index) \(on ? "on" : "off")"
        case .event(let index, let event): "event \(index) \(event)"
        case .complete(let well): "complete \(well ? "ok" : "error")"
        case .request(let index, let kind, let sector, let count, let pattern):
            "request \(index) \(kind) \(sector) \(count) \(pattern)"
        case .frame(let index, let bytes): "frame \(index)\(spaced(bytes))"
        case .link(let index, let isUp): "link \(index) \(isUp ? "up" : "down")"
        case .send(let end, let function, let arguments):
            (["send", end, function] + arguments.map(\.text)).joined(separator: " ")
        case .acknowledge: "acknowledge"
        case .call(let name, let arguments): (["call", name] + arguments).joined(separator: " ")
        case .exit(let reason, let address, let value): "exit \(reason) \(hex(address)) \(hex(value))"
        case .reset(let warm): "reset \(warm ? "warm" : "cold")"
        case .mark: "mark"
        }
    }

    private func spaced(_ bytes: [UInt8]) -> String {
        bytes.map { " " + hexByte($0) }.joined()
    }
}

func hex(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }
