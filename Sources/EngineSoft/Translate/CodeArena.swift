// Memory for generated code: written through one mapping, executed through another, and never both through one.
// SAFETY for this file: both mappings have `length` bytes and live as long as the arena; `used` never goes beyond.

import CHost

final class CodeArena {
    static let length = 32 << 20

    private let writable: UnsafeMutableRawPointer
    private let executable: UnsafeMutableRawPointer
    private(set) var used = 0

    /// Why the host gives no memory for code, as an errno; 0: this host's code cannot be generated.
    struct Refusal: Error { let errno: Int32 }

    init() throws(Refusal) {
        guard ch_code_supported() != 0 else { throw Refusal(errno: 0) }
        var (writable, executable): (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?)
        let result = ch_code_map(UInt64(CodeArena.length), &writable, &executable)
        guard result == 0, let writable, let executable else { throw Refusal(errno: -result) }
        (self.writable, self.executable) = (writable, executable)
    }

    deinit { ch_code_unmap(UInt64(CodeArena.length), writable, executable) }

    /// Where it is executed and where it is written.
    var beginnings: (UInt, UInt) { (UInt(bitPattern: executable), UInt(bitPattern: writable)) }

    /// Where the next code will lie.
    var next: UInt { UInt(bitPattern: executable + used) }

    /// Puts code where `next` was, aligned to 16 bytes behind it; nil: there is no room.
    func append(_ code: [UInt8]) -> UnsafeRawPointer? {
        guard used + code.count + 16 <= CodeArena.length else { return nil }
        code.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { (writable + used).copyMemory(from: base, byteCount: bytes.count) }
        }
        let place = executable + used
        used = (used + code.count + 15) & ~15
        ch_serialize()
        return UnsafeRawPointer(place)
    }

    /// Where `offset` bytes from a place of code is written.
    func writable(_ place: UnsafeRawPointer, _ offset: Int) -> UnsafeMutableRawPointer {
        writable + (place - UnsafeRawPointer(executable)) + offset
    }

    /// Of a place of code.
    func offset(of place: UnsafeRawPointer) -> UInt32 {
        UInt32(truncatingIfNeeded: place - UnsafeRawPointer(executable))
    }

    /// The jump whose distance is at `offset` leads to `target` from now on. It may be running, and is not serialized.
    func setDistance(at offset: Int, to target: UInt) {
        let next = UInt(bitPattern: executable + offset + 4)
        (writable + offset).storeBytes(of: Int32(truncatingIfNeeded: Int(bitPattern: target &- next)), as: Int32.self)
    }

    /// Forgets all code behind the first `kept` bytes. Nothing of it runs, and nothing leads there.
    func reset(keeping kept: Int) { used = kept }
}
