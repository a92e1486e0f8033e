import DMA8237
import PluginKit

/// The DMA controllers of a PC: connects the two chips to their ports, the channels' devices and memory.
final class DMA8237Plugin: Instance {
    static let definition = ClassDefinition.device(
        "dma8237", summary: "the two 8237A DMA controllers of a PC/AT, with their page registers",
        properties: [
            Property(
                "cascade", .bool, default: "off",
                doc: "on: after reset channel 4 lets channels 0 to 3 through, which firmware sees to elsewhere"
            )
        ],
        provides: [
            Provides(
                "dma-channel/1", count: 8,
                doc:
                    "channels 0 to 3 of bytes and 5 to 7 of words, by tradition 2 of the floppy controller; 4 joins the two chips"
            )
        ],
        firmware: [FirmwareNode("PNP0200")],
        make: { (host, values) throws(PluginError) in DMA8237Plugin(host, values) })

    /// What a channel's device wants, and what it was told.
    private struct Channel {
        var client: DMAChannelClient?
        var requested: DMADirection?
        var isReady = false
    }

    private var chips: DMAPair
    private var channels = [Channel](repeating: Channel(), count: DMAPair.channels)
    /// SAFETY: for the one piece that is on its way to a device, which gets it borrowed.
    private let buffer: UnsafeMutableRawBufferPointer

    init(_ host: Host, _ values: Values) {
        chips = DMAPair(cascades: values.bool("cascade"))
        buffer = .allocate(byteCount: DMAChannelPeer.most, alignment: 16)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        super.init(host)
    }

    deinit { buffer.deallocate() }

    override func connect() throws(PluginError) {
        let io = try host.io
        try io.claimPorts(0x00, count: 16, name: "DMA controller 1")
        try io.claimPorts(0xC0, count: 32, name: "DMA controller 2")
        // A card for what firmware writes to port 0x80 goes before.
        try io.claimPorts(0x80, count: 16, priority: -1, name: "DMA pages")
    }

    override func dmaClient(_ index: UInt32, is client: DMAChannelClient) {
        if index < channels.count { channels[Int(index)].client = client }
    }

