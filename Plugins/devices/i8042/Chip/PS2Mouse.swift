/// The mouse at the controller's auxiliary port: three buttons, and by the sample rate knock a wheel (IntelliMouse) and
/// two more buttons (Explorer).
///
/// Departures: movement beyond a packet's range goes into the next one, so that the overflow bits are never set.
/// Movements that have not been sent yet are added up; changes of buttons are queued, up to 16. What does not fit is
/// dropped, but never a release.
public struct PS2Mouse: Sendable {
    static let capacity = 16
    /// Counts that are kept between packets.
    static let farthest: Int32 = 1 << 20

    public enum Command: UInt8, Sendable {
        case setResolution = 0xE8
        case setSampleRate = 0xF3
    }

    /// The device ID.
    public enum Kind: UInt8, Sendable { case standard = 0, wheel = 3, explorer = 4 }

    /// A movement and the buttons after it. Y is up and Z towards the user, as the packets have them.
    public struct Report: Equatable, Sendable {
        public var x: Int32 = 0
        public var y: Int32 = 0
        public var z: Int32 = 0
        public var buttons: UInt8 = 0

        var moves: Bool { x != 0 || y != 0 || z != 0 }

        public init(buttons: UInt8 = 0) { self.buttons = buttons }
    }

    public struct State: Equatable, Sendable {
        public var kind: Kind = .standard
        public var reporting = false
        public var isRemote = false
        public var isWrapping = false
        public var doubleScale = false
        /// 1, 2, 4 or 8 counts a millimetre by code 0...3.
        public var resolution: UInt8 = 2
        /// Packets a second.
        public var sampleRate: UInt8 = 100
        /// The last two sample rates: the knock.
        public var earlierRate: UInt8 = 0
        public var earliestRate: UInt8 = 0
        public var command: Command?
        public var replies: [UInt8] = []
        /// What is left of the packet that is being sent.
        public var packet: [UInt8] = []
        public var lastSent: UInt8 = 0
        public var reports: [Report] = []
        /// As the host last gave them, and as the guest was last told.
        public var buttons: UInt8 = 0
        public var toldButtons: UInt8 = 0
        /// When the next packet may begin, ns.
        public var nextPacket: UInt64 = 0

        public init() {}
    }

    public private(set) var state = State()

    public init() {}

    mutating func restore(_ saved: State) -> Bool {
        guard Self.rates.contains(saved.sampleRate), saved.resolution < 4, saved.replies.count <= 8,
            saved.packet.count <= 4, saved.reports.count <= Self.capacity, saved.buttons < 0x20,
            saved.toldButtons < 0x20,
            saved.reports.allSatisfy({ report in
                report.buttons < 0x20
                    && [report.x, report.y, report.z].allSatisfy { (-Self.farthest...Self.farthest).contains($0) }
            })
        else { return false }
        state = saved
        return true
    }

    private static let rates: [UInt8] = [10, 20, 40, 60, 80, 100, 200]

    // MARK: To the controller

    /// When it has a byte to send; nil: none.
    var readyAt: UInt64? {
        if !state.replies.isEmpty || !state.packet.isEmpty { return 0 }
        return streams && !state.reports.isEmpty ? state.nextPacket : nil
    }

    private var streams: Bool { state.reporting && !state.isRemote && !state.isWrapping }

    mutating func next(at now: UInt64) -> UInt8? {
        guard let ready = readyAt, ready <= now else { return nil }
        if !state.replies.isEmpty { return send(state.replies.removeFirst()) }
        if state.packet.isEmpty {
            state.packet = takePacket(scaled: state.doubleScale)
            state.nextPacket = I8042.add(now, 1_000_000_000 / UInt64(max(state.sampleRate, 10)))
        }
        return send(state.packet.removeFirst())
    }

    private mutating func send(_ byte: UInt8) -> UInt8 {
        if byte != 0xFE { state.lastSent = byte }
        return byte
    }

    /// A packet of what is queued first, less what goes beyond its range.
    private mutating func takePacket(scaled: Bool) -> [UInt8] {
        var report = state.reports.first ?? Report(buttons: state.buttons)
        let (x, y) = (Self.take(&report.x, 255), Self.take(&report.y, 255))
        let z = state.kind == .standard ? 0 : Self.take(&report.z, 7)
        if state.kind == .standard { report.z = 0 }
        if !state.reports.isEmpty {
            if report.moves { state.reports[0] = report } else { state.reports.removeFirst() }
        }
        state.toldButtons = report.buttons
        return encode(scaled ? Self.scale(x) : x, scaled ? Self.scale(y) : y, z, report.buttons)
    }

    private static func take(_ value: inout Int32, _ most: Int32) -> Int32 {
        let part = min(max(value, -most), most)
        value &-= part
        return part
    }

    /// Scaling 2:1 (command 0xE7).
    private static func scale(_ value: Int32) -> Int32 {
        let size = abs(value)
        let scaled: Int32 = [0, 1, 1, 3, 6, 9][safe: size] ?? min(size &* 2, 255)
        return value < 0 ? -scaled : scaled
    }

