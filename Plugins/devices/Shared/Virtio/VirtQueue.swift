/// A split virtqueue: the device's side of it.
///
/// Source: virtio 1.2, 2.7. All that is read from memory is the guest's word, and what breaks the rules is a `Violation`, upon which the
/// device says that it needs a reset and does nothing more (2.1.2).
///
/// Departures, and who needs them:
/// - A table of indirect descriptors may be longer than the queue, up to 1024 (2.7.5.3.1 forbids it; QEMU takes it, and drivers rely on that).
///
/// Not modelled: packed queues, VIRTIO_F_IN_ORDER, and the flag by which the device asks for no notifications of drivers without an event index.
public struct VirtQueue: Equatable, Sendable {
    // MARK: Layout

    /// 2.7.5
    public struct Descriptor: Equatable, Sendable {
        public struct Flags: OptionSet, Equatable, Sendable {
            public let rawValue: UInt16
            public init(rawValue: UInt16) { self.rawValue = rawValue }
            public static let next = Self(rawValue: 1)
            public static let write = Self(rawValue: 2)
            public static let indirect = Self(rawValue: 4)
        }

        public var address: UInt64
        public var length: UInt32
        public var flags: Flags
        public var next: UInt16

        public init(address: UInt64, length: UInt32, flags: Flags, next: UInt16) {
            (self.address, self.length, self.flags, self.next) = (address, length, flags, next)
        }
    }

    /// 2.7.8
    public struct UsedElement: Equatable, Sendable {
        public var id: UInt32
        /// Bytes written into the buffer, from its beginning.
        public var length: UInt32
        public init(id: UInt32, length: UInt32) { (self.id, self.length) = (id, length) }
    }

    /// Where the driver has put the queue.
    public struct Layout: Equatable, Sendable {
        public var entries: UInt16
        public var descriptors: UInt64
        /// The available ring.
        public var driver: UInt64
        /// The used ring.
        public var device: UInt64

        public init(entries: UInt16, descriptors: UInt64, driver: UInt64, device: UInt64) {
            (self.entries, self.descriptors, self.driver, self.device) = (entries, descriptors, driver, device)
        }

        /// Powers of two, and the alignments of 2.7; nothing goes on at address 0.
        public func isValid(most: UInt16) -> Bool {
            let size = UInt64(entries)
            return entries.nonzeroBitCount == 1 && entries <= min(most, 32768) && descriptors & 15 == 0
                && driver & 1 == 0 && device & 3 == 0 && descriptors <= .max - size * 16
                && driver <= .max - size * 2 - 6 && device <= .max - size * 8 - 6
        }

        fileprivate func descriptor(_ index: UInt16) -> UInt64 { descriptors &+ UInt64(index) &* 16 }
        fileprivate var availableIndex: UInt64 { driver &+ 2 }
        fileprivate func available(_ index: UInt16) -> UInt64 { driver &+ 4 &+ UInt64(index & (entries &- 1)) &* 2 }
        fileprivate var usedEvent: UInt64 { driver &+ 4 &+ UInt64(entries) &* 2 }
        fileprivate var usedIndex: UInt64 { device &+ 2 }
        fileprivate func used(_ index: UInt16) -> UInt64 { device &+ 4 &+ UInt64(index & (entries &- 1)) &* 8 }
        fileprivate var availableEvent: UInt64 { device &+ 4 &+ UInt64(entries) &* 8 }
    }

    /// What the guest has done wrong.
    public enum Violation: Error, Equatable, Sendable {
        /// A ring, a descriptor or a buffer is not in memory that can be read or written so.
        case notMemory
        /// The available index has moved by more than the queue has entries.
        case indexJumped
        /// A descriptor's number is none.
        case noSuchDescriptor
        /// A chain that is longer than its table: a loop.
        case endlessChain
        /// Indirect in indirect, with a next one, or of a length that no table has.
        case badIndirect
        /// A buffer to be read behind one to be written (2.7.4.2).
        case badOrder
        /// The chain is longer than 2^32 - 1 bytes (2.7.5).
        case tooLong
        /// What the device's own chapter demands of a request: nothing can be answered.
        case badRequest
    }

