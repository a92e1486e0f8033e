/// Guest-physical memory ("memory/1").
public struct Memory {
    let host: Host
    let table: UnsafePointer<bp_memory_1>

    public enum Kind: UInt32, Sendable {
        /// Of the layout: main memory. Of a region: as `device`.
        case ram = 0
        /// Guest writes are dropped.
        case rom = 1
        /// The guest reads and writes it as it does RAM, and it is a device's: nothing is loaded there, and firmware's tables reserve it.
        case device = 2
        /// Of a region only: main memory, as a memory card's (`ram` in the layout). Hosts older than ABI 1.4 know no other.
        case main = 3
    }

    /// A region of the plugin's own memory: zeros at first, unchanged by a reset.
    public struct Region {
        public let id: bp_id
        /// SAFETY: valid until the instance is destroyed.
        public let bytes: UnsafeMutableRawBufferPointer
    }

    public struct Mapping: Equatable, Sendable { public let id: bp_id }

    public struct Range: Equatable, Sendable {
        public var kind: Kind
        public var base: UInt64
        public var length: UInt64
    }

    /// Copies guest memory out. False, and nothing copied, where any byte is not memory.
    public func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
        table.pointee.read(host.raw, address, bytes.baseAddress, UInt64(bytes.count)) == 0
    }

    /// Copies into guest memory. False, and nothing copied, where any byte is not memory that can be written.
    public func write(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) -> Bool {
        table.pointee.write(host.raw, address, bytes.baseAddress, UInt64(bytes.count)) == 0
    }

    public func write(_ address: UInt64, _ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { write(address, $0) }
    }

    public func read(_ address: UInt64, count: Int) -> [UInt8]? {
        guard count >= 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        return bytes.withUnsafeMutableBytes { read(address, into: $0) } ? bytes : nil
    }

    /// Runs `body` on guest memory for DMA; `body` gives the number of bytes that it wrote. nil: not RAM.
    public func withSpan(
        _ address: UInt64, length: UInt64, toGuest: Bool, _ body: (UnsafeMutableRawBufferPointer) -> Int
    ) -> Bool {
        var span = bp_span()
        span.size = UInt32(MemoryLayout<bp_span>.size)
        let direction = UInt32(toGuest ? BP_SPAN_TO_GUEST : BP_SPAN_FROM_GUEST)
        guard table.pointee.span(host.raw, address, length, direction, &span) == 0 else { return false }
        let written = body(UnsafeMutableRawBufferPointer(start: span.base, count: Int(clamping: span.length)))
        _ = table.pointee.span_release(host.raw, span.id, UInt64(clamping: written))
        return true
    }

    /// Memory of the plugin's own, saved with the machine by the core under `key`. May be called in create.
    public func region(_ key: StaticString, _ kind: Kind, length: UInt64) throws(PluginError) -> Region {
        var id: bp_id = 0
        var base: UnsafeMutableRawPointer?
        let name = UnsafeRawPointer(key.utf8Start).assumingMemoryBound(to: CChar.self)
        try Status(rawValue: table.pointee.region(host.raw, name, kind.rawValue, length, &id, &base))
            .check("making a memory region")
        return Region(id: id, bytes: UnsafeMutableRawBufferPointer(start: base, count: Int(clamping: length)))
    }

    @discardableResult
    public func map(
        _ region: Region, offset: UInt64 = 0, at address: UInt64, length: UInt64? = nil, priority: Int32 = 0
    ) throws(PluginError) -> Mapping {
        var id: bp_id = 0
        let count = length ?? UInt64(region.bytes.count) &- offset
        try Status(rawValue: table.pointee.map(host.raw, region.id, offset, address, count, priority, &id))
            .check("mapping a memory region")
        return Mapping(id: id)
    }

    /// A part of a region, or of the machine's RAM (`region` nil), in some directions only. Throws where the host is older than minor 4.
    @discardableResult
    public func map(
        _ region: Region?, offset: UInt64, at address: UInt64, length: UInt64, _ directions: Directions,
        priority: Int32 = 0
    ) throws(PluginError) -> Mapping {
        guard table.has(\.map_as) else { throw PluginError("memory cannot be mapped so: the host is too old") }
        var request = bp_mapping()
        request.size = UInt32(MemoryLayout<bp_mapping>.size)
        request.directions = directions.rawValue
        request.region = region?.id ?? 0
        request.offset = offset
        request.address = address
        request.length = length
        request.priority = priority
        var id: bp_id = 0
        try Status(rawValue: table.pointee.map_as(host.raw, &request, &id)).check("mapping memory")
        return Mapping(id: id)
    }

    /// Which of its directions the mapping answers from now on; none: it is off. Throws where the host is older than minor 4.
    public func direct(_ mapping: Mapping, _ directions: Directions) throws(PluginError) {
        guard table.has(\.direct) else { throw PluginError("mappings cannot be directed: the host is too old") }
        try Status(rawValue: table.pointee.direct(host.raw, mapping.id, directions.rawValue)).check(
            "directing a mapping")
    }

    public func unmap(_ mapping: Mapping) { _ = table.pointee.unmap(host.raw, mapping.id) }

    public func move(_ mapping: Mapping, to address: UInt64) throws(PluginError) {
        try Status(rawValue: table.pointee.move(host.raw, mapping.id, address)).check("moving a mapping")
    }

    /// The bytes of another instance's region, by the id that it told: to look at, until disconnect. nil: there is none, or the host is
    /// older than minor 5.
    public func attach(_ region: bp_id) -> UnsafeRawBufferPointer? {
        guard table.has(\.attach) else { return nil }
        var base: UnsafeMutableRawPointer?
        var length: UInt64 = 0
        guard table.pointee.attach(host.raw, region, &base, &length) == 0 else { return nil }
        return UnsafeRawBufferPointer(start: base, count: Int(clamping: length))
    }

    /// Gives whole pages of the machine's RAM in this range back to the host: they read as zeros. `.unsupported`: they stay, since the host cannot
    /// take them, or is older than minor 9. `.outOfRange`: it is not all RAM, and nothing has happened.
    public func discard(_ address: UInt64, length: UInt64) -> Status {
        guard table.has(\.discard) else { return .unsupported }
        return Status(rawValue: table.pointee.discard(host.raw, address, length))
    }

    /// All memory that the guest sees, ascending.
    public var layout: [Range] {
        var ranges: [Range] = []
        var range = bp_memory_range()
        range.size = UInt32(MemoryLayout<bp_memory_range>.size)
        while ranges.count < 4096, table.pointee.layout(host.raw, UInt32(ranges.count), &range) == 0 {
            ranges.append(Range(kind: Kind(rawValue: range.kind) ?? .rom, base: range.base, length: range.length))
        }
        return ranges
    }
}

extension Host {
    public var memory: Memory {
        get throws(PluginError) { Memory(host: self, table: try required("memory/1", as: bp_memory_1.self)) }
    }
}