    private func encode(_ x: Int32, _ y: Int32, _ z: Int32, _ buttons: UInt8) -> [UInt8] {
        let first = 0x08 | (buttons & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)
        let packet = [first, UInt8(truncatingIfNeeded: x), UInt8(truncatingIfNeeded: y)]
        switch state.kind {
        case .standard: return packet
        case .wheel: return packet + [UInt8(truncatingIfNeeded: z)]
        case .explorer: return packet + [UInt8(truncatingIfNeeded: z) & 0xF | (buttons & 0x18) << 1]
        }
    }

    // MARK: From the controller

    mutating func receive(_ byte: UInt8, at now: UInt64) {
        state.replies = []
        state.packet = []
        if state.isWrapping, byte != 0xFF, byte != 0xEC {
            state.replies = [byte]
        } else if let command = state.command {
            state.command = nil
            argument(byte, of: command)
        } else {
            execute(byte)
        }
    }

    private mutating func execute(_ byte: UInt8) {
        state.replies = [0xFA]
        switch byte {
        case 0xE6: state.doubleScale = false
        case 0xE7: state.doubleScale = true
        case 0xE8, 0xF3: state.command = Command(rawValue: byte)
        case 0xE9: state.replies = [0xFA, status, state.resolution, state.sampleRate]
        case 0xEA: setMode { $0.isRemote = false }
        case 0xEB: state.replies = [0xFA] + takePacket(scaled: false)
        case 0xEC: setMode { $0.isWrapping = false }
        case 0xEE: setMode { $0.isWrapping = true }
        case 0xF0: setMode { $0.isRemote = true }
        case 0xF2: state.replies = [0xFA, state.kind.rawValue]
        case 0xF4: setMode { $0.reporting = true }
        case 0xF5: setMode { $0.reporting = false }
        case 0xF6: setDefaults()
        case 0xFE: state.replies = [state.lastSent]
        case 0xFF:
            setDefaults()
            state.kind = .standard
            (state.earlierRate, state.earliestRate) = (0, 0)
            state.replies = [0xFA, 0xAA, 0x00]
        default: state.replies = [0xFE]
        }
    }

    /// A change of mode forgets the movements.
    private mutating func setMode(_ change: (inout State) -> Void) {
        change(&state)
        state.reports = []
        state.toldButtons = state.buttons
    }

    private mutating func setDefaults() {
        setMode {
            ($0.reporting, $0.isRemote, $0.isWrapping, $0.doubleScale) = (false, false, false, false)
            ($0.resolution, $0.sampleRate) = (2, 100)
        }
    }

    /// The first byte of the answer to 0xE9.
    private var status: UInt8 {
        (state.isRemote ? 0x40 : 0) | (state.reporting ? 0x20 : 0) | (state.doubleScale ? 0x10 : 0)
            | (state.buttons & 1) << 2 | (state.buttons & 4) >> 1 | (state.buttons & 2) >> 1
    }

    private mutating func argument(_ byte: UInt8, of command: Command) {
        switch command {
        case .setResolution where byte < 4: state.resolution = byte
        case .setSampleRate where Self.rates.contains(byte): setSampleRate(byte)
        default:
            state.replies = [0xFE]
            return
        }
        state.replies = [0xFA]
    }

    /// The rates 200, 100, 80 make it an IntelliMouse, 200, 200, 80 an Explorer.
    private mutating func setSampleRate(_ rate: UInt8) {
        switch (state.earliestRate, state.earlierRate, rate) {
        case (200, 100, 80): state.kind = .wheel
        case (200, 200, 80): state.kind = .explorer
        default: break
        }
        state.earliestRate = state.earlierRate
        state.earlierRate = rate
        state.sampleRate = rate
    }

    // MARK: Host side

    mutating func move(x: Int32 = 0, y: Int32 = 0, wheel: Int32 = 0, buttons: UInt8? = nil, at now: UInt64) {
        let before = state.buttons
        let wanted = (buttons ?? before) & 0x1F
        state.buttons = wanted
        guard state.reporting, !state.isWrapping else { return }
        var report = Report(buttons: wanted)
        Self.add(x, to: &report.x)
        Self.add(0 &- max(y, -.max), to: &report.y)
        Self.add(0 &- max(wheel, -.max), to: &report.z)
        if state.isRemote { return merge(report) }
        let last = state.reports.last?.buttons ?? state.toldButtons
        if last == wanted || state.reports.count >= Self.capacity {
            guard report.moves || last != wanted else { return }
            if last != wanted { report.buttons = last & wanted }  // full: releases only
            state.buttons = report.buttons
            return merge(report)
        }
        state.reports.append(report)
    }

    /// Adds to the report that is queued last; with none it is the first.
    private mutating func merge(_ report: Report) {
        guard var last = state.reports.popLast() else { return state.reports = [report] }
        Self.add(report.x, to: &last.x)
        Self.add(report.y, to: &last.y)
        Self.add(report.z, to: &last.z)
        last.buttons = report.buttons
        state.reports.append(last)
    }

    private static func add(_ value: Int32, to sum: inout Int32) {
        let (total, overflow) = sum.addingReportingOverflow(value)
        let held = overflow ? (value < 0 ? -farthest : farthest) : total
        sum = min(max(held, -farthest), farthest)
    }
}

extension Array {
    /// Nil beyond the end.
    fileprivate subscript(safe index: Int32) -> Element? {
        index >= 0 && Int(index) < count ? self[Int(index)] : nil
    }
}
