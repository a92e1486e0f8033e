import BackendSupport
import Glibc

/// Bytes that tell their place: 0, 1 ... 250, 0, 1 ...
func pattern(_ count: Int, from start: Int = 0) -> [UInt8] { (start..<(start + count)).map { UInt8($0 % 251) } }

extension ByteRing {
    mutating func append(_ bytes: [UInt8]) -> Int { bytes.withUnsafeBytes { append($0) } }
}

extension OutputQueue {
    mutating func append(_ bytes: [UInt8]) -> Effect { bytes.withUnsafeBytes { append($0) } }
    mutating func append(count: Int) -> Effect { append([UInt8](repeating: 0x41, count: count)) }
}

extension InputQueue {
    mutating func append(_ bytes: [UInt8]) -> Int { bytes.withUnsafeBytes { append($0) } }
}

/// A value that several threads share.
final class Shared<Value>: @unchecked Sendable {
    private let monitor = Monitor()
    private var value: Value
    init(_ value: Value) { self.value = value }

    func use<R>(_ body: (inout Value) -> R) -> R {
        monitor.locked {
            defer { monitor.wake() }
            return body(&value)
        }
    }

    /// False: it did not come true in five seconds.
    func wait(_ condition: (Value) -> Bool) -> Bool {
        let deadline = Monitor.Deadline(milliseconds: 5000)
        return monitor.locked {
            while !condition(value) {
                if !monitor.wait(until: deadline) { return condition(value) }
            }
            return true
        }
    }
}
