import BackendSupport
import Pictures
import PluginKit
import ScreenPainting

/// Shows a screen of text in the terminal that the virtual machine monitor was started in, and types what is typed there on a keyboard. A console
/// like the backend `terminal`'s, beside which it can be; without a terminal that takes control sequences it does nothing.
final class ScreenBackend: Instance {
    static let definition = ClassDefinition.backend(
        "screen", summary: "a screen of text on the terminal, and its keyboard",
        slots: [Slot("keyboard", "input/1", optional: true, doc: "where what is typed goes, by the layout of the USA")],
        provides: [Provides("display/1", doc: "what is shown")],
        make: { (host, values) throws(PluginError) in try ScreenBackend(host, values) })

    private enum Cookie {
        static let refresh: UInt64 = 0
        static let key: UInt64 = 1
        static let escape: UInt64 = 2
    }

    /// Milliseconds of the host between two looks at the device: the least while something changes, the most while nothing does. Timers of the guest's clock
    /// would keep an idle guest with a counted one from its rest.
    private static let (shortest, longest): (UInt32, UInt32) = (20, 160)
    /// A device that has not answered for so long is asked anew, as if it were the first time: it may have been off line.
    private static let patience: UInt32 = 2000
    /// Virtual nanoseconds between two keys: a keyboard's own queue is short.
    private static let keyTime: UInt64 = 10_000_000
    /// What a terminal sends for one key comes at once.
    private static let escapeTime: UInt64 = 50_000_000
    /// Bytes that the terminal may send before it is asked again, which is once all have been typed.
    private static let grant: UInt64 = 1024

    private let clock: Clock
    private let refreshTimer: HostTimer
    private let keyTimer: Timer
    private let escapeTimer: Timer
    /// nil: there is no window.
    private var console: Console?
    private var keyboard = InputPeer.unwired
    private var client: DisplayClient?
    private var painter = ScreenPainter()
    private var decoder = KeyDecoder()
    private var strokes: ArraySlice<KeyStroke> = []
    /// The time of a key has begun, and its timer is set.
    private var isTyping = false
    private var form: Form?
    private var isShown = false
    private var isThrottled = false
    private var isRunning = false
    /// The device was asked, and has not answered.
    private var isWaiting = false
    /// Something was said to have changed since the last frame.
    private var hasChanged = false
    private var interval = ScreenBackend.shortest

    private enum Form {
        case cells(bp_display_cells)
        case surface(bp_display_surface)
    }

    init(_ host: Host, _: Values) throws(PluginError) {
        clock = try host.clock
        do throws(HostCallError) { refreshTimer = try HostTimer() } catch {
            throw PluginError("a timer cannot be made: " + error.text)
        }
        keyTimer = try clock.timer(cookie: Cookie.key)
        escapeTimer = try clock.timer(cookie: Cookie.escape)
        super.init(host)
    }

    override func displayClient(_ index: UInt32, is client: DisplayClient) { self.client = client }

    override func connect() throws(PluginError) {
        keyboard = try host.input("keyboard")
        guard let console = try? host.console, try console.openWindow() else { return }
        self.console = console
        try refreshTimer.connect(host, cookie: Cookie.refresh)
    }

    override func start() throws(PluginError) {
        isRunning = true
        isTyping = false
        awaitSequence()
        goOn()
        look(again: true)
    }

    override func quiesce() throws(PluginError) -> Bool {
        isRunning = false
        refreshTimer.stop()
        for timer in [keyTimer, escapeTimer] { timer.cancel() }
        return true
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        if cookie == Cookie.key { isTyping = false } else { strokes += decoder.flush() }
        goOn()
    }

    override func descriptorReady(cookie: UInt64, descriptor: Int32, events: Events.Interest) {
        refreshTimer.acknowledge()
        ask(all: isWaiting)
    }

    // MARK: The window

    override func consoleShown(columns: Int, rows: Int) {
        isShown = columns > 0 && rows > 0
        refreshTimer.stop()
        guard isShown else { return }
        painter.begin(columns: columns, rows: rows)
        hasChanged = true
        look(again: true)
    }

    override func consoleThrottled(_ on: Bool) {
        isThrottled = on
        if on { refreshTimer.stop() } else { look(again: false) }
    }

    /// Asks the device. `again`: as if it had said nothing yet.
    private func look(again: Bool) {
        interval = Self.shortest
        ask(all: again)
    }

    private func ask(all: Bool) {
        guard isShown, !isThrottled, isRunning else { return }
        isWaiting = true
        refreshTimer.set(milliseconds: Self.patience)
        client?.refresh(all: all)
    }

    override func displayCells(_ index: UInt32, _ cells: bp_display_cells) {
        (form, hasChanged) = (.cells(cells), true)
    }
    override func displaySurface(_ index: UInt32, _ surface: bp_display_surface) {
        (form, hasChanged) = (.surface(surface), true)
    }
    override func displayDamage(_ index: UInt32, _ damage: DisplayDamage) { hasChanged = true }

    override func displayFrame(_ index: UInt32, at time: UInt64) {
        isWaiting = false
        guard isShown, !isThrottled, isRunning, let console else { return }
        interval = hasChanged ? Self.shortest : min(interval * 2, Self.longest)
        if hasChanged {
            hasChanged = false
            var text = paint()
            text.withUTF8 { console.write(UnsafeRawBufferPointer($0)) }
        }
        refreshTimer.set(milliseconds: interval)
    }

    private func paint() -> String {
        switch form {
        case .cells(let cells):
            guard let region = (try? host.memory)?.attach(cells.region), let picture = CellPicture(cells, region) else {
                return painter.paint("what is shown is not inside of its device's memory")
            }
            return painter.paint(picture)
        case .surface(let surface) where surface.width > 0 && surface.height > 0:
            interval = Self.longest
            return painter.paint(
                "graphics, \(surface.width) by \(surface.height): screendump FILE in the monitor (Ctrl-A c) keeps it")
        case .surface, nil: return painter.paint("the screen is dark")
        }
    }

    // MARK: Keys

    override func consoleReceived(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { strokes += decoder.feed(byte) }
        awaitSequence()
        goOn()
    }

    /// ESC alone is a key, if nothing comes behind it.
    private func awaitSequence() {
        if isRunning { escapeTimer.set(at: decoder.isPending ? clock.now &+ Self.escapeTime : nil) }
    }

    private func goOn() {
        guard isRunning, !isTyping else { return }
        if strokes.isEmpty { askForMore() } else { typeNext() }
    }

    private func typeNext() {
        guard let stroke = strokes.popFirst() else { return }
        let codes = stroke.codes
        for code in codes { keyboard.send(.key(code, down: true)) }
        keyboard.send(.end)
        for code in codes.reversed() { keyboard.send(.key(code, down: false)) }
        keyboard.send(.end)
        isTyping = true
        keyTimer.set(at: clock.now &+ Self.keyTime)
        // What comes of it is to be seen soon.
        if isShown, !isThrottled, interval > Self.shortest {
            interval = Self.shortest
            refreshTimer.set(milliseconds: interval)
        }
    }

    private func askForMore() { console?.ready(Self.grant) }
}

let library = Library(
    "screen", version: "1.0", summary: "screens of text on the terminal", needsMinor: 5,
    classes: [ScreenBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
