import BackendSupport
import Glibc
import PluginKit
import RawImage

/// A disk whose sectors are those of a host file or block device, without any format around them.
/// Not modelled: direct I/O (the host's page cache is used; a flush reaches the disk).
final class RawFile: Instance {
    static let definition = ClassDefinition.backend(
        "raw-file", summary: "a disk image without a format: a host file or block device",
        properties: [
            Property("path", .path, required: true, doc: "the image; `backplane disk create` makes one"),
            Property(
                "mode", .choice, default: "read-write", choices: ["read-write", "read-only", "snapshot"],
                doc: "snapshot: writes go to a temporary file in TMPDIR and are forgotten at the end"),
            Property(
                "sector-size", .choice, default: "512", unit: "bytes", choices: ["512", "1024", "2048", "4096"],
                doc: "bytes in a sector"),
        ],
        provides: [Provides("block/1", doc: "the disk")],
        methods: [
            Method(
                "statistics", result: .text, doc: "requests, bytes and errors since the start",
                function: { (raw) in
                    let disk = instance(raw, as: RawFile.self)
                    disk.host.reply(disk.statistics)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in try RawFile.check(values) },
        make: { (host, values) throws(PluginError) in try RawFile(host, values) })

    private static let news: UInt = 1
    /// Virtual ns from a request to its completion where runs repeat exactly.
    private static let latency: UInt64 = 100_000

    /// As the machine file has it.
    private let properties: (mode: ImageMode, sectorSize: UInt32)
    private var path: String
    private var mode: ImageMode
    private var geometry: ImageGeometry
    private var client: BlockClient?
    /// nil after disconnect: the image is closed, and its lock released.
    private var worker: DiskWorker?

    private static func mode(_ values: Values) -> ImageMode { ImageMode(rawValue: values.choice("mode")) ?? .readOnly }
    private static func sectorSize(_ values: Values) -> UInt32 {
        512 << UInt32(truncatingIfNeeded: values.choice("sector-size"))
    }
    /// Where snapshot mode keeps what is written.
    private static var temporaryDirectory: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

    private static func check(_ values: Values) throws(PluginError) {
        do throws(ImageError) {
            try ImageFile.check(
                path: values.text("path"), mode: mode(values), sectorSize: sectorSize(values),
                temporaryDirectory: temporaryDirectory)
        } catch {
            throw PluginError(error.text)
        }
    }

    init(_ host: Host, _ values: Values) throws(PluginError) {
        properties = (RawFile.mode(values), RawFile.sectorSize(values))
        mode = properties.mode
        path = values.text("path")
        (worker, geometry) = try RawFile.open(path, mode, properties.sectorSize, host)
        super.init(host)
    }

    private static func open(
        _ path: String, _ mode: ImageMode, _ sectorSize: UInt32, _ host: Host
    ) throws(PluginError) -> (DiskWorker, ImageGeometry) {
        do throws(ImageError) {
            let image = try ImageFile(path: path, mode: mode, sectorSize: sectorSize)
            let medium = try ImageMedium(image, directory: temporaryDirectory)
            for warning in image.warnings { host.log(.warning, warning) }
            return (DiskWorker(medium, link: HostLink(host), postArgument: news), image.geometry)
        } catch {
            throw PluginError(error.text)
        }
    }

    private var statistics: String {
        guard let all = worker?.statistics else { return "closed" }
        let overlay = mode == .snapshot ? ", overlay \(all.overlay >> 10) KiB" : ""
        return "reads \(all.reads) (\(all.readBytes) bytes), writes \(all.writes) (\(all.writtenBytes) bytes), "
            + "flushes \(all.flushes), discards \(all.discards), errors \(all.errors), waiting \(all.waiting)" + overlay
    }

    // MARK: Lifecycle

    override func connect() throws(PluginError) { if let worker { try RawFile.start(worker) } }

    private static func start(_ worker: DiskWorker) throws(PluginError) {
        do throws(HostCallError) { try worker.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
    }

    override func quiesce() throws(PluginError) -> Bool { worker?.quiesce() ?? true }

    override func disconnect() {
        client = nil
        close()
    }

    private func close() {
        if let worker, !worker.stop() {
            host.log(.error, "the host's disk under '\(path)' does not answer: what was being written may be lost")
        }
        worker = nil
    }

    // MARK: State: what the image holds is not in it

    override func save(to state: StateWriter) throws(PluginError) {
        let overlay = worker?.statistics.overlay ?? 0
        guard overlay == 0 else {
            throw PluginError(
                "'\(path)' in mode: snapshot holds \(overlay >> 10) KiB of changes, which cannot be saved",
                status: .unsupported)
        }
        state.put("sectors", geometry.sectors)
        state.put("sector-size", geometry.sectorSize)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let saved = ImageGeometry(sectorSize: try state.get("sector-size"), sectors: try state.get("sectors"))
        guard saved == geometry else {
            throw PluginError(
                "the state was saved with a disk of \(saved.sectors) sectors of \(saved.sectorSize) bytes; "
                    + "'\(path)' has \(geometry.sectors) of \(geometry.sectorSize)")
        }
    }

    // MARK: Block

    override func blockClient(_ index: UInt32, is client: BlockClient) { self.client = client }

    override func blockInfo(_ index: UInt32) -> bp_block_info? {
        var info = bp_block_info()
        info.sector_size = geometry.sectorSize
        info.sectors = geometry.sectors
        info.read_only = mode == .readOnly ? 1 : 0
        if mode != .readOnly { info.known = [.discard, .writeZeroes] }
        return info
    }

    override func blockSubmitted(_ index: UInt32, _ request: BlockRequest) {
        guard worker?.submit(translate(request)) == true else {
            client?.complete(tag: request.tag, .busy)
            return
        }
        (try? host.events)?.expect(RawFile.news, after: RawFile.latency)
    }

    private func translate(_ request: BlockRequest) -> DiskWorker.Request {
        func decided(_ status: Status) -> DiskWorker.Request {
            .init(request.operation, tag: request.tag, verdict: status)
        }
        if request.operation == .flush { return .init(.flush, tag: request.tag) }
        if request.operation != .read, mode == .readOnly { return decided(.readOnly) }
        guard let range = geometry.bytes(sector: request.sector, count: request.count) else {
            return decided(.outOfRange)
        }
        return .init(
            request.operation, offset: range.offset, length: range.length, data: request.data, tag: request.tag)
    }

    override func blockCancelAll(_ index: UInt32) {
        if worker?.cancelAll() == true { (try? host.events)?.forget(RawFile.news) }
    }

    override func blockInsert(_ index: UInt32, path: String, isReadOnly: Bool) throws(PluginError) {
        let mode = isReadOnly ? .readOnly : properties.mode
        let (worker, geometry) = try RawFile.open(path, mode, properties.sectorSize, host)
        try RawFile.start(worker)
        close()
        (self.worker, self.path, self.mode, self.geometry) = (worker, path, mode, geometry)
    }

    override func posted(_ argument: UInt) {
        // One for each post: what comes together on a fast host must not come sooner than announced.
        guard let news = worker?.takeNews(limit: 1) else { return }
        for completion in news.completions { client?.complete(tag: completion.tag, completion.status) }
        if news.isQuiet { host.quiesced() }
    }
}

let library = Library(
    "raw-file", version: "1.0", summary: "a disk image without a format", needsMinor: 0, classes: [RawFile.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
