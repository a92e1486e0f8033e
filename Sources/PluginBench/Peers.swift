// The bench's own ends of wires, as instances of a built-in library: made with PluginKit, so that they meet the plugin
// under test exactly as another plugin would.
// SAFETY: the property `board` is the address of the Board of the same machine, which outlives its instances.

import PluginKit

/// Finds the board.
func findBoard(_ values: Values) -> Board {
    // SAFETY: see above.
    Unmanaged<Board>.fromOpaque(UnsafeRawPointer(bitPattern: UInt(values.unsigned("board"))).unsafelyUnwrapped)
        .takeUnretainedValue()
}

var boardProperties: [Property] {
    [
        Property("board", .unsigned, required: true, doc: "where the bench is"),
        Property("index", .unsigned, default: "0", doc: "position among its like"),
    ]
}

/// Ends of each interface that a machine of the bench can have.
let peerCount: UInt32 = 64

/// The other end of interrupt lines: records levels.
final class LineEnds: Instance {
    static let definition = ClassDefinition.device(
        "bench-lines", summary: "records interrupt lines", properties: boardProperties,
        provides: [Provides("irq-line/1", count: peerCount, shared: true, mayCycle: true, doc: "recorded")],
        make: { (host, values) in LineEnds(host, findBoard(values)) })

    private let board: Board

    init(_ host: Host, _ board: Board) {
        self.board = board
        super.init(host)
    }

    override func lineChanged(_ index: UInt32, to level: Bool) {
        board.checkDepth()
        board.record(.line, Int(index), level ? 1 : 0)
        // Any callback into the plugin will do: the stream's is one.
        board.streamPeers?.callBack(from: Int(index))
    }
}

/// Drives the interrupt inputs of a class that provides irq-line/1.
final class LineDriver: Instance {
    static let definition = ClassDefinition.device(
        "bench-driver", summary: "drives interrupt lines", properties: boardProperties,
        slots: [Slot("lines", "irq-line/1", optional: true, many: true, doc: "what it drives")],
        make: { (host, values) in LineDriver(host, findBoard(values)) })

    private var lines: [Line] = []
    private let board: Board

    init(_ host: Host, _ board: Board) {
        self.board = board
        super.init(host)
        board.driver = self
    }

    override func connect() throws(PluginError) {
        for position in board.state.lines.indices { lines.append(try host.line("lines", position: UInt32(position))) }
    }

    func set(_ index: Int, _ level: Bool) {
        if lines.indices.contains(index) { lines[index].set(level) }
    }
}

/// What a class's stream slots are wired to: records what is written.
final class StreamEnds: Instance {
    static let definition = ClassDefinition.backend(
        "bench-streams", summary: "records streams", properties: boardProperties,
        provides: [Provides("stream/1", count: peerCount, mayCycle: true, doc: "recorded")],
        make: { (host, values) in StreamEnds(host, findBoard(values)) })

    private let board: Board
    private var clients: [Int: StreamClient] = [:]

    init(_ host: Host, _ board: Board) {
        self.board = board
        super.init(host)
        board.streamPeers = self
    }

    override func streamClient(_ index: UInt32, is client: StreamClient) { clients[Int(index)] = client }

    override func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {
        board.checkDepth()
        for byte in bytes { board.record(.output, Int(index), UInt64(byte)) }
        callBack(from: Int(index), with: bytes)
    }

    override func streamReady(_ index: UInt32, room: UInt64) {
        board.checkDepth()
        guard board.state.streams.indices.contains(Int(index)) else { return }
        board.state.streams[Int(index)].room = room
        callBack(from: Int(index))
    }

    override func streamEventFromClient(_ index: UInt32, _ event: StreamEvent) {
        board.checkDepth()
        board.record(.event, Int(index), UInt64(event.rawValue))
        callBack(from: Int(index))
    }

    /// As many bytes as there is room for; answers how many.
    func send(_ index: Int, _ bytes: [UInt8]) -> Int {
        guard let client = clients[index] else { return 0 }
        let count = Int(min(board.state.streams[index].room, UInt64(bytes.count)))
        guard count > 0 else { return 0 }
        board.state.streams[index].room -= UInt64(count)
        bytes.withUnsafeBytes { client.receive(UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
        return count
    }

    func throttle(_ index: Int, _ on: Bool) { clients[index]?.throttle(on) }
    func event(_ index: Int, _ event: UInt32) { clients[index]?.event(StreamEvent(rawValue: event)) }

    /// The re-entrant peer: echoes, and throttles up and down again, before the plugin's call has returned.
    func callBack(from index: Int, with bytes: UnsafeRawBufferPointer? = nil) {
        guard let client = clients[index] ?? clients.first?.value, board.mayCallBack() else { return }
        if let bytes { _ = send(index, Array(bytes)) } else { _ = send(index, [0x55]) }
        client.throttle(true)
        client.throttle(board.state.streams.indices.contains(index) && board.state.streams[index].isThrottled)
        board.checkDepth()
    }
}

/// A client of a class that provides stream/1.
final class StreamClientEnd: Instance {
    static let definition = ClassDefinition.device(
        "bench-stream-client", summary: "records a stream from its client's side", properties: boardProperties,
        slots: [Slot("stream", "stream/1", doc: "the class under test")],
        make: { (host, values) in StreamClientEnd(host, findBoard(values), Int(values.unsigned("index"))) })

    private let board: Board
    private let index: Int
    private var stream = StreamPeer.unwired

    init(_ host: Host, _ board: Board, _ index: Int) {
        self.board = board
        self.index = index
        super.init(host)
        board.streamClients[index] = self
    }

    override func connect() throws(PluginError) { stream = try host.stream("stream") }

    /// Says what can be taken, as a client does at its start.
    override func start() throws(PluginError) {
        board.state.streams[index].room = 4096
        stream.ready(4096)
    }

    override func streamReceived(slot: Int, _ bytes: UnsafeRawBufferPointer) {
        board.checkDepth()
        for byte in bytes { board.record(.output, index, UInt64(byte)) }
        let room = board.state.streams[index].room
        if UInt64(bytes.count) > room {
            board.violate("it sent \(bytes.count) bytes where the client had granted room for \(room)")
        }
        board.state.streams[index].room = room - min(room, UInt64(bytes.count))
        if board.mayCallBack() {
            stream.write(bytes)
            ready(4096)
        }
    }

    override func streamThrottled(slot: Int, _ on: Bool) {
        board.checkDepth()
        board.record(.throttle, index, on ? 1 : 0)
        if board.mayCallBack() { ready(4096) }
    }

    override func streamEvent(slot: Int, _ event: StreamEvent) {
        board.checkDepth()
        board.record(.event, index, UInt64(event.rawValue))
        if board.mayCallBack() { ready(4096) }
    }

    func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { stream.write($0) } }
    func event(_ event: UInt32) { stream.event(StreamEvent(rawValue: event)) }
    func ready(_ room: Int) {
        board.state.streams[index].room = UInt64(room)
        stream.ready(room)
    }
}

private let peerLibrary = Library(
    "bench-peers", version: "1.0", summary: "the other ends of what the bench tests",
    classes: [
        LineEnds.definition, LineDriver.definition, StreamEnds.definition, StreamClientEnd.definition,
        DiskEnds.definition, BlockClientEnd.definition, NetEnds.definition, NetClientEnd.definition,
    ])

/// The descriptor of the built-in library.
func peerDescriptor() -> UnsafePointer<bp_plugin> {
    peerLibrary.descriptor(hostMajor: UInt32(BP_ABI_MAJOR), hostMinor: UInt32(BP_ABI_MINOR)).unsafelyUnwrapped
}
