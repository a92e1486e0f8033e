public import PluginKit
import Synchronization
public import Virtio

/// Guest memory behind a virtio device's queues.
public struct GuestRAM: VirtioMemory {
    let memory: Memory

    public init(_ memory: Memory) { self.memory = memory }

    // SAFETY for the numbers: each is a buffer of its own, of the width that is read or written.

    public func read16(_ address: UInt64) -> UInt16? {
        var value: UInt16 = 0
        return withUnsafeMutableBytes(of: &value) { memory.read(address, into: $0) } ? value : nil
    }

    public func write16(_ address: UInt64, _ value: UInt16) -> Bool {
        withUnsafeBytes(of: value) { memory.write(address, $0) }
    }

    public func readDescriptor(_ address: UInt64) -> VirtQueue.Descriptor? {
        var raw: (address: UInt64, length: UInt32, flags: UInt16, next: UInt16) = (0, 0, 0, 0)
        guard withUnsafeMutableBytes(of: &raw, { memory.read(address, into: $0) }) else { return nil }
        return VirtQueue.Descriptor(
            address: raw.address, length: raw.length, flags: .init(rawValue: raw.flags), next: raw.next)
    }

    public func writeUsed(_ address: UInt64, _ element: VirtQueue.UsedElement) -> Bool {
        withUnsafeBytes(of: (element.id, element.length)) { memory.write(address, $0) }
    }

    public func read(_ address: UInt64, count: Int) -> [UInt8]? { memory.read(address, count: count) }

    public func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.withUnsafeBytes { memory.write(address, $0) }
    }

    /// The host gets whole pages in this range back; they read as zeros.
    public func discard(_ address: UInt64, length: UInt64) -> Status { memory.discard(address, length: length) }

    public func fence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

    // MARK: Without an array in between

    /// Copies what the device reads, from `offset`, until `bytes` is full.
    public func copy(
        _ extents: [Chain.Extent], from offset: UInt32, into bytes: UnsafeMutableRawBufferPointer
    ) throws(VirtQueue.Violation) {
        var done = 0
        for extent in Chain.part(extents, from: offset, count: UInt32(clamping: bytes.count)) {
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[done..<done + Int(extent.length)])
            guard memory.read(extent.address, into: part) else { throw .notMemory }
            done += part.count
        }
    }

    /// Copies into what the device writes, at `offset`, what there is room for.
    public func copy(
        _ bytes: UnsafeRawBufferPointer, to extents: [Chain.Extent], at offset: UInt32
    ) throws(VirtQueue.Violation) {
        var done = 0
        for extent in Chain.part(extents, from: offset, count: UInt32(clamping: bytes.count)) {
            let part = UnsafeRawBufferPointer(rebasing: bytes[done..<done + Int(extent.length)])
            guard memory.write(extent.address, part) else { throw .notMemory }
            done += part.count
        }
    }
}
