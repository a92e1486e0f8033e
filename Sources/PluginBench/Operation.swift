public enum Space: UInt8, Sendable, Equatable { case port, memory }

public enum BlockKind: UInt32, Sendable, Equatable { case read = 0, write, flush }

/// What the bench does to the plugin, one line each in a sequence file (`Operation.text`).
public enum Operation: Sendable, Equatable {
    /// By vCPU 0, `width` 1, 2, 4 or (memory) 8 bytes.
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
    /// The INTA cycle, where INTR is high.
    case acknowledge
    case call(String, [String])
    /// Another exit than I/O and memory, for policies: basic reason, address, value.
    case exit(UInt16, address: UInt64, value: UInt64)
    case reset(warm: Bool)
    /// Where a check saves, resets or changes the state.
    case mark
}

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
        case .acknowledge: "acknowledge"
        case .call(let name, let arguments): (["call", name] + arguments).joined(separator: " ")
        case .exit(let reason, let address, let value): "exit \(reason) \(hex(address)) \(hex(value))"
        case .reset(let warm): "reset \(warm ? "warm" : "cold")"
        case .mark: "mark"
        }
    }

    private func spaced(_ bytes: [UInt8]) -> String {
        bytes.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? " 0" + digits : " " + digits
        }.joined()
    }
}

func hex(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }
