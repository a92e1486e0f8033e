// The bench's ends of net/1.
// SAFETY: as in Peers.swift.

import PluginKit

/// What a class's net slots are wired to: records the frames that come.
final class NetEnds: Instance {
    static let definition = ClassDefinition.backend(
        "bench-nets", summary: "records frames", properties: boardProperties,
        provides: [Provides("net/1", count: peerCount, mayCycle: true, doc: "recorded")],
        make: { (host, values) in NetEnds(host, findBoard(values)) })

    private let board: Board
    private var clients: [Int: NetClient] = [:]

    init(_ host: Host, _ board: Board) {
        self.board = board
        super.init(host)
        board.netPeers = self
    }

    override func netClient(_ index: UInt32, is client: NetClient) { clients[Int(index)] = client }

    override func netSent(_ index: UInt32, _ frame: UnsafeRawBufferPointer) {
        board.checkDepth()
        board.record(.frame, Int(index), frameValue(frame))
        // An echo, and the cable out and in again.
        if board.mayCallBack(), let client = clients[Int(index)] {
            _ = send(Int(index), Array(frame))
            client.link(false)
            client.link(board.state.nets[Int(index)].isUp)
            board.checkDepth()
        }
    }

    override func netReady(_ index: UInt32, frames: UInt64) {
        board.checkDepth()
        guard board.state.nets.indices.contains(Int(index)) else { return }
        board.state.nets[Int(index)].room = frames
    }

    /// Where there is room for it; answers how many went.
    func send(_ index: Int, _ frame: [UInt8]) -> Int {
        guard let client = clients[index], board.state.nets[index].room > 0 else { return 0 }
        board.state.nets[index].room -= 1
        frame.withUnsafeBytes { client.receive($0) }
        return 1
    }

    func link(_ index: Int, _ isUp: Bool) { clients[index]?.link(isUp) }
}

/// A client of a class that provides net/1.
final class NetClientEnd: Instance {
    static let definition = ClassDefinition.device(
        "bench-net-client", summary: "records frames from a card's side", properties: boardProperties,
        slots: [Slot("net", "net/1", doc: "the class under test")],
        make: { (host, values) in NetClientEnd(host, findBoard(values), Int(values.unsigned("index"))) })

    static let room: UInt64 = 16
    private let board: Board
    private let index: Int
    private var net = NetPeer.unwired

    init(_ host: Host, _ board: Board, _ index: Int) {
        self.board = board
        self.index = index
        super.init(host)
        board.netClients[index] = self
    }

    override func connect() throws(PluginError) { net = try host.net("net") }

    override func start() throws(PluginError) { ready(NetClientEnd.room) }

    override func netReceived(slot: Int, _ frame: UnsafeRawBufferPointer) {
        board.checkDepth()
        board.record(.frame, index, frameValue(frame))
        if board.state.nets[index].room == 0 {
            board.violate("it sent a frame where the client had granted no room for one")
        } else {
            board.state.nets[index].room -= 1
        }
        if board.mayCallBack() {
            net.send(frame)
            ready(NetClientEnd.room)
        }
    }

    override func netLink(slot: Int, isUp: Bool) {
        board.checkDepth()
        board.record(.link, index, isUp ? 1 : 0)
        if board.mayCallBack() { ready(NetClientEnd.room) }
    }

    func send(_ frame: [UInt8]) { frame.withUnsafeBytes { net.send($0) } }

    func ready(_ frames: UInt64) {
        board.state.nets[index].room = frames
        net.ready(Int(clamping: frames))
    }
}

/// FNV-1a of the bytes in 47:0, their count above.
func frameValue(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    UInt64(truncatingIfNeeded: bytes.count) << 48 | fnv(bytes) & 0xffff_ffff_ffff
}

func fnv(_ bytes: some Sequence<UInt8>, _ start: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
    bytes.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
