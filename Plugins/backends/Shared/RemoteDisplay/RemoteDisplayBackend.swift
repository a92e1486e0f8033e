import BackendSupport
import Pictures
import PluginKit

/// Base of backends that show a screen to clients of RFB and enter what these enter: "display/1", index 0, and two slots.
open class RemoteDisplayBackend: Instance {
    /// For the class's definition.
    public static var inputSlots: [Slot] {
        [
            Slot(
                "keyboard", "input/1", optional: true,
                doc: "where keys go; those without a scan code by the layout of the USA"),
            Slot("pointer", "input/1", optional: true, doc: "where the mouse goes: a mouse, or better a tablet"),
        ]
    }
    public static let posts = DisplayHub.Posts(refresh: 1, refreshAll: 2, input: 3)

    /// Virtual nanoseconds between two packets of keys: a keyboard's own queue is short.
    private static let keyTime: UInt64 = 5_000_000

    public let hub: DisplayHub
    private let clock: Clock
    private let timer: Timer
    private var keyboard = InputPeer.unwired
    private var pointer = InputPeer.unwired
    private var client: DisplayClient?
    private var form: Form?
    /// Lines that the device has said to have changed; of cells it counts only whether there are any.
    private var damage: Range<Int>?
    /// Those of them that have, and that no snapshot had.
    private var changed: Range<Int>?
    private var pixels = PixelMemory()
    /// The time of a packet of keys has begun, and its timer is set.
    private var isTyping = false
    private var isRunning = false
    private var hasComplained = false

    private enum Form {
        case cells(bp_display_cells)
        case surface(bp_display_surface)
    }

    /// - Parameter hub: posts `posts` by a link to `host`.
    public init(_ host: Host, _ hub: DisplayHub) throws(PluginError) {
        self.hub = hub
        clock = try host.clock
        timer = try host.clock.timer()
        super.init(host)
    }

    override open func displayClient(_ index: UInt32, is client: DisplayClient) { self.client = client }

    override open func connect() throws(PluginError) {
        (keyboard, pointer) = (try host.input("keyboard"), try host.input("pointer"))
    }

    override open func start() throws(PluginError) {
        isRunning = true
        isTyping = false
        hub.run(true, pointer: pointer.isWired ? pointer.kinds : [])
    }

    override open func quiesce() throws(PluginError) -> Bool {
        isRunning = false
        timer.cancel()
        hub.run(false, pointer: pointer.isWired ? pointer.kinds : [])
        return true
    }

    override open func posted(_ argument: UInt) {
        switch argument {
        case Self.posts.refresh: ask(all: false)
        case Self.posts.refreshAll: ask(all: true)
        case Self.posts.input: enter()
        default: break
        }
    }

    override open func timerFired(cookie: UInt64, at now: UInt64) {
        isTyping = false
        enter()
    }

    // MARK: The screen

    private func ask(all: Bool) {
        if isRunning { client?.refresh(all: all) }
    }

    override open func displayCells(_ index: UInt32, _ cells: bp_display_cells) {
        (form, damage) = (.cells(cells), 0..<Int.max)
    }
    override open func displaySurface(_ index: UInt32, _ surface: bp_display_surface) {
        (form, damage) = (.surface(surface), 0..<Int.max)
    }
    override open func displayDamage(_ index: UInt32, _ damage: DisplayDamage) {
        guard damage.width > 0, damage.height > 0 else { return }
        self.damage = Self.union(self.damage, Int(damage.y)..<Int(damage.y) + Int(damage.height))
    }

    private static func union(_ a: Range<Int>?, _ b: Range<Int>) -> Range<Int> {
        a.map { min($0.lowerBound, b.lowerBound)..<max($0.upperBound, b.upperBound) } ?? b
    }

    override open func displayFrame(_ index: UInt32, at time: UInt64) {
        let snapshot = look()
        if snapshot == nil, changed != nil, !hasComplained {
            hasComplained = true
            host.log(.warning, "what is shown is too large, or not inside of its device's memory")
        }
        if hub.frame(snapshot) { changed = nil }
    }

    /// nil: nothing has changed, or what has cannot be seen.
    private func look() -> Snapshot? {
        let damage = self.damage
        self.damage = nil
        guard case .surface(let surface) = form, surface.width > 0, surface.height > 0 else {
            if let damage {
                changed = Self.union(changed, damage)
                pixels = PixelMemory()
            }
            guard changed != nil else { return nil }
            guard case .cells(let cells) = form else { return .dark }
            return region(cells.region).flatMap { CellPicture(cells, $0) }.map { .cells($0) }
        }
        return look(at: surface, damage)
    }

    private func look(at surface: bp_display_surface, _ damage: Range<Int>?) -> Snapshot? {
        guard let lines = damage.map({ Self.union(changed, $0) }) ?? changed else { return nil }
        let isIndexed = surface.format == UInt32(BP_PIXELS_INDEXED8)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        guard ScreenImage.holds(width: Int(surface.width), height: Int(surface.height)),
            let bytes = region(surface.region), let palette = isIndexed ? region(surface.palette_region) : none,
            let others = pixels.changes(of: surface, bytes, palette: palette, within: lines)
        else {
            (changed, pixels) = (lines, PixelMemory())
            return nil
        }
        if !others.isEmpty { changed = Self.union(changed, others) }
        return changed.flatMap { PixelCopy(surface, bytes, palette: palette, lines: $0) }.map { .pixels($0) }
    }

    private func region(_ id: bp_id) -> UnsafeRawBufferPointer? { (try? host.memory)?.attach(id) }

    // MARK: Keys and the pointer

    private func enter() {
        while isRunning, !isTyping, let packet = hub.nextInput() {
            let peer = packet.isPointer ? pointer : keyboard
            for event in packet.events { peer.send(event) }
            peer.send(.end)
            guard !packet.isPointer else { continue }
            isTyping = true
            timer.set(at: clock.now &+ Self.keyTime)
        }
    }
}
