/// Who uses the terminal, and what waits in both directions: the multiplexer without its descriptors and its thread.
struct ClientBoard {
    // MARK: Limits, in bytes

    /// A client is asked to hold back above the first and told to go on below the second.
    static let throttleAbove = 64 << 10
    static let resumeBelow = 16 << 10
    /// A client that goes on all the same loses what is beyond this.
    static let outputLimit = 1 << 20
    /// The last bytes of a client in the background.
    static let backlogLimit = 64 << 10
    /// Typed at a terminal while the client has no room.
    static let typedLimit = 256 << 10

    // MARK: State

    private struct Slot {
        let client: any TerminalClient
        var room: UInt64 = 0
        var typed = ByteQueue()
        var backlog = ByteQueue()
        var isBacklogCut = false
        var isThrottled = false
    }

    /// By index; a closed client's place is free for the next.
    private var slots: [Slot?] = []
    private(set) var foreground: Int?
    /// What was in the foreground before `toggle`.
    private weak var covered: (any TerminalClient)?
    /// The console that a guest had last, by its number.
    private var lastConsoles: [Int: Int] = [:]
    /// The output is no terminal: what a client wrote in the background comes out when it closes.
    var keepsAll = false
    /// Somebody else says which guest comes once the foreground's has gone.
    var isGuided = false
    private var output = ByteQueue()
    /// Where the output's end leaves the cursor.
    private var isMidLine = false
    /// What paints, and what is said over it.
    private var painting = PaintedWindow()
    /// Bytes of the output to the end of the sequence that leaves the painted window: the log waits until they are written. nil: they are.
    private var leaving: Int?
    /// Nobody can read any more: all output is dropped.
    private(set) var isOutputDead = false
    /// Bytes that clients wrote beyond `outputLimit`.
    private(set) var droppedOutput: UInt64 = 0
    /// The thread waits for one of these; then nobody needs to wake it.
    var isWatchingInput = false
    var isWatchingOutput = false
    /// The input is a regular file that has not been read to its end.
    var isInputSteady = false

    // MARK: Clients

    mutating func open(_ client: any TerminalClient) {
        let index = slots.firstIndex { $0 == nil } ?? slots.count
        if index == slots.count { slots.append(nil) }
        slots[index] = Slot(client: client)
        if foreground == nil, !isGuided {
            foreground = index
            if let guest = client.guest { lastConsoles[guest] = index }
            enterPainting()
        }
    }

    /// The next one comes to the foreground if it was there.
    mutating func close(_ client: any TerminalClient) {
        guard let index = index(of: client) else { return }
        if keepsAll, index != foreground { showLast(index) }
        slots[index] = nil
        if let guest = client.guest, lastConsoles[guest] == index { lastConsoles[guest] = nil }
        guard foreground == index else { return }
        leavePainting()
        foreground = nil
        let next = slots.firstIndex { $0 != nil && (!isGuided || $0?.client.guest == client.guest) }
        if let next { switchTo(next) }
    }

    private mutating func showLast(_ index: Int) {
        guard let slot = slots[index], !slot.backlog.isEmpty else { return }
        say(["backplane: " + slot.client.title])
        let shown = slot.backlog.front(slot.backlog.count)
        append(slot.isBacklogCut ? ClientBoard.fromLineStart(shown) : shown[...])
        if let client = foregroundClient { say(["backplane: " + client.title]) }
    }

    func index(of client: any TerminalClient) -> Int? {
        if let foreground, slots[foreground]?.client === client { return foreground }
        return slots.firstIndex { $0?.client === client }
    }

    mutating func inputEnded() {
        isInputSteady = false
        for slot in slots { slot?.client.inputEnded() }
    }

    var foregroundClient: (any TerminalClient)? { foreground.flatMap { slots[$0]?.client } }

    /// False: no client has this index.
    @discardableResult
    mutating func switchTo(_ index: Int) -> Bool {
        guard slots.indices.contains(index), let slot = slots[index] else { return false }
        if foreground == index { return true }
        leaveForeground()
        foreground = index
        if let guest = slot.client.guest { lastConsoles[guest] = index }
        if slot.client.isPainter {
            enterPainting()
            return true
        }
        say(["backplane: " + slot.client.title])
        let shown = slot.backlog.front(slot.backlog.count)
        slots[index]?.backlog = ByteQueue()
        slots[index]?.isBacklogCut = false
        append(slot.isBacklogCut ? ClientBoard.fromLineStart(shown) : shown[...])
        updateThrottle()
        return true
    }