    override func reset(warm: Bool) {
        chips.reset(isCold: !warm)
        // Devices are reset too, and ask anew.
        for index in channels.indices {
            chips.setRequest(index, false)
            (channels[index].requested, channels[index].isReady) = (nil, false)
        }
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult {
        let port = UInt16(truncatingIfNeeded: access.address)
        return .value(access.isPeek ? chips.peek(port: port) : chips.read(port: port))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        chips.write(port: UInt16(truncatingIfNeeded: access.address), UInt8(truncatingIfNeeded: value))
        updateReady()
        return .ok
    }

    // MARK: Devices

    override func dmaRequested(_ index: UInt32, _ direction: DMADirection?) {
        guard index < channels.count else { return }
        chips.setRequest(Int(index), direction != nil)
        channels[Int(index)].requested = direction
        channels[Int(index)].isReady = false
        updateReady()
    }

    /// Tells the devices whether their channel is programmed in their direction, and open.
    private func updateReady() {
        for index in channels.indices {
            guard let requested = channels[index].requested else { continue }
            setReady(index, chips.answers(index, toMemory: requested == .toMemory))
        }
    }

    private func setReady(_ index: Int, _ isReady: Bool) {
        guard isReady != channels[index].isReady else { return }
        channels[index].isReady = isReady
        channels[index].client?.ready(isReady)
    }

    override func dmaWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {
        guard index < channels.count, let client = channels[Int(index)].client else { return }
        let movement = move(Int(index), .toMemory, bytes.count)
        if let memory = try? host.memory {
            visit(movement, unit: DMAPair.unit(Int(index))) { (address, range) in
                memory.write(address, UnsafeRawBufferPointer(rebasing: bytes[range]))
            }
        }
        if movement.isTerminalCount { setReady(Int(index), false) }
        client.moved(movement.bytes)
        updateReady()
    }

    override func dmaReadAsked(_ index: UInt32, _ count: Int) {
        guard index < channels.count, let client = channels[Int(index)].client else { return }
        let movement = move(Int(index), .fromMemory, min(count, buffer.count))
        // Where nothing answers, and in a verify transfer, the bus floats.
        let data = UnsafeMutableRawBufferPointer(rebasing: buffer[..<movement.bytes])
        data.initializeMemory(as: UInt8.self, repeating: 0xFF)
        if let memory = try? host.memory {
            visit(movement, unit: DMAPair.unit(Int(index))) { (address, range) in
                memory.read(address, into: UnsafeMutableRawBufferPointer(rebasing: data[range]))
            }
        }
        if movement.isTerminalCount { setReady(Int(index), false) }
        client.data(UnsafeRawBufferPointer(data))
        updateReady()
    }

    private func move(_ index: Int, _ direction: DMADirection, _ count: Int) -> DMAPair.Movement {
        guard channels[index].isReady, channels[index].requested == direction else { return .init() }
        return chips.move(index, bytes: count)
    }

    /// Goes through a movement's memory in pieces that ascend. The controller does not see whether memory answers.
    /// - Parameter copy: of a range of the movement's bytes from or to an address on; false, and nothing is copied: not all of it is memory.
    private func visit(_ movement: DMAPair.Movement, unit: Int, copy: (UInt64, Range<Int>) -> Bool) {
        var done = 0
        for piece in movement.pieces {
            var left = piece.bytes
            var address = UInt64(piece.address)
            while left > 0 {
                let length = piece.descends ? min(unit, left) : left
                copyWhatAnswers(address, done..<done + length, copy)
                (done, left) = (done + length, left - length)
                address = piece.descends ? address &- UInt64(unit) : address &+ UInt64(length)
            }
        }
    }

    /// Page by page where not all of it is memory.
    private func copyWhatAnswers(_ address: UInt64, _ range: Range<Int>, _ copy: (UInt64, Range<Int>) -> Bool) {
        guard !copy(address, range) else { return }
        var (address, start) = (address, range.lowerBound)
        while start < range.upperBound {
            let length = min(4096 - Int(address & 4095), range.upperBound - start)
            _ = copy(address, start..<start + length)
            (address, start) = (address &+ UInt64(length), start + length)
        }
    }

    // MARK: State

    private static var parts: [(prefix: StaticString, path: WritableKeyPath<DMAPair.State, DMA8237.State>)] {
        [("first-", \.first), ("second-", \.second)]
    }
    private static var words: [(name: StaticString, path: WritableKeyPath<DMA8237.Channel, UInt16>)] {
        [("base-address", \.baseAddress), ("base-count", \.baseCount), ("address", \.address), ("count", \.count)]
    }

    override func save(to state: StateWriter) throws(PluginError) {
        let saved = chips.state
        state.put("pages", saved.pages)
        state.put("requested", channels.map { UInt8($0.requested?.rawValue ?? 0) })
        for (prefix, path) in Self.parts {
            let (chip, writer) = (saved[keyPath: path], state.prefixed(prefix))
            writer.put("command", chip.command.rawValue)
            writer.put("mask", chip.mask)
            writer.put("requests", chip.requests)
            writer.put("terminal-counts", chip.terminalCounts)
            writer.put("high-byte-next", chip.isHighByteNext)
            writer.put("modes", chip.channels.map(\.mode.rawValue))
            for (name, word) in Self.words {
                writer.put(
                    name, chip.channels.flatMap { [UInt8($0[keyPath: word] & 0xFF), UInt8($0[keyPath: word] >> 8)] })
            }
        }
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var saved = DMAPair.State()
        saved.pages = try state.get("pages", count: 16)
        for (prefix, path) in Self.parts {
            let reader = state.prefixed(prefix)
            var chip = DMA8237.State()
            chip.command = .init(rawValue: try reader.get("command"))
            chip.mask = try reader.get("mask")
            chip.requests = try reader.get("requests")
            chip.terminalCounts = try reader.get("terminal-counts")
            chip.isHighByteNext = try reader.get("high-byte-next")
            let modes = try reader.get("modes", count: 4)
            for index in 0..<4 { chip.channels[index].mode = .init(rawValue: modes[index]) }
            for (name, word) in Self.words {
                let bytes = try reader.get(name, count: 8)
                for index in 0..<4 {
                    chip.channels[index][keyPath: word] = UInt16(bytes[2 * index]) | UInt16(bytes[2 * index + 1]) << 8
                }
            }
            saved[keyPath: path] = chip
        }
        let requested = try state.get("requested", count: channels.count)
        guard requested.allSatisfy({ $0 <= 2 }), chips.restore(saved) else {
            throw PluginError("no such state of the DMA controllers")
        }
        for index in channels.indices {
            let direction = DMADirection(rawValue: UInt32(requested[index]))
            chips.setRequest(index, direction != nil)
            channels[index].requested = direction
            channels[index].isReady = direction.map { chips.answers(index, toMemory: $0 == .toMemory) } ?? false
        }
    }
}

let library = Library(
    "dma8237", version: "1.0", summary: "8237A DMA controllers of a PC/AT", needsMinor: 5,
    classes: [DMA8237Plugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
