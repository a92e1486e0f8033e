/// One event as it lies in a buffer: virtio_input_event (virtio 1.2, 5.8.6), of 8 bytes, little-endian.
public struct InputWord: Equatable, Sendable {
    public static let size = 8

    public var type: UInt16
    public var code: UInt16
    public var value: Int32

    public init(type: UInt16, code: UInt16, value: Int32) { (self.type, self.code, self.value) = (type, code, value) }

    /// SYN_REPORT
    public static let end = InputWord(type: InputEventCode.synchronize, code: 0, value: 0)

    var isMotion: Bool { type == InputEventCode.relative || type == InputEventCode.absolute }
    var isRelease: Bool { type == InputEventCode.key && value == 0 }

    public var bytes: [UInt8] {
        let word = UInt64(type) | UInt64(code) << 16 | UInt64(UInt32(bitPattern: value)) << 32
        return (0..<8).map { UInt8(truncatingIfNeeded: word >> (UInt64($0) * 8)) }
    }

    /// nil: not 8 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == InputWord.size else { return nil }
        let word = bytes.enumerated().reduce(0 as UInt64) { $0 | UInt64($1.element) << (UInt64($1.offset) * 8) }
        type = UInt16(truncatingIfNeeded: word)
        code = UInt16(truncatingIfNeeded: word >> 16)
        value = Int32(truncatingIfNeeded: word >> 32)
    }
}
