/// What the bench's peers see and hold, apart from the wires themselves: plain data, so that a snapshot copies it.
struct BoardState {
    /// One end of a stream.
    struct Stream {
        /// Bytes that the plugin can take.
        var room: UInt64 = 0
        /// The plugin has been told to write no more.
        var isThrottled = false
        /// The plugin has been told that somebody is at this end.
        var isOpen = false
    }

    /// One end of a network.
    struct Net {
        /// Frames that the plugin can take; of what it provides: that its client can.
        var room: UInt64 = 0
        /// The plugin has been told that its link is up.
        var isUp = false
    }

    var streams: [Stream]
    var nets: [Net]
    /// The contents of the bench's disks: 512-byte sectors.
    var disks: [[UInt8]]
    /// What the bench drives on each of the plugin's interrupt inputs.
    var lines: [Bool]
    /// The latest call of each function that sets a level which is not 0, by what it is the level of.
    var levels: [String: Operation] = [:]

    /// Of a floppy of 320K, so that floppy controllers take them too.
    static let sectors = 640

    init(streams: Int, nets: Int, disks: Int, lines: Int) {
        self.streams = Array(repeating: Stream(), count: streams)
        self.nets = Array(repeating: Net(), count: nets)
        self.lines = Array(repeating: false, count: lines)
        self.disks = Array(repeating: BoardState.sample, count: disks)
    }

    /// What a disk holds at first. Made once: it was a tenth of the bench's time.
    private static let sample = (0..<BoardState.sectors * 512).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
}

/// How the bench's peers behave.
enum PeerMode {
    /// They answer when the bench says so.
    case patient
    /// They call back inside every call that they get, as far as the interfaces allow.
    case reentrant
}

/// Where the peers of one machine meet the bench. Used with the machine's lock held, or from the bench's thread alone.
final class Board {
    var state: BoardState
    var mode = PeerMode.patient
    private(set) var effects: [Effect] = []
    /// Broken promises of the plugin, and messages of the core about it.
    var violations: [String] = []
    /// Call-backs since the last operation, and the most that are made: a plugin that echoes has done nothing wrong.
    private var callbacks = 0
    private static let callbackLimit = 64
    var clock: () -> UInt64 = { 0 }
    var depth: () -> Int = { 0 }

    // The peers, by position; they live as long as their machine.
    var streamPeers: StreamEnds?
    var streamClients: [Int: StreamClientEnd] = [:]
    var diskPeers: DiskEnds?
    var blockClients: [Int: BlockClientEnd] = [:]
    var driver: LineDriver?
    var netPeers: NetEnds?
    var netClients: [Int: NetClientEnd] = [:]
    /// By `CustomEnd.key`.
    var customEnds: [Int: CustomEnd] = [:]

    init(_ state: BoardState) { self.state = state }

    func record(_ kind: Effect.Kind, _ index: Int, _ value: UInt64) {
        effects.append(Effect(kind: kind, index: UInt32(truncatingIfNeeded: index), value: value, time: clock()))
    }

    func takeEffects() -> [Effect] {
        callbacks = 0
        guard !effects.isEmpty else { return [] }
        let taken = effects
        effects = []
        return taken
    }

    /// Whether a peer may call back now.
    func mayCallBack() -> Bool {
        guard mode == .reentrant, callbacks < Board.callbackLimit else { return false }
        callbacks += 1
        return true
    }

    /// The plugin is on the stack: what comes back to it has to wait.
    func checkDepth() {
        if depth() > 1 { violate("the instance was entered again while it was on the call stack") }
    }

    func violate(_ sentence: String) {
        if violations.count < 20, !violations.contains(sentence) { violations.append(sentence) }
    }
}
