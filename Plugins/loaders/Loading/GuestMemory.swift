public import Images
public import PluginKit

extension Memory {
    /// What a loader can load into: main memory, without what ROM and devices' memory covers.
    public var ramMap: RAMMap {
        let pieces = layout.map { (kind: $0.kind, range: $0.base..<($0.base &+ min($0.length, .max - $0.base))) }
        return RAMMap(
            ram: pieces.filter { $0.kind == .ram }.map(\.range),
            reserved: pieces.filter { $0.kind != .ram }.map(\.range))
    }

    /// Writes an image, and zeros after it up to `memorySize` bytes in all. False where not all of it is RAM; what was
    /// written by then stays.
    public func load(_ bytes: ArraySlice<UInt8>, at address: UInt64, memorySize: UInt64) -> Bool {
        guard bytes.isEmpty || bytes.withUnsafeBytes({ write(address, $0) }) else { return false }
        var done = UInt64(bytes.count)
        guard done < memorySize else { return true }
        let zeros = [UInt8](repeating: 0, count: Int(min(memorySize - done, 1 << 20)))
        while done < memorySize {
            let count = min(memorySize - done, UInt64(zeros.count))
            // SAFETY: the first `count` bytes of `zeros`, which has at least as many.
            let isWritten = zeros.withUnsafeBytes { write(address &+ done, .init(rebasing: $0.prefix(Int(count)))) }
            guard isWritten else { return false }
            done += count
        }
        return true
    }
}

/// An image file, or the sentence that says why it cannot be read.
public func readImage(_ path: String, limit: UInt64 = 1 << 30) throws(PluginError) -> [UInt8] {
    do { return try ImageFile.read(path, limit: limit) } catch { throw PluginError(error.text) }
}
