// The other ends of an instance's wires. From start on their functions may be called, on the machine's side only.

/// What a "stream/1" slot is wired to: a terminal, a socket... Does nothing where it is not wired.
public struct StreamPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_stream>? { peer.functions?.assumingMemoryBound(to: bp_stream.self) }

    public static let unwired = StreamPeer(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    /// Takes all; `Instance.streamThrottled` says when it is enough.
    public func write(_ bytes: UnsafeRawBufferPointer) {
        table?.pointee.write(peer.`self`, peer.index, bytes.baseAddress, UInt64(bytes.count))
    }
    public func write(_ byte: UInt8) { withUnsafeBytes(of: byte) { write($0) } }
    /// The instance can now take `room` bytes in all.
    public func ready(_ room: Int) { table?.pointee.ready(peer.`self`, peer.index, UInt64(clamping: room)) }
    public func event(_ event: StreamEvent) { table?.pointee.event(peer.`self`, peer.index, event.rawValue) }
}

/// What a provider of "stream/1" sees of its client: a UART...
public struct StreamClient: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_stream_client>? {
        peer.functions?.assumingMemoryBound(to: bp_stream_client.self)
    }

    public var isWired: Bool { peer.functions != nil }
    /// Never more bytes than the client's last `ready` gave room for, less what was sent since.
    public func receive(_ bytes: UnsafeRawBufferPointer) {
        table?.pointee.receive(peer.`self`, peer.index, bytes.baseAddress, UInt64(bytes.count))
    }
    public func throttle(_ on: Bool) { table?.pointee.throttle(peer.`self`, peer.index, on ? 1 : 0) }
    public func event(_ event: StreamEvent) { table?.pointee.event(peer.`self`, peer.index, event.rawValue) }
    /// In character cells. A client, or a host, from before ABI 1.9 does not hear of it.
    public func window(columns: Int, rows: Int) {
        guard let table, table.has(\.window) else { return }
        table.pointee.window(peer.`self`, peer.index, UInt32(clamping: columns), UInt32(clamping: rows))
    }
}

public struct StreamEvent: RawRepresentable, Equatable, Sendable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public static var breakBegin: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_BREAK)) }
    @inlinable public static var breakEnd: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_BREAK_END)) }
    /// Somebody is at the other end: carrier.
    @inlinable public static var open: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_OPEN)) }
    @inlinable public static var closed: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_CLOSED)) }
    @inlinable public static var dtrOn: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_DTR_ON)) }
    @inlinable public static var dtrOff: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_DTR_OFF)) }
    @inlinable public static var rtsOn: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_RTS_ON)) }
    @inlinable public static var rtsOff: StreamEvent { StreamEvent(rawValue: UInt32(BP_STREAM_RTS_OFF)) }
}

/// What a "block/1" slot is wired to.
public struct BlockPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_block>? { peer.functions?.assumingMemoryBound(to: bp_block.self) }

    public static let unwired = BlockPeer(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    public var info: bp_block_info? {
        var info = bp_block_info()
        info.size = UInt32(MemoryLayout<bp_block_info>.size)
        guard let table, table.pointee.info(peer.`self`, peer.index, &info) == 0 else { return nil }
        return info
    }
    /// One completion comes by `Instance.blockCompleted`, never inside this call. `data` is not touched until then.
    public func submit(
        _ operation: BlockOperation, sector: UInt64, count: UInt64, data: UnsafeMutableRawPointer?, tag: UInt64
    ) {
        var request = bp_block_request()
        request.size = UInt32(MemoryLayout<bp_block_request>.size)
        request.operation = operation.rawValue
        request.sector = sector
        request.count = count
        request.data = data
        request.tag = tag
        table?.pointee.submit(peer.`self`, peer.index, &request)
    }
    /// When it returns, no buffer is touched any more, and no completion of an earlier submit comes. False: that is not so, since the medium is on
    /// the call stack; the completions come as ever.
    @discardableResult
    public func cancelAll() -> Bool { table.map { $0.pointee.cancel_all(peer.`self`, peer.index) == 0 } ?? true }
    /// Puts the medium of a file in the place of this one; `info` tells of it. Only with nothing submitted. Where it fails the medium stays;
    /// `.unsupported`: it is a fixed one, or the host is older than ABI 1.8.
    public func insert(_ path: String, isReadOnly: Bool) -> Status {
        guard let table, table.has(\.insert) else { return .unsupported }
        var path = path
        return path.withUTF8 {
            Status(
                rawValue: table.pointee.insert(
                    peer.`self`, peer.index, $0.baseAddress, UInt64($0.count),
                    isReadOnly ? UInt32(BP_BLOCK_READ_ONLY) : 0))
        }
    }
}

