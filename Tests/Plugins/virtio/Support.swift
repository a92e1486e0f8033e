import Virtio

/// RAM from address 0, little-endian, as rings lie in it.
final class RAM: VirtioMemory {
    var bytes: [UInt8]
    private(set) var fences = 0

    init(size: Int = 1 << 16) { bytes = [UInt8](repeating: 0, count: size) }

    private func range(_ address: UInt64, _ count: Int) -> Range<Int>? {
        guard address <= UInt64(bytes.count), count <= bytes.count - Int(address) else { return nil }
        return Int(address)..<Int(address) + count
    }

    func number(_ address: UInt64, _ count: Int) -> UInt64? {
        range(address, count).map { bytes[$0].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    }

    @discardableResult
    func put(_ value: UInt64, _ count: Int, at address: UInt64) -> Bool {
        guard let range = range(address, count) else { return false }
        for (byte, index) in range.enumerated() { bytes[index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
        return true
    }

    func read16(_ address: UInt64) -> UInt16? { number(address, 2).map(UInt16.init(truncatingIfNeeded:)) }
    func write16(_ address: UInt64, _ value: UInt16) -> Bool { put(UInt64(value), 2, at: address) }

    func readDescriptor(_ address: UInt64) -> VirtQueue.Descriptor? {
        guard let first = number(address, 8), let second = number(address &+ 8, 8) else { return nil }
        return .init(
            address: first, length: UInt32(truncatingIfNeeded: second),
            flags: .init(rawValue: UInt16(truncatingIfNeeded: second >> 32)),
            next: UInt16(truncatingIfNeeded: second >> 48))
    }

    func writeUsed(_ address: UInt64, _ element: VirtQueue.UsedElement) -> Bool {
        put(UInt64(element.id) | UInt64(element.length) << 32, 8, at: address)
    }

    func read(_ address: UInt64, count: Int) -> [UInt8]? { range(address, count).map { Array(bytes[$0]) } }

    func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool {
        guard let range = range(address, bytes.count) else { return false }
        self.bytes.replaceSubrange(range, with: bytes)
        return true
    }

    func fence() { fences += 1 }
}

/// A driver with a queue of 8 entries by the layout of virtio 1.2, 2.7.2: descriptors at 0x1000, available ring at 0x2000, used ring at 0x3000.
final class Driver {
    static let (descriptors, available, used) = (0x1000 as UInt64, 0x2000 as UInt64, 0x3000 as UInt64)
    let ram = RAM()
    var queue = VirtQueue()
    private var offered: UInt16 = 0

    init(_ features: VirtioFeatures = [.version1, .indirectDescriptors, .eventIndex], entries: UInt16 = 8) {
        queue.features = features
        _ = queue.enable(
            .init(entries: entries, descriptors: Self.descriptors, driver: Self.available, device: Self.used), most: 256
        )
    }

    /// Flags: 1 next, 2 write, 4 indirect.
    func descriptor(
        _ index: UInt64, _ address: UInt64, _ length: UInt64, flags: UInt64 = 0, next: UInt64 = 0,
        table: UInt64 = Driver.descriptors
    ) {
        ram.put(address, 8, at: table + index * 16)
        ram.put(length | flags << 32 | next << 48, 8, at: table + index * 16 + 8)
    }

    func offer(_ heads: UInt16...) {
        for head in heads {
            ram.put(UInt64(head), 2, at: Self.available + 4 + UInt64(offered % 8) * 2)
            offered &+= 1
        }
        ram.put(UInt64(offered), 2, at: Self.available + 2)
    }

    /// The index that the driver shows.
    func setIndex(_ index: UInt16) {
        offered = index
        ram.put(UInt64(index), 2, at: Self.available + 2)
    }

    func take() throws(VirtQueue.Violation) -> Chain? { try queue.take(ram) }
    func put(_ head: UInt16, _ written: UInt32) throws { try queue.put(head, written: written, ram) }
    func publish() throws -> Bool { try queue.publish(ram) }

    var usedIndex: UInt64? { ram.number(Self.used + 2, 2) }
    /// Behind the used ring's 8 entries: where the device says from which one on it wants to be told.
    var availableEvent: UInt64? { ram.number(Self.used + 4 + 64, 2) }
    /// Behind the available ring's 8 entries.
    func setUsedEvent(_ index: UInt16) { ram.put(UInt64(index), 2, at: Self.available + 4 + 16) }
}
