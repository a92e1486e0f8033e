import BackendSupport
import CBackendSupport
import PictureFiles
import Pictures
import PluginKit

/// Looks at a screen and keeps it in files: a PNG, and the text of its cells. At the end of the machine, whenever asked, and from time to time.
final class PictureBackend: Instance {
    static let definition = ClassDefinition.backend(
        "picture", summary: "keeps a screen as a PNG and as text",
        properties: [
            Property("path", .path, required: true, doc: "the PNG; an existing file is replaced"),
            Property("text", .path, doc: "the text of the screen goes here too"),
            Property(
                "every", .duration, bounds: 10_000_000...Int64.max,
                doc: "how often while the machine runs; without it at its end, and by the method take"),
        ],
        provides: [Provides("display/1", doc: "what is shown")],
        methods: [
            Method(
                "take", doc: "has the screen as it is now written, without waiting for it",
                function: { (raw) in instance(raw, as: PictureBackend.self).ask() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in
            for name in ["path", "text"] where values.isSet(name) {
                do throws(HostCallError) { try OutputPath.check(values.text(name)) } catch {
                    throw PluginError("\(name): '\(values.text(name))' cannot be written: " + error.text)
                }
            }
        },
        make: { (host, values) throws(PluginError) in try PictureBackend(host, values) })

    /// What is posted: a file is written; the answer to a last request must have come.
    private static let written: UInt = 1
    private static let answered: UInt = 2

    private let files: PictureFiles
    private let clock: Clock
    private let timer: Timer
    private let period: UInt64?
    private var client: DisplayClient?
    /// What the client told last; its bytes are read when the picture is whole.
    private var form: Form?
    private var isQuiescing = false

    private enum Form {
        case cells(bp_display_cells)
        case surface(bp_display_surface)
    }

    init(_ host: Host, _ values: Values) throws(PluginError) {
        clock = try host.clock
        timer = try host.clock.timer()
        period = values.isSet("every") ? values.unsigned("every") : nil
        files = PictureFiles(
            picture: values.text("path"), text: values.isSet("text") ? values.text("text") : nil,
            link: HostLink(host), postArgument: Self.written)
        super.init(host)
    }

    override func displayClient(_ index: UInt32, is client: DisplayClient) { self.client = client }

    override func connect() throws(PluginError) {
        do throws(HostCallError) { try files.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
    }

    override func start() throws(PluginError) {
        isQuiescing = false
        if let period { timer.set(at: clock.now &+ period) }
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        ask()
        if let period { timer.set(at: now &+ period) }
    }

    override func quiesce() throws(PluginError) -> Bool {
        guard client != nil else { return true }
        isQuiescing = true
        ask()
        // The client's calls come before what is posted now.
        return (try? host.events)?.post(Self.answered) != true
    }

    override func disconnect() {
        if !files.stop() { host.log(.warning, "the host does not take the last picture: it is lost") }
    }

    override func posted(_ argument: UInt) {
        if argument == Self.written, let problem = files.takeProblem() { host.log(.warning, problem) }
        if isQuiescing, files.isIdle {
            isQuiescing = false
            host.quiesced()
        }
    }

    // MARK: The screen

    /// All is told again: files are written seldom, and a client that has come back has forgotten what it said.
    private func ask() { client?.refresh(all: true) }

    override func displayCells(_ index: UInt32, _ cells: bp_display_cells) { form = .cells(cells) }
    override func displaySurface(_ index: UInt32, _ surface: bp_display_surface) { form = .surface(surface) }

    override func displayFrame(_ index: UInt32, at time: UInt64) {
        if let picture = look() {
            files.write(picture)
        } else {
            host.log(.warning, "what is shown is not inside of its device's memory")
        }
    }

    private func look() -> PictureFiles.Shown? {
        switch form {
        case .cells(let cells):
            return region(cells.region).flatMap { CellPicture(cells, $0) }.map { .cells($0) }
        case .surface(let surface) where surface.width > 0 && surface.height > 0:
            let isIndexed = surface.format == UInt32(BP_PIXELS_INDEXED8)
            let palette = isIndexed ? region(surface.palette_region) : UnsafeRawBufferPointer(start: nil, count: 0)
            guard let pixels = region(surface.region), let palette else { return nil }
            return Raster(surface, pixels, palette: palette).map { .pixels($0) }
        case .surface, nil: return .dark
        }
    }

    private func region(_ id: bp_id) -> UnsafeRawBufferPointer? { (try? host.memory)?.attach(id) }
}

let library = Library(
    "picture", version: "1.0", summary: "screens as files", needsMinor: 5, classes: [PictureBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