public enum BlockOperation: UInt32, Sendable {
    case read = 0, write, flush
    /// Where the medium's info says that it knows them: see `BlockOperations`.
    case discard, writeZeroes
}

/// What a medium knows beside reading, writing and flushing ("block/1" of minor 6).
public struct BlockOperations: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let discard = Self(rawValue: 1 << UInt32(BP_BLOCK_DISCARD))
    public static let writeZeroes = Self(rawValue: 1 << UInt32(BP_BLOCK_WRITE_ZEROES))
}

extension bp_block_info {
    public var known: BlockOperations {
        get { BlockOperations(rawValue: operations) }
        set { operations = newValue.rawValue }
    }
}

/// What a provider of "block/1" sees of its client.
public struct BlockClient: @unchecked Sendable {
    let peer: bp_peer

    public var isWired: Bool { peer.functions != nil }
    public func complete(tag: UInt64, _ status: Status) {
        let table = peer.functions?.assumingMemoryBound(to: bp_block_client.self)
        table?.pointee.complete(peer.`self`, peer.index, tag, UInt32(bitPattern: status.rawValue))
    }
    /// A client, or a host, from before ABI 1.9 does not hear of it.
    public func resized(sectors: UInt64) {
        guard let table = peer.functions?.assumingMemoryBound(to: bp_block_client.self), table.has(\.resized) else {
            return
        }
        table.pointee.resized(peer.`self`, peer.index, sectors)
    }
}

/// A request as a provider of "block/1" gets it; `data` stays valid until its completion or `blockCancelAll`.
public struct BlockRequest: @unchecked Sendable {
    public let operation: BlockOperation
    /// In sectors.
    public let sector: UInt64
    public let count: UInt64
    public let data: UnsafeMutableRawPointer?
    public let tag: UInt64
}

/// What an "irq-controller/1" slot is wired to: the PIC behind a local APIC's LINT0, the local APICs that an I/O APIC sends to.
public struct ControllerPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_irq_controller>? {
        peer.functions?.assumingMemoryBound(to: bp_irq_controller.self)
    }

    public static let unwired = ControllerPeer(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    /// The INTA cycle: the vector; nil where it is not wired.
    public func acknowledge(vcpu: UInt32 = 0) -> UInt8? {
        table.map { UInt8(truncatingIfNeeded: $0.pointee.acknowledge(peer.`self`, peer.index, vcpu)) }
    }
    /// A message signalled interrupt. Nothing with hosts and controllers older than ABI 1.4.
    public func message(address: UInt64, data: UInt64, requester: UInt64 = 0) {
        guard let table, table.has(\.message) else { return }
        table.pointee.message(peer.`self`, peer.index, address, data, requester)
    }
}

/// What a provider of "irq-controller/1" sees of an instance that is wired to it. (Its output goes there by `InterruptOutput.set`.)
public struct ControllerClient: @unchecked Sendable {
    let peer: bp_peer

    /// A level-triggered interrupt of this vector has ended.
    public func ended(vector: UInt8, vcpu: UInt32 = 0) {
        let table = peer.functions?.assumingMemoryBound(to: bp_irq_controller_client.self)
        table?.pointee.eoi(peer.`self`, peer.index, vcpu, UInt32(vector))
    }
}

/// The bus that a "pci/1" slot is wired to.
public struct PCIBusPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_pci>? { peer.functions?.assumingMemoryBound(to: bp_pci.self) }

    public static let unwired = PCIBusPeer(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    /// INTA# to INTD# are pins 1 to 4; asserted is true.
    public func setINTx(_ pin: UInt8, _ level: Bool) {
        table?.pointee.intx(peer.`self`, peer.index, UInt32(pin), level ? 1 : 0)
    }
    /// bus << 8 | device << 3 | function, as the guest has numbered the buses now.
    public var location: UInt16 {
        table.map { UInt16(truncatingIfNeeded: $0.pointee.location(peer.`self`, peer.index)) } ?? 0
    }
}

/// A function by the number of its bus, as the guest has numbered them.
public struct PCIPlace: Equatable, Sendable {
    public var bus: UInt8
    /// device << 3 | function
    public var index: UInt8

    public init(bus: UInt8, index: UInt8) { (self.bus, self.index) = (bus, index) }

    /// As ECAM has it, marked as one behind a bridge.
    fileprivate func offset(_ offset: UInt16) -> UInt32 {
        BP_PCI_BEHIND | UInt32(bus) << 20 | UInt32(index) << 12 | UInt32(offset & 0xfff)
    }