    /// Brings a client to the foreground, or, where it is there, what it has covered. True: it is in the foreground now.
    mutating func toggle(_ client: any TerminalClient) -> Bool {
        guard let index = index(of: client) else { return false }
        if index == foreground {
            if let back = covered.flatMap({ self.index(of: $0) }) ?? firstOther(than: index) {
                switchTo(back)
            } else if isGuided {
                leaveForeground()
            }
            return foreground == index
        }
        covered = foregroundClient
        switchTo(index)
        return true
    }

    // MARK: Guests

    /// The consoles of a guest, or of all guests, in the order of the guests and of opening.
    func consoles(of guest: Int? = nil) -> [any TerminalClient] {
        let all = slots.compactMap { $0?.client }.filter { $0.guest != nil && (guest == nil || $0.guest == guest) }
        return all.enumerated().sorted { ($0.element.guest ?? 0, $0.offset) < ($1.element.guest ?? 0, $1.offset) }
            .map(\.element)
    }

    /// Brings a guest's console to the foreground: the one that it had last. What is no guest's (the monitor) stays there and covers it,
    /// unless `uncovers`. Where the guest has no console, nothing is in the foreground.
    mutating func show(guest: Int?, uncovers: Bool) {
        let own = guest.map { guest in consoles(of: guest) } ?? []
        if let foreground, let current = slots[foreground]?.client, current.guest == guest, guest != nil { return }
        let last = guest.flatMap { lastConsoles[$0] }.flatMap { slots.indices.contains($0) ? slots[$0]?.client : nil }
        let target = own.first { $0 === last } ?? own.first
        if !uncovers, let current = foregroundClient, current.guest == nil {
            covered = target
            return
        }
        if let target, let index = index(of: target) {
            switchTo(index)
        } else if guest != nil {
            leaveForeground()
        }
    }

    private mutating func leaveForeground() {
        leavePainting()
        if let old = foreground { setThrottle(old, false) }
        foreground = nil
    }

    /// The console after the one in the foreground; nil: there is no other.
    func nextConsole(after current: (any TerminalClient)?, of guest: Int? = nil) -> (any TerminalClient)? {
        let all = consoles(of: guest)
        guard let place = all.firstIndex(where: { $0 === current }) else { return all.first }
        return all.count > 1 ? all[(place + 1) % all.count] : nil
    }

    /// Where nobody says which: the first client that there is.
    private func firstOther(than index: Int) -> Int? {
        isGuided ? nil : slots.indices.first { $0 != index && slots[$0] != nil }
    }

    /// The guest's console that is shown, or is covered by the monitor.
    var currentConsole: (any TerminalClient)? { foregroundClient?.guest != nil ? foregroundClient : covered }

    /// The one that its guest shows next.
    mutating func remember(_ client: any TerminalClient) {
        if let guest = client.guest, let index = index(of: client) { lastConsoles[guest] = index }
    }

    /// What is left of a line that has lost its beginning is not shown.
    private static func fromLineStart(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        let start = bytes.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? bytes.count
        return start < bytes.count ? bytes[start...] : bytes[...]
    }

    // MARK: Output

    mutating func write(_ client: any TerminalClient, _ bytes: some BidirectionalCollection<UInt8>) {
        guard let index = index(of: client) else { return }
        if client.isPainter, index != foreground || !painting.isOpen { return }
        guard index == foreground else { return keep(bytes, index) }
        guard !isOutputDead else { return }
        let room = max(0, ClientBoard.outputLimit - output.count)
        if bytes.count > room { droppedOutput += UInt64(bytes.count - room) }
        append(bytes.prefix(room))
        updateThrottle()
    }

    private mutating func keep(_ bytes: some BidirectionalCollection<UInt8>, _ index: Int) {
        slots[index]?.backlog.append(bytes)
        let excess = (slots[index]?.backlog.count ?? 0) - ClientBoard.backlogLimit
        guard excess > 0 else { return }
        slots[index]?.backlog.removeFirst(excess)
        slots[index]?.isBacklogCut = true
    }

    /// The multiplexer's own words, each on a line of its own; over what is painted until a key is typed.
    mutating func say(_ lines: [String]) {
        if painting.isOn {
            if painting.isOpen { foregroundClient?.shown(nil) }
            return append(painting.cover(lines).utf8)
        }
        let start = isMidLine ? "\r\n" : ""
        append((start + lines.map { $0 + "\r\n" }.joined()).utf8)
    }

    mutating func ringBell() { append([7]) }

    // MARK: Painting