    /// Of a table of indirect descriptors.
    public static let longestTable: UInt32 = 1024

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        /// nil: not enabled.
        public var layout: Layout?
        /// The index of the available ring up to which buffers have been taken.
        public var taken: UInt16 = 0
        /// The index of the used ring.
        public var used: UInt16 = 0
        /// What `used` was when the driver was last told, or found not to want it.
        public var told: UInt16 = 0
        public init() {}
    }

    public private(set) var state = State()
    /// Of those that were negotiated, what the queue looks at.
    public var features: VirtioFeatures = []

    public init() {}

    public var isEnabled: Bool { state.layout != nil }

    /// - Returns: false, and the queue is not enabled, where no driver may put it so.
    public mutating func enable(_ layout: Layout, most: UInt16) -> Bool {
        state = State()
        guard layout.isValid(most: most) else { return false }
        state.layout = layout
        return true
    }

    public mutating func reset() { state = State() }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where no driver can have put the queue so.
    public mutating func restore(_ saved: State, most: UInt16) -> Bool {
        if let layout = saved.layout, !layout.isValid(most: most) { return false }
        state = saved
        return true
    }

    // MARK: Taking buffers

    /// The next available buffer (2.7.13); nil: there is none, and the driver will tell of the next one.
    public mutating func take(_ memory: some VirtioMemory) throws(Violation) -> Chain? {
        guard let layout = state.layout else { return nil }
        if try !hasAvailable(layout, memory) {
            guard features.contains(.eventIndex) else { return nil }
            // 2.7.10: from here on the driver tells; what it has added before it could see that is seen here.
            guard memory.write16(layout.availableEvent, state.taken) else { throw .notMemory }
            memory.fence()
            guard try hasAvailable(layout, memory) else { return nil }
        }
        guard let head = memory.read16(layout.available(state.taken)) else { throw .notMemory }
        let chain = try chain(from: head, layout, memory)
        state.taken &+= 1
        return chain
    }

    /// The buffer taken last is available again: it could not be used.
    public mutating func giveBack() { state.taken &-= 1 }

    private func hasAvailable(_ layout: Layout, _ memory: some VirtioMemory) throws(Violation) -> Bool {
        guard let index = memory.read16(layout.availableIndex) else { throw .notMemory }
        guard index &- state.taken <= layout.entries else { throw .indexJumped }
        return index != state.taken
    }

    private func chain(
        from head: UInt16, _ layout: Layout, _ memory: some VirtioMemory
    ) throws(Violation) -> Chain {
        var chain = Chain(head: head)
        var (index, left) = (head, layout.entries)
        while true {
            guard index < layout.entries else { throw .noSuchDescriptor }
            guard left > 0 else { throw .endlessChain }
            left &-= 1
            guard let descriptor = memory.readDescriptor(layout.descriptor(index)) else { throw .notMemory }
            if descriptor.flags.contains(.indirect) {
                guard features.contains(.indirectDescriptors), !descriptor.flags.contains(.next) else {
                    throw .badIndirect
                }
                try addTable(descriptor, to: &chain, memory)
                return chain
            }
            try chain.add(descriptor)
            guard descriptor.flags.contains(.next) else { return chain }
            index = descriptor.next
        }
    }

    /// 2.7.5.3: a table elsewhere, whose chain begins at its entry 0.
    private func addTable(
        _ table: Descriptor, to chain: inout Chain, _ memory: some VirtioMemory
    ) throws(Violation) {
        let entries = table.length / 16
        guard table.length % 16 == 0, (1...VirtQueue.longestTable).contains(entries) else { throw .badIndirect }
        var (index, left) = (0 as UInt16, entries)
        while true {
            guard UInt32(index) < entries else { throw .noSuchDescriptor }
            guard left > 0 else { throw .endlessChain }
            left &-= 1
            guard let descriptor = memory.readDescriptor(table.address &+ UInt64(index) &* 16) else {
                throw .notMemory
            }
            guard !descriptor.flags.contains(.indirect) else { throw .badIndirect }
            try chain.add(descriptor)
            guard descriptor.flags.contains(.next) else { return }
            index = descriptor.next
        }
    }

    // MARK: Giving them back

    /// A buffer is used (2.7.8). The driver sees it once `publish` was called.
    /// - Parameter written: bytes written into it, from its beginning.
    public mutating func put(_ head: UInt16, written: UInt32, _ memory: some VirtioMemory) throws(Violation) {
        guard let layout = state.layout else { return }
        let element = UsedElement(id: UInt32(head), length: written)
        guard memory.writeUsed(layout.used(state.used), element) else { throw .notMemory }
        state.used &+= 1
    }

    /// Shows the driver what was put.
    /// - Returns: whether it is to be told by an interrupt.
    public mutating func publish(_ memory: some VirtioMemory) throws(Violation) -> Bool {
        guard let layout = state.layout, state.used != state.told else { return false }
        guard memory.write16(layout.usedIndex, state.used) else { throw .notMemory }
        memory.fence()
        defer { state.told = state.used }
        guard features.contains(.eventIndex) else {
            // 2.7.7: flags, bit 0: no interrupts are wanted.
            guard let flags = memory.read16(layout.driver) else { throw .notMemory }
            return flags & 1 == 0
        }
        // 2.7.7.2: when the entry that the driver has named is among those that are new.
        guard let event = memory.read16(layout.usedEvent) else { throw .notMemory }
        return state.used &- event &- 1 < state.used &- state.told
    }
}
