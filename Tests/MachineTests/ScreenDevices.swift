import PluginKit

/// Shows 4 by 2 cells, each with its column as character; a key that comes to its keyboard is shown in the first one.
final class ScreenCard: Instance {
    static let definition = ClassDefinition.device(
        "screen-card", summary: "shows a few cells, and takes keys",
        slots: [Slot("display", "display/1", optional: true, many: true, doc: "who looks")],
        provides: [
            Provides("input/1", count: 2, shared: true, mayCycle: true, doc: "keys; the second takes none")
        ],
        make: { (host, values) throws(PluginError) in try ScreenCard(host, values) })

    private let region: Memory.Region
    private var viewers: [DisplayPeer] = []
    private var hasTold: Set<Int> = []
    private var clients: [InputClient] = []
    private var pending: InputEvent?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        region = try host.memory.region("cells", .device, length: 4096)
        super.init(host)
    }

    override func connect() throws(PluginError) {
        viewers = try host.displays("display")
        for index in 0..<8 { show(UInt32(0x40 + index), at: index) }
    }

    private func show(_ character: UInt32, at index: Int) {
        let cell = bp_cell(character: character, glyph: UInt16(character), colors: 0x07, flags: 0)
        region.bytes.storeBytes(of: cell, toByteOffset: 8 * index, as: bp_cell.self)
    }

    override func displayRefresh(slot: Int, position: Int, all: Bool) {
        let viewer = viewers[position]
        if all || hasTold.insert(position).inserted {
            var cells = bp_display_cells()
            (cells.columns, cells.rows, cells.cell_width, cells.cell_height) = (4, 2, 8, 16)
            (cells.region, cells.palette.7) = (region.id, 0xaaaaaa)
            viewer.cells(cells)
            viewer.damage(DisplayDamage(x: 0, y: 0, width: 4, height: 2))
        } else {
            viewer.damage(DisplayDamage(x: 0, y: 0, width: 1, height: 1))
        }
        viewer.frame(at: 77)
    }

    override func inputKinds(_ index: UInt32) -> InputKinds { index == 0 ? [.keys, .lamps] : [] }
    override func inputClient(_ index: UInt32, is client: InputClient) { clients.append(client) }

    /// A packet counts when it has ended.
    override func inputEvent(_ index: UInt32, _ event: InputEvent) {
        guard index == 0 else { return }
        if event.type == UInt32(BP_EV_KEY) { pending = event }
        guard event == .end, let key = pending else { return }
        show(key.value == 1 ? key.code : 0x2e, at: 0)
        pending = nil
        clients.forEach { $0.show([.capsLock]) }
    }
}

/// Looks at a display, and types.
final class Viewer: Instance {
    static let definition = ClassDefinition.backend(
        "viewer", summary: "looks and types",
        slots: [Slot("keys", "input/1", optional: true, doc: "the keyboard")],
        provides: [Provides("display/1", doc: "what is shown")],
        methods: [
            Method("look", [("all", .bool)], doc: "asks for a picture", function: look),
            Method("type", [("key", .u32)], doc: "presses a key", function: type),
            Method("seen", result: .text, doc: "what has come since", function: seen),
        ],
        make: { (host, values) throws(PluginError) in Viewer(host) })

    private static let look: @convention(c) (UnsafeMutableRawPointer?, UInt8) -> Void = { raw, all in
        instance(raw, as: Viewer.self).client?.refresh(all: all != 0)
    }
    private static let type: @convention(c) (UnsafeMutableRawPointer?, UInt32) -> Void = { raw, key in
        let viewer = instance(raw, as: Viewer.self)
        viewer.keyboard.send(.key(key, down: true))
        viewer.keyboard.send(.end)
    }
    private static let seen: @convention(c) (UnsafeMutableRawPointer?) -> Void = { raw in
        let viewer = instance(raw, as: Viewer.self)
        viewer.host.reply(viewer.lines.joined(separator: ", "))
        viewer.lines = []
    }

    private var client: DisplayClient?
    private var keyboard = InputPeer.unwired
    private var lines: [String] = []
    private var cells = bp_display_cells()

    override func connect() throws(PluginError) { keyboard = try host.input("keys") }
    override func start() throws(PluginError) { lines = ["takes \(keyboard.kinds.rawValue)"] }
    override func displayClient(_ index: UInt32, is client: DisplayClient) { self.client = client }
    override func displayCells(_ index: UInt32, _ cells: bp_display_cells) {
        lines.append("cells \(cells.columns) by \(cells.rows) in \(String(cells.palette.7, radix: 16))")
        self.cells = cells
    }
    override func displayDamage(_ index: UInt32, _ damage: DisplayDamage) {
        lines.append("damage \(damage.width) by \(damage.height)")
    }
    override func displayFrame(_ index: UInt32, at time: UInt64) {
        guard let bytes = try? host.memory.attach(cells.region) else { return lines.append("nothing attached") }
        let text = (0..<8).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: bp_cell.self).character }
        lines.append("frame \(time) \(String(String.UnicodeScalarView(text.compactMap(Unicode.Scalar.init))))")
    }
    override func inputLamps(slot: Int, position: Int, _ lamps: InputLamps) { lines.append("lamps \(lamps.rawValue)") }
}
