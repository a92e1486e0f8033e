// The bench's ends of block/1.
// SAFETY: as in Peers.swift; a request's buffer is its client's until it is completed or cancelled, as plugin.h says.

import PluginKit

/// What a class's block slots are wired to: disks in RAM, whose requests wait until the bench completes them.
final class DiskEnds: Instance {
    static let definition = ClassDefinition.backend(
        "bench-disks", summary: "disks in RAM", properties: boardProperties,
        provides: [Provides("block/1", count: peerCount, mayCycle: true, doc: "a disk")],
        make: { (host, values) in DiskEnds(host, findBoard(values)) })

    private let board: Board
    private var clients: [Int: BlockClient] = [:]
    private var pending: [(disk: Int, request: BlockRequest)] = []

    init(_ host: Host, _ board: Board) {
        self.board = board
        super.init(host)
        board.diskPeers = self
    }

    var pendingCount: Int { pending.count }

    override func blockClient(_ index: UInt32, is client: BlockClient) { clients[Int(index)] = client }

    override func blockInfo(_ index: UInt32) -> bp_block_info? {
        var info = bp_block_info()
        info.sector_size = 512
        info.sectors = UInt64(BoardState.sectors)
        return info
    }

    override func blockSubmitted(_ index: UInt32, _ request: BlockRequest) {
        board.checkDepth()
        let what = UInt64(request.operation.rawValue) << 62 | (request.count & 0x3fff_ffff) << 32
        board.record(.request, Int(index), what | request.sector & 0xffff_ffff)
        pending.append((Int(index), request))
        if board.mayCallBack() { _ = complete(well: true) }
    }

    override func blockCancelAll(_ index: UInt32) {
        board.checkDepth()
        board.record(.cancel, Int(index), 0)
        pending.removeAll { $0.disk == Int(index) }
    }

    /// Ends the oldest request; false: none waits.
    func complete(well: Bool) -> Bool {
        guard !pending.isEmpty else { return false }
        let (disk, request) = pending.removeFirst()
        let status = well ? transfer(disk, request) : .ioError
        clients[disk]?.complete(tag: request.tag, status)
        return true
    }

    private func transfer(_ disk: Int, _ request: BlockRequest) -> Status {
        guard request.operation == .read || request.operation == .write else {
            return request.operation == .flush ? .ok : .unsupported
        }
        let sectors = UInt64(BoardState.sectors)
        guard request.sector <= sectors, request.count <= sectors - request.sector, let data = request.data else {
            return .outOfRange
        }
        let (start, count) = (Int(request.sector) * 512, Int(request.count) * 512)
        if request.operation == .read {
            board.state.disks[disk].withUnsafeBytes {
                if count > 0 { data.copyMemory(from: $0.baseAddress.unsafelyUnwrapped + start, byteCount: count) }
            }
        } else {
            board.state.disks[disk].replaceSubrange(
                start..<start + count, with: UnsafeRawBufferPointer(start: data, count: count))
        }
        return .ok
    }
}

/// A client of a class that provides block/1: one request at a time.
final class BlockClientEnd: Instance {
    static let definition = ClassDefinition.device(
        "bench-block-client", summary: "uses a block device", properties: boardProperties,
        slots: [Slot("block", "block/1", doc: "the class under test")],
        make: { (host, values) in BlockClientEnd(host, findBoard(values), Int(values.unsigned("index"))) })

    private let board: Board
    private let index: Int
    private var disk = BlockPeer.unwired
    private var tag: UInt64 = 0
    private(set) var isWaiting = false
    private var lastKind = BlockKind.flush
    /// SAFETY: allocated once, freed in deinit, when the class under test can touch it no more.
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 4096)

    init(_ host: Host, _ board: Board, _ index: Int) {
        self.board = board
        self.index = index
        super.init(host)
        board.blockClients[index] = self
    }

    deinit { buffer.deallocate() }

    override func connect() throws(PluginError) { disk = try host.block("block") }

    /// nil: no medium, or one whose requests do not fit the bench's buffer.
    var info: (sectorSize: UInt64, sectors: UInt64)? {
        guard let info = disk.info, info.sector_size >= 512, Int(info.sector_size) <= buffer.count else { return nil }
        return (UInt64(info.sector_size), info.sectors)
    }

    /// `count` is cut to what fits the buffer. The sector may lie beyond the end: the class has to say so.
    func submit(_ kind: BlockKind, sector: UInt64, count: UInt64, pattern: UInt8) {
        guard let info, !isWaiting else { return }
        let fitting = min(count, UInt64(buffer.count) / info.sectorSize)
        for offset in 0..<Int(fitting * info.sectorSize) {
            buffer[offset] = pattern &+ UInt8(truncatingIfNeeded: offset &+ offset >> 9)
        }
        tag &+= 1
        isWaiting = true
        lastKind = kind
        disk.submit(
            BlockOperation(rawValue: kind.rawValue) ?? .flush, sector: sector, count: kind == .flush ? 0 : fitting,
            data: kind == .flush ? nil : buffer.baseAddress, tag: tag)
    }

    override func blockCompleted(slot: Int, tag: UInt64, _ status: Status) {
        board.checkDepth()
        guard isWaiting, tag == self.tag else {
            return board.violate("it completed a request that it did not have, or one twice (tag \(tag))")
        }
        isWaiting = false
        board.record(.completion, index, UInt64(UInt32(bitPattern: status.rawValue)))
        if lastKind != .flush, board.mayCallBack() { submit(.flush, sector: 0, count: 0, pattern: 0) }
    }

    func contents(_ count: UInt64) -> [UInt8] { Array(buffer.prefix(Int(min(count, UInt64(buffer.count))))) }

    func cancel() {
        disk.cancelAll()
        isWaiting = false
    }
}
