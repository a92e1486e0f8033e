/// States as bytes: numbers one behind the other, little-endian. A device with several queues keeps them so.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put<T: FixedWidthInteger>(_ value: T) {
        for byte in 0..<T.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> (byte * 8))) }
    }
}

struct ByteReader {
    private var rest: ArraySlice<UInt8>
    /// There were fewer bytes than were asked for.
    private(set) var isShort = false

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    /// All bytes have been taken, and no more.
    var isAtEnd: Bool { rest.isEmpty && !isShort }

    mutating func take<T: FixedWidthInteger>() -> T {
        let size = T.bitWidth / 8
        guard rest.count >= size else {
            isShort = true
            return 0
        }
        defer { rest = rest.dropFirst(size) }
        return rest.prefix(size).reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
    }
}

extension VirtQueue.State {
    /// Bytes of each.
    public static let size = 32

    public var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.put(layout?.entries ?? 0)
        for address in [layout?.descriptors, layout?.driver, layout?.device] { writer.put(address ?? 0) }
        for index in [taken, used, told] { writer.put(index) }
        return writer.bytes
    }

    /// nil: not so many bytes.
    public init?(bytes: ArraySlice<UInt8>) {
        var reader = ByteReader(bytes)
        self.init()
        let entries: UInt16 = reader.take()
        let (descriptors, driver, device): (UInt64, UInt64, UInt64) = (reader.take(), reader.take(), reader.take())
        if entries > 0 {
            layout = .init(entries: entries, descriptors: descriptors, driver: driver, device: device)
        }
        (taken, used, told) = (reader.take(), reader.take(), reader.take())
        guard reader.isAtEnd else { return nil }
    }
}

extension VirtioNegotiation.State {
    public var bytes: [UInt8] {
        var writer = ByteWriter()
        for byte in [status.rawValue, interrupts.rawValue, generation] { writer.put(byte) }
        for select in [deviceSelect, driverSelect] { writer.put(select) }
        writer.put(accepted.rawValue)
        for number in [queueSelect, configVector] { writer.put(number) }
        for queue in queues {
            writer.put(queue.isEnabled ? 1 as UInt8 : 0)
            for address in [queue.descriptors, queue.driver, queue.device] { writer.put(address) }
            for number in [queue.entries, queue.vector] { writer.put(number) }
        }
        return writer.bytes
    }

    /// nil: not as many bytes as this device's are.
    public init?(bytes: [UInt8], of identity: VirtioIdentity) {
        self.init(identity)
        var reader = ByteReader(bytes[...])
        status = .init(rawValue: reader.take())
        interrupts = .init(rawValue: reader.take())
        generation = reader.take()
        (deviceSelect, driverSelect) = (reader.take(), reader.take())
        accepted = .init(rawValue: reader.take())
        (queueSelect, configVector) = (reader.take(), reader.take())
        for index in queues.indices {
            let flags: UInt8 = reader.take()
            queues[index].isEnabled = flags & 1 != 0
            (queues[index].descriptors, queues[index].driver) = (reader.take(), reader.take())
            queues[index].device = reader.take()
            (queues[index].entries, queues[index].vector) = (reader.take(), reader.take())
        }
        guard reader.isAtEnd else { return nil }
    }
}
