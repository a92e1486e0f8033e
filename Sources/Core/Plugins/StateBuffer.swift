import CBackplane

/// The saved state of one instance: tagged fields, not a memory image. Its bytes are hostile input where they come from
/// outside.
public final class StateBuffer: @unchecked Sendable {
    public enum Content: Equatable, Sendable {
        case unsigned(UInt64)
        case bytes([UInt8])
    }

    public struct Field: Equatable, Sendable {
        public var content: Content
        public var isOptional: Bool

        public init(content: Content, isOptional: Bool = false) {
            self.content = content
            self.isOptional = isOptional
        }
    }

    public var version: UInt32
    public internal(set) var fields: [String: Field]
    /// Keys that the reader asked for.
    private var known: Set<String> = []
    /// Bytes lent to the reader until load returns.
    private var lent: [UnsafeMutableRawBufferPointer] = []
    /// Fields, and bytes in all, that one instance may save.
    static let limits = (fields: 65536, bytes: 256 << 20)
    private var byteCount = 0

    public init(version: UInt32, fields: [String: Field] = [:]) {
        self.version = version
        self.fields = fields
    }

    deinit { lent.forEach { $0.deallocate() } }

    func put(_ key: String, _ content: Content, flags: UInt32) -> bp_status {
        guard !key.isEmpty, key.utf8.count <= 255, fields[key] == nil else { return Int32(BP_INVALID) }
        if case .bytes(let bytes) = content { byteCount += bytes.count }
        guard fields.count < StateBuffer.limits.fields, byteCount <= StateBuffer.limits.bytes else {
            return Int32(BP_NO_MEMORY)
        }
        fields[key] = Field(content: content, isOptional: flags & UInt32(BP_FIELD_OPTIONAL) != 0)
        return 0
    }

    func get(_ key: String) -> Content? {
        known.insert(key)
        return fields[key]?.content
    }

    /// Bytes that stay valid until `endReading`.
    func lend(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 16)
        copy.copyBytes(from: bytes)
        lent.append(copy)
        return UnsafeRawBufferPointer(rebasing: copy[..<bytes.count])
    }

    func beginReading() { known = [] }

    /// Required fields that the reader never asked for.
    func endReading() -> [String] {
        lent.forEach { $0.deallocate() }
        lent = []
        return fields.filter { !$0.value.isOptional && !known.contains($0.key) }.keys.sorted()
    }
}
