// The guest's bytes as the decoder reads them: the rest of a page, and for an instruction that crosses its end what follows.

import Glibc

struct FetchWindow {
    // SAFETY: within the piece of memory that holds the page, as long as no operation runs; or `buffer`, below.
    private var bytes: UnsafePointer<UInt8>?
    private var count = 0
    private var buffer: [UInt8] = []

    /// The bytes from `physical` to the end of its page.
    mutating func load(_ memory: SoftMemory, _ s: S, _ physical: UInt64) {
        count = 4096 - Int(physical & 0xfff)
        if let host = memory.readable(physical)?.host {
            bytes = UnsafePointer(host.assumingMemoryBound(to: UInt8.self))
            return
        }
        // Code from a device or from nowhere: as much as one instruction needs.
        count = min(count, Decoder.maximumLength)
        buffer = FetchWindow.read(memory, s, physical, count)
    }

    /// The instruction at the window's start needs bytes of the next page.
    mutating func append(_ memory: SoftMemory, _ s: S, _ second: UInt64) {
        var all: [UInt8] = buffer
        if let bytes { all = Array(UnsafeBufferPointer(start: bytes, count: count)) }
        all.removeLast(max(0, all.count - count))
        let more = Decoder.maximumLength - min(all.count, Decoder.maximumLength)
        if let host = memory.readable(second)?.host {
            all += Array(UnsafeBufferPointer(start: host.assumingMemoryBound(to: UInt8.self), count: more))
        } else {
            all += FetchWindow.read(memory, s, second, more)
        }
        bytes = nil
        buffer = all
        count = all.count
    }

    private static func read(_ memory: SoftMemory, _ s: S, _ physical: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: memory.readPhysical(s, physical &+ UInt64($0), 1)) }
    }

    mutating func decode(_ decoder: inout Decoder, at offset: Int, _ mode: Mode, _ i: inout Instruction)
        -> Decoder.Outcome
    {
        guard offset < count else { return .truncated }
        if let bytes { return decoder.decode(bytes + offset, count: count - offset, mode: mode, into: &i) }
        return buffer.withUnsafeBufferPointer {
            guard let base = $0.baseAddress else { return .truncated }
            return decoder.decode(base + offset, count: count - offset, mode: mode, into: &i)
        }
    }
}
