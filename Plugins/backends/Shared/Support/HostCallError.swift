import CBackendSupport

/// A host call that failed.
public struct HostCallError: Error, Equatable {
    /// An errno.
    public var code: Int32
    public init(code: Int32) { self.code = code }

    /// The host's words for it: "No space left on device".
    public var text: String { HostCallError.text(of: code) }

    public static func text(of code: Int32) -> String {
        var words = [CChar](repeating: 0, count: 128)
        words.withUnsafeMutableBufferPointer { bh_error_text(code, $0.baseAddress, $0.count) }
        return String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// `result` of a function of CBackendSupport, or what it says has failed.
    @discardableResult
    public static func check<T: SignedInteger & FixedWidthInteger>(_ result: T) throws(HostCallError) -> T {
        guard result >= 0 else { throw HostCallError(code: Int32(truncatingIfNeeded: 0 &- result)) }
        return result
    }
}
