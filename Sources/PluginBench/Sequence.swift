/// A sequence file: one operation a line (`Operation.text`), `#` begins a comment. Numbers are decimal or 0x; times
/// take ns, us, ms or s; bytes of `outs` and `input` are two hex digits each.

/// A line that is no operation.
public struct SequenceError: Error, Sendable, CustomStringConvertible {
    public var description: String
}

public func parseSequence(_ text: String) throws(SequenceError) -> [Operation] {
    var operations: [Operation] = []
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
        let words = line.prefix { $0 != "#" }.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" })
            .map(String.init)
        guard !words.isEmpty else { continue }
        var reader = LineReader(words: words)
        guard let operation = reader.operation(), reader.isAtEnd else {
            throw SequenceError(description: "line \(number + 1): '\(line)' is no operation")
        }
        operations.append(operation)
    }
    return operations
}

private struct LineReader {
    let words: [String]
    var next = 0

    var isAtEnd: Bool { next == words.count }

    init(words: [String]) { self.words = words }

    mutating func word() -> String? {
        guard next < words.count else { return nil }
        next += 1
        return words[next - 1]
    }

    mutating func number<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T? {
        guard let text = word() else { return nil }
        return text.hasPrefix("0x") ? T(text.dropFirst(2), radix: 16) : T(text)
    }

    mutating func operation() -> Operation? {
        switch word() {
        case "read": access { .read($0, address: $1, width: $2) }
        case "peek": access { .peek($0, address: $1, width: $2) }
        case "write": write()
        case "ins": readString()
        case "outs": writeString()
        case "advance": time().map { .advance($0) }
        case "line": pair { .line($0, $1 == "1") }
        case "throttle": pair { .throttle($0, $1 == "on") }
        case "input": number(Int.self).flatMap { index in bytes().map { .input(index, $0) } }
        case "event": number(Int.self).flatMap { index in number(UInt32.self).map { .event(index, $0) } }
        case "complete": word().map { .complete($0 == "ok") }
        case "request": request()
        case "frame": number(Int.self).flatMap { index in bytes().map { .frame(index, $0) } }
        case "link": pair { .link($0, $1 == "up") }
        case "send": send()
        case "acknowledge": .acknowledge
        case "call": call()
        case "exit": exit()
        case "reset": word().map { .reset(warm: $0 == "warm") }
        case "mark": .mark
        default: nil
        }
    }

    private mutating func space() -> Space? {
        switch word() {
        case "port": .port
        case "memory": .memory
        case "msr": .msr
        default: nil
        }
    }

    private mutating func width() -> UInt8? { number().flatMap { [1, 2, 4, 8].contains($0) ? $0 : nil } }

    private mutating func access(_ make: (Space, UInt64, UInt8) -> Operation) -> Operation? {
        guard let space = space(), let address: UInt64 = number(), let width = width() else { return nil }
        return make(space, address, width)
    }

    private mutating func write() -> Operation? {
        guard let space = space(), let address: UInt64 = number(), let width = width(), let value: UInt64 = number()
        else { return nil }
        return .write(space, address: address, width: width, value: value)
    }

    private mutating func readString() -> Operation? {
        guard let port: UInt16 = number(), let width = width(), let count: Int = number(), count >= 0
        else { return nil }
        return .readString(port: port, width: width, count: count)
    }

    private mutating func writeString() -> Operation? {
        guard let port: UInt16 = number(), let width = width(), let bytes = bytes() else { return nil }
        return .writeString(port: port, width: width, bytes: bytes)
    }

    private mutating func bytes() -> [UInt8]? {
        var result: [UInt8] = []
        while let text = word() {
            guard let byte = UInt8(text, radix: 16) else { return nil }
            result.append(byte)
        }
        return result
    }

    private mutating func time() -> UInt64? {
        guard let text = word() else { return nil }
        for (unit, factor) in [("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000)] as [(String, UInt64)]
        where text.hasSuffix(unit) {
            guard let count = UInt64(text.dropLast(unit.count)) else { continue }
            let (product, overflow) = count.multipliedReportingOverflow(by: factor)
            return overflow ? nil : product
        }
        return nil
    }

    private mutating func pair(_ make: (Int, String) -> Operation) -> Operation? {
        guard let index: Int = number(), let text = word() else { return nil }
        return make(index, text)
    }

    private mutating func request() -> Operation? {
        let kinds: [String: BlockKind] = ["read": .read, "write": .write, "flush": .flush]
        guard let index: Int = number(), let kind = word().flatMap({ kinds[$0] }), let sector: UInt64 = number(),
            let count: UInt64 = number(), let pattern: UInt8 = number()
        else { return nil }
        return .request(index, kind, sector: sector, count: count, pattern: pattern)
    }

    private mutating func send() -> Operation? {
        guard let end = word(), let function = word() else { return nil }
        var arguments: [CallArgument] = []
        while let text = word() {
            guard let argument = CallArgument(text) else { return nil }
            arguments.append(argument)
        }
        return .send(end: end, function: function, arguments)
    }

    private mutating func call() -> Operation? {
        guard let name = word() else { return nil }
        var arguments: [String] = []
        while let argument = word() { arguments.append(argument) }
        return .call(name, arguments)
    }

    private mutating func exit() -> Operation? {
        guard let reason: UInt16 = number(), reason < 64, let address: UInt64 = number(), let value: UInt64 = number()
        else { return nil }
        return .exit(reason, address: address, value: value)
    }
}