    init(behind offset: UInt32) {
        self.init(bus: UInt8(truncatingIfNeeded: offset >> 20), index: UInt8(truncatingIfNeeded: offset >> 12))
    }
}

/// A function on the bus that an instance provides ("pci/1").
public struct PCIFunctionClient: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_pci_client>? { peer.functions?.assumingMemoryBound(to: bp_pci_client.self) }

    /// Configuration space; nil: the function is busy or broken, and reads as ones.
    public func configRead(_ offset: UInt16, width: UInt8, isPeek: Bool = false) -> UInt32? {
        var value: UInt32 = 0
        let flags = isPeek ? UInt32(BP_PCI_PEEK) : 0
        guard let table,
            table.pointee.config_read(peer.`self`, peer.index, UInt32(offset), UInt32(width), flags, &value) == 0
        else { return nil }
        return value
    }
    /// False: the function is busy or broken, and the write is lost.
    @discardableResult
    public func configWrite(_ offset: UInt16, width: UInt8, _ value: UInt32) -> Bool {
        guard let table else { return false }
        return table.pointee.config_write(peer.`self`, peer.index, UInt32(offset), UInt32(width), value) == 0
    }
    /// The same for a bus behind this function, which is a bridge.
    public func configRead(_ place: PCIPlace, _ offset: UInt16, width: UInt8, isPeek: Bool = false) -> UInt32? {
        var value: UInt32 = 0
        let flags = isPeek ? UInt32(BP_PCI_PEEK) : 0
        guard let table,
            table.pointee.config_read(peer.`self`, peer.index, place.offset(offset), UInt32(width), flags, &value) == 0
        else { return nil }
        return value
    }
    @discardableResult
    public func configWrite(_ place: PCIPlace, _ offset: UInt16, width: UInt8, _ value: UInt32) -> Bool {
        guard let table else { return false }
        return table.pointee.config_write(peer.`self`, peer.index, place.offset(offset), UInt32(width), value) == 0
    }
    public func busReset() { table?.pointee.bus_reset(peer.`self`, peer.index) }
}

/// A file that a provider of "tables/1" makes: its name as fw_cfg has it (up to 55 bytes), and its bytes.
public struct MadeFile: Equatable, Sendable {
    public var name: String
    public var bytes: [UInt8]
    public init(name: String, bytes: [UInt8]) { (self.name, self.bytes) = (name, bytes) }
}

/// What a client of "tables/1" is told of a file.
public struct TableDescription: Equatable, Sendable {
    /// By which its maker knows it.
    public var number: Int
    public var name: String
    public var length: UInt64
    public init(number: Int, name: String, length: UInt64) {
        (self.number, self.name, self.length) = (number, name, length)
    }
}

/// What a "tables/1" slot is wired to: a maker of tables for the guest. From reset on.
public struct TablesPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_tables>? { peer.functions?.assumingMemoryBound(to: bp_tables.self) }

    public var files: [TableDescription] {
        guard let table else { return [] }
        return (0..<table.pointee.count(peer.`self`, peer.index)).compactMap { number in
            var file = bp_table_file()
            file.size = UInt32(MemoryLayout<bp_table_file>.size)
            guard table.pointee.describe(peer.`self`, peer.index, number, &file) == 0 else { return nil }
            return TableDescription(number: Int(number), name: text(of: file.name), length: file.length)
        }
    }
    /// nil: there is no such file, or it is longer than 16 MiB.
    public func contents(_ number: Int, length: UInt64) -> [UInt8]? {
        guard let table, let number = UInt32(exactly: number), length <= 16 << 20 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(length))
        let status = bytes.withUnsafeMutableBytes {
            table.pointee.read(peer.`self`, peer.index, number, 0, $0.baseAddress, length)
        }
        return status == 0 ? bytes : nil
    }
}

/// A text of fixed room in a C struct.
func text<T: BitwiseCopyable>(of room: T) -> String {
    withUnsafeBytes(of: room) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

/// What a "net/1" slot is wired to: a network. Frames are Ethernet's, without FCS.
public struct NetPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_net>? { peer.functions?.assumingMemoryBound(to: bp_net.self) }

    public static let unwired = NetPeer(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    /// The provider copies it.
    public func send(_ frame: UnsafeRawBufferPointer) {
        table?.pointee.send(peer.`self`, peer.index, frame.baseAddress, UInt64(frame.count))
    }
    /// The instance now has room for `frames` in all; they come by `Instance.netReceived`.
    public func ready(_ frames: Int) { table?.pointee.ready(peer.`self`, peer.index, UInt64(clamping: frames)) }
}

/// What a provider of "net/1" sees of its client: a network card.
public struct NetClient: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_net_client>? {
        peer.functions?.assumingMemoryBound(to: bp_net_client.self)
    }

    public var isWired: Bool { peer.functions != nil }
    /// Never more frames than the client's last `ready` gave room for, less what was sent since.
    public func receive(_ frame: UnsafeRawBufferPointer) {
        table?.pointee.receive(peer.`self`, peer.index, frame.baseAddress, UInt64(frame.count))
    }
    /// The cable is plugged in, or not.
    public func link(_ isUp: Bool) { table?.pointee.link(peer.`self`, peer.index, isUp ? 1 : 0) }
}