    /// Of the terminal; nil: it does not know. A painter in the foreground is told, and all others.
    var window: WindowSize? {
        didSet {
            guard window != oldValue else { return }
            if painting.isOpen { foregroundClient?.shown(window ?? .usual) }
            guard let window else { return }
            for slot in slots { slot?.client.sized(window) }
        }
    }

    /// What the log may not write over, and what it held back meanwhile.
    var logScreen: Screen? {
        get { painting.logScreen }
        set { painting.logScreen = newValue }
    }

    var isPainted: Bool { painting.isOn }

    /// The terminal is ours: it is not where the process is in the background, or has not begun.
    var mayPaint = false {
        didSet {
            if mayPaint == oldValue { return }
            if mayPaint { enterPainting() } else { leavePainting() }
        }
    }

    /// The window is the foreground's, if that paints; again where it was: all is painted anew.
    mutating func enterPainting() {
        guard mayPaint, let client = foregroundClient, client.isPainter else { return }
        if !painting.isOn { painting.wasMidLine = isMidLine }
        leaving = nil
        append(painting.enter().utf8)
        client.shown(window ?? .usual)
    }

    /// The terminal is as it was before `enterPainting`; what the log held back follows.
    mutating func leavePainting() {
        guard painting.isOn else { return }
        if painting.isOpen { foregroundClient?.shown(nil) }
        append(painting.leave().utf8)
        isMidLine = painting.wasMidLine
        leaving = output.count
        freeLog(after: 0)
    }

    private mutating func freeLog(after written: Int) {
        guard let left = leaving else { return }
        leaving = left > written ? left - written : nil
        guard leaving == nil, let held = painting.logScreen?.setPainted(false), !held.isEmpty else { return }
        say(held)
    }

    private mutating func append(_ bytes: some BidirectionalCollection<UInt8>) {
        guard !isOutputDead, let last = bytes.last else { return }
        output.append(bytes)
        // A bell does not move the cursor.
        if last != 7 || bytes.count > 1 { isMidLine = last != UInt8(ascii: "\n") }
    }

    var hasOutput: Bool { !output.isEmpty }

    func nextOutput(_ limit: Int) -> [UInt8] { output.front(limit) }

    mutating func didWrite(_ count: Int) {
        output.removeFirst(count)
        freeLog(after: count)
        updateThrottle()
    }

    mutating func dropOutput() {
        isOutputDead = true
        output = ByteQueue()
        leaving = nil
        updateThrottle()
    }

    mutating func takeDropped() -> UInt64 {
        defer { droppedOutput = 0 }
        return droppedOutput
    }

    private mutating func updateThrottle() {
        guard let foreground else { return }
        if output.count > ClientBoard.throttleAbove { setThrottle(foreground, true) }
        if output.count < ClientBoard.resumeBelow { setThrottle(foreground, false) }
    }

    private mutating func setThrottle(_ index: Int, _ on: Bool) {
        guard let slot = slots[index], slot.isThrottled != on else { return }
        slots[index]?.isThrottled = on
        slot.client.throttle(on)
    }

    // MARK: Input

    /// The client can receive `room` bytes in all. Gives it what waits.
    mutating func grant(_ client: any TerminalClient, _ room: UInt64) {
        guard let index = index(of: client) else { return }
        let underWay = client.undelivered
        slots[index]?.room = room > underWay ? room - underWay : 0
        deliver(index)
    }

    private mutating func deliver(_ index: Int) {
        guard let slot = slots[index], slot.room > 0, !slot.typed.isEmpty else { return }
        let bytes = slots[index]?.typed.take(Int(clamping: slot.room)) ?? []
        slots[index]?.room -= UInt64(bytes.count)
        slot.client.receive(bytes)
    }

    /// How much the foreground client can receive at once.
    var inputRoom: Int {
        guard let foreground, let slot = slots[foreground], slot.typed.isEmpty else { return 0 }
        return Int(clamping: slot.room)
    }

    /// For the foreground client, at once or when it has room. Answers how many bytes were taken; without any client
    /// all of them are, and are gone.
    mutating func type(_ bytes: [UInt8]) -> Int {
        guard let foreground, let slot = slots[foreground] else { return bytes.count }
        if painting.isOn, !painting.isOpen {
            if !bytes.isEmpty { enterPainting() }
            return bytes.count
        }
        let taken = min(bytes.count, max(0, ClientBoard.typedLimit - slot.typed.count))
        slots[foreground]?.typed.append(bytes.prefix(taken))
        deliver(foreground)
        return taken
    }
}
