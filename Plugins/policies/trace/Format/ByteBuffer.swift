/// Bytes on their way to a file: filled at one end, taken from the other, never more than it was made for. A piece that
/// does not fit is dropped and `hasOverflowed` set; who writes asks for `makeRoom` before.
public struct ByteBuffer: Sendable {
    private var bytes: [UInt8]
    private var start = 0
    private var end = 0
    public private(set) var hasOverflowed = false

    public init(capacity: Int) { bytes = [UInt8](repeating: 0, count: max(capacity, 1)) }

    public var isEmpty: Bool { start == end }
    public var count: Int { end &- start }

    /// Whether `count` bytes fit; moves what waits to the front if that helps.
    public mutating func makeRoom(_ count: Int) -> Bool {
        if bytes.count &- end >= count { return true }
        guard bytes.count &- (end &- start) >= count else { return false }
        for index in start..<end { bytes[index &- start] = bytes[index] }
        end &-= start
        start = 0
        return true
    }

    /// What waits, in order.
    public func withPending<R>(_ body: (Span<UInt8>) -> R) -> R { body(bytes.span.extracting(start..<end)) }

    /// The first `count` bytes of what waits were taken.
    public mutating func consume(_ count: Int) {
        start += min(max(count, 0), end &- start)
        if start == end {
            start = 0
            end = 0
        }
    }

    // MARK: Writing, without allocation

    /// Where the next `count` bytes go; nil where they do not fit.
    @inline(__always)
    private mutating func take(_ count: Int) -> Int? {
        guard bytes.count &- end >= count else {
            hasOverflowed = true
            return nil
        }
        let first = end
        end &+= count
        return first
    }

    @inline(__always)
    mutating func put(_ byte: UInt8) {
        if let first = take(1) { bytes[first] = byte }
    }

    /// A literal.
    mutating func put(_ text: String) { put(text.utf8Span.span) }

    mutating func put(_ text: Span<UInt8>) {
        guard let first = take(text.count) else { return }
        var output = bytes.mutableSpan
        for index in text.indices { output[first &+ index] = text[index] }
    }

    mutating func putDecimal(_ value: UInt64) {
        var digits = 1
        var rest = value / 10
        while rest != 0 {
            rest /= 10
            digits &+= 1
        }
        putDecimal(value, digits: digits)
    }

    /// The last `digits` digits, with leading zeros.
    private mutating func putDecimal(_ value: UInt64, digits: Int) {
        guard let first = take(digits) else { return }
        var output = bytes.mutableSpan
        var rest = value
        var index = first &+ digits
        while index > first {
            index &-= 1
            output[index] = UInt8(truncatingIfNeeded: 48 &+ rest % 10)
            rest /= 10
        }
    }

    /// Nanoseconds as microseconds: "12.345".
    mutating func putMicroseconds(_ nanoseconds: UInt64) {
        putDecimal(nanoseconds / 1000)
        put(46)
        putDecimal(nanoseconds % 1000, digits: 3)
    }

    /// "\"0x3f8\"": with the quotes, because JSON has neither hexadecimal nor, in many readers, 64 bits.
    mutating func putHex(_ value: UInt64) {
        let digits = max(1, (67 &- value.leadingZeroBitCount) / 4)
        guard let first = take(digits &+ 4) else { return }
        var output = bytes.mutableSpan
        output[first] = 34
        output[first &+ 1] = 48
        output[first &+ 2] = 120
        var index = first &+ 3 &+ digits
        output[index] = 34
        var rest = value
        while index > first &+ 3 {
            index &-= 1
            output[index] = ByteBuffer.hexDigit(rest)
            rest &>>= 4
        }
    }

    @inline(__always)
    private static func hexDigit(_ value: UInt64) -> UInt8 {
        let digit = UInt8(truncatingIfNeeded: value & 15)
        return digit < 10 ? 48 &+ digit : 87 &+ digit
    }

    /// A JSON string of at most `limit` bytes of UTF-8, quoted and escaped.
    mutating func putQuoted(_ text: Span<UInt8>, limit: Int) {
        var length = min(text.count, limit)
        // Not in the middle of a character.
        while length > 0, length < text.count, text[length] & 0xc0 == 0x80 { length &-= 1 }
        put(34)
        for index in 0..<length {
            let byte = text[index]
            if byte == 34 || byte == 92 {
                put(92)
                put(byte)
            } else if byte < 32 {
                put("\\u00")
                put(ByteBuffer.hexDigit(UInt64(byte) &>> 4))
                put(ByteBuffer.hexDigit(UInt64(byte)))
            } else {
                put(byte)
            }
        }
        put(34)
    }
}