public enum DMADirection: UInt32, Sendable { case toMemory = 1, fromMemory }

/// What a "dma-channel/1" slot is wired to: a channel of a DMA controller or bus master.
public struct DMAChannelPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_dma_channel>? { peer.functions?.assumingMemoryBound(to: bp_dma_channel.self) }

    /// Bytes of one `write` or `read`.
    public static let most = Int(BP_DMA_MOST)
    public static let unwired = DMAChannelPeer(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    /// What the device wants to move; nil: nothing any more. `Instance.dmaReady` says when the channel runs.
    public func request(_ direction: DMADirection?) {
        table?.pointee.request(peer.`self`, peer.index, direction?.rawValue ?? UInt32(BP_DMA_NONE))
    }
    /// While the channel is ready: bytes for memory. `Instance.dmaMoved` answers.
    public func write(_ bytes: UnsafeRawBufferPointer) {
        table?.pointee.write(peer.`self`, peer.index, bytes.baseAddress, UInt64(bytes.count))
    }
    /// While the channel is ready: asks for bytes from memory. `Instance.dmaRead` answers.
    public func read(_ count: Int) { table?.pointee.read(peer.`self`, peer.index, UInt64(clamping: count)) }
    /// The device's interrupt line, for bus masters whose status tells of it.
    public func setInterrupt(_ level: Bool) { table?.pointee.interrupt(peer.`self`, peer.index, level ? 1 : 0) }
}

/// What a provider of "dma-channel/1" sees of its client: the device.
public struct DMAChannelClient: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_dma_channel_client>? {
        peer.functions?.assumingMemoryBound(to: bp_dma_channel_client.self)
    }

    /// The channel runs in the direction of the request, or does not any more.
    public func ready(_ isReady: Bool) { table?.pointee.ready(peer.`self`, peer.index, isReady ? 1 : 0) }
    /// Answers a write. After `ready(false)` where these are fewer than all.
    public func moved(_ count: Int) { table?.pointee.moved(peer.`self`, peer.index, UInt64(clamping: count)) }
    /// Answers a read. After `ready(false)` where these are fewer than all.
    public func data(_ bytes: UnsafeRawBufferPointer) {
        table?.pointee.data(peer.`self`, peer.index, bytes.baseAddress, UInt64(bytes.count))
    }
}

extension Host {
    /// The other end of a slot, nil where it is not wired. For interfaces of a plugin's own; see `stream`, `block` and `net`.
    public func peer(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> bp_peer? {
        let table = try required("wiring/1", as: bp_wiring_1.self)
        var peer = bp_peer()
        peer.size = UInt32(MemoryLayout<bp_peer>.size)
        let status = Status(rawValue: table.pointee.peer(raw, slot.cString, position, &peer))
        if status == .notFound { return nil }
        try status.check("fetching the other end of " + slot.description)
        return peer
    }

    public func stream(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> StreamPeer {
        if let peer = try peer(slot, position: position) { StreamPeer(peer: peer) } else { .unwired }
    }

    public func block(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> BlockPeer {
        if let peer = try peer(slot, position: position) { BlockPeer(peer: peer) } else { .unwired }
    }

    public func controller(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> ControllerPeer {
        if let peer = try peer(slot, position: position) { ControllerPeer(peer: peer) } else { .unwired }
    }

    public func pciBus(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> PCIBusPeer {
        if let peer = try peer(slot, position: position) { PCIBusPeer(peer: peer) } else { .unwired }
    }

    /// How many wires a slot has that takes many.
    public func wireCount(_ slot: StaticString) throws(PluginError) -> Int {
        Int(try required("wiring/1", as: bp_wiring_1.self).pointee.count(raw, slot.cString))
    }

    /// nil where it is not wired.
    public func tables(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> TablesPeer? {
        try peer(slot, position: position).map(TablesPeer.init)
    }

    public func net(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> NetPeer {
        if let peer = try peer(slot, position: position) { NetPeer(peer: peer) } else { .unwired }
    }

    public func dmaChannel(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> DMAChannelPeer {
        if let peer = try peer(slot, position: position) { DMAChannelPeer(peer: peer) } else { .unwired }
    }
}
