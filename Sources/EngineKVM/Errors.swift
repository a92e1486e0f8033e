import Core
import Glibc

/// The result of a CHost function, or an error that names the operation.
func check(_ result: Int32, _ operation: String) throws(EngineError) -> Int32 {
    if result < 0 { throw EngineError("\(operation): \(errorText(result))") }
    return result
}

/// - Parameter result: -errno.
func errorText(_ result: Int32) -> String {
    guard let text = strerror(0 &- result) else { return "error \(0 &- result)" }
    // SAFETY: strerror's text lives until the thread's next call.
    return String(cString: text)
}

func hex(_ number: UInt64) -> String { String(number, radix: 16) }

/// With leading zeros.
func hex(_ number: UInt64, digits: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
