// Structs that cross the ABI by pointer. The other end was built with its own header, whose struct may be shorter or longer
// than ours: fields are only appended, and each struct starts with its size.
// SAFETY: the pointer is the plugin's, valid for the call, and to at least as many bytes as its size says.

import CBackplane

/// Sizes in ABI 1.0, the least that a struct of major 1 has.
enum LeastPassedSize {
    static let claim: UInt32 = 80
    static let want: UInt32 = 24
    static let registers: UInt32 = 416
    static let peer: UInt32 = 24
    static let span: UInt32 = 32
    static let memoryRange: UInt32 = 24
    static let mapping: UInt32 = 48
    static let surveyItem: UInt32 = 168
    /// In ABI 1.9, which has brought it.
    static let firmwareNode: UInt32 = 64
}

enum PassedStruct {
    /// A copy of a struct that the plugin wrote; what it does not have stays as in `empty`. nil: shorter than in ABI 1.0.
    static func read<T: BitwiseCopyable>(_ pointer: UnsafePointer<T>, least: UInt32, empty: T) -> T? {
        let size = UnsafeRawPointer(pointer).load(as: UInt32.self)
        guard size >= least else { return nil }
        var copy = empty
        withUnsafeMutableBytes(of: &copy) {
            $0.copyMemory(
                from: UnsafeRawBufferPointer(start: pointer, count: min(Int(size), MemoryLayout<T>.size)))
        }
        return copy
    }

    /// Fills in a struct of the plugin's, which has set its size: not a byte more than that. Its size says then how much is
    /// filled in. A plugin of ABI 1.0 need not have set it.
    static func write<T: BitwiseCopyable>(_ value: T, to pointer: UnsafeMutablePointer<T>, least: UInt32) {
        let raw = UnsafeMutableRawPointer(pointer)
        let given = raw.load(as: UInt32.self)
        let room = (least...4096).contains(given) ? given : least
        let count = min(Int(room), MemoryLayout<T>.size)
        withUnsafeBytes(of: value) { raw.copyMemory(from: $0.baseAddress!, byteCount: count) }
        raw.storeBytes(of: UInt32(truncatingIfNeeded: count), as: UInt32.self)
    }
}
