import BackendSupport
import OverlayStore
import PluginKit

/// Copy on write: a disk that reads as its base, whose changes are in a file of its own.
final class OverlayDisk: Instance {
    static let definition = ClassDefinition.backend(
        "overlay", summary: "copy on write: changes of a disk in a file of their own",
        properties: [
            Property("path", .path, required: true, doc: "the file with the changes; it is made where there is none")
        ],
        slots: [Slot("base", "block/1", doc: "the disk that is read where it has not changed; only commit writes it")],
        provides: [Provides("block/1", doc: "the disk")],
        methods: [
            Method(
                "commit", result: .status,
                doc: "begins to write all changes to the base, while the guest runs; the log says when it is done",
                function: { (raw) in instance(raw, as: OverlayDisk.self).commit() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Int32),
            Method(
                "discard", result: .status,
                doc: "throws all changes away, where no request is under way: the guest must not have the disk in use",
                function: { (raw) in instance(raw, as: OverlayDisk.self).discard() }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Int32),
            Method(
                "statistics", result: .text, doc: "how much has changed, and how far a commit is",
                function: { (raw) in
                    let disk = instance(raw, as: OverlayDisk.self)
                    disk.host.reply(disk.statistics)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void),
        ],
        make: { (host, values) throws(PluginError) in OverlayDisk(host, values) })

    private static let news: UInt = 1
    /// Virtual ns from a job to its answer where runs repeat exactly.
    private static let latency: UInt64 = 100_000

    private let path: String
    private var base = BlockPeer.unwired
    private var baseIsReadOnly = false
    private var geometry = DiskGeometry(sectorSize: 512, sectors: 0)
    private var client: BlockClient?
    /// From connect to disconnect.
    private var engine: OverlayEngine?

    init(_ host: Host, _ values: Values) {
        path = values.text("path")
        super.init(host)
    }

    // MARK: Lifecycle

    override func connect() throws(PluginError) {
        base = try host.block("base")
        guard let info = base.info else {
            throw PluginError(
                "base: it has no medium yet; where it is an overlay too, it stands before this one in the file")
        }
        let cluster = OverlayFile.clusterSize
        guard info.sector_size >= 512, UInt64(info.sector_size) <= cluster, info.sector_size.nonzeroBitCount == 1 else {
            throw PluginError("base: sectors of \(info.sector_size) bytes are not supported")
        }
        guard info.sectors <= OverlayFile.limit / UInt64(info.sector_size) else {
            throw PluginError("base: it is larger than an overlay's can be, \(OverlayFile.limit >> 40) TiB")
        }
        geometry = DiskGeometry(sectorSize: info.sector_size, sectors: info.sectors)
        baseIsReadOnly = info.read_only != 0
        let most = info.maximum_sectors == 0 ? .max : Int(info.maximum_sectors) * Int(info.sector_size)
        guard most >= Int(cluster) else { throw PluginError("base: it takes no requests of \(cluster) bytes") }
        try open(most)
    }

    private func open(_ most: Int) throws(PluginError) {
        let sectorSize = UInt64(geometry.sectorSize)
        do throws(OverlayError) {
            let engine = try OverlayEngine(
                OverlayFile(path: path, geometry: geometry), baseLimit: most, link: HostLink(host),
                postArgument: OverlayDisk.news,
                .init(
                    base: { [unowned self] operation, offset, length, data, tag in
                        base.submit(
                            operation, sector: offset / sectorSize, count: UInt64(length) / sectorSize, data: data,
                            tag: tag)
                    }, complete: { [unowned self] tag, status in client?.complete(tag: tag, status) },
                    expect: { [unowned self] in (try? host.events)?.expect(OverlayDisk.news, after: OverlayDisk.latency)
                    },
                    quiesced: { [unowned self] in host.quiesced() },
                    log: { [unowned self] level, text in host.log(level, text) }))
            self.engine = engine
        } catch { throw PluginError(error.text) }
        do throws(HostCallError) { try engine?.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
    }

    override func quiesce() throws(PluginError) -> Bool { engine?.quiesce() ?? true }

    override func disconnect() {
        client = nil
        guard let engine else { return }
        // The base gives the piece back that it is asked to fill; else it is never freed.
        if !base.cancelAll() { _ = Unmanaged.passRetained(engine) }
        if !engine.stop() {
            host.log(.error, "the host's disk under '\(path)' does not answer: what was being written may be lost")
        }
        self.engine = nil
    }

    // MARK: State: what the disk holds is not in it

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("sectors", geometry.sectors)
        state.put("sector-size", geometry.sectorSize)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let saved = DiskGeometry(sectorSize: try state.get("sector-size"), sectors: try state.get("sectors"))
        guard saved == geometry else {
            throw PluginError(
                "the state was saved with a disk of \(saved.sectors) sectors of \(saved.sectorSize) bytes; this one has \(geometry.sectors) of \(geometry.sectorSize)"
            )
        }
    }

    // MARK: Block

    override func blockClient(_ index: UInt32, is client: BlockClient) { self.client = client }

    override func blockInfo(_ index: UInt32) -> bp_block_info? {
        guard engine != nil else { return nil }
        var info = bp_block_info()
        info.sector_size = geometry.sectorSize
        info.sectors = geometry.sectors
        info.known = [.discard, .writeZeroes]
        return info
    }

    override func blockSubmitted(_ index: UInt32, _ request: BlockRequest) {
        let request = DiskRequest(request, geometry: geometry, isReadOnly: false)
        if engine?.submit(request) != true { client?.complete(tag: request.tag, .busy) }
    }

    override func blockCancelAll(_ index: UInt32) { engine?.cancelAll() }

    override func blockCompleted(slot: Int, tag: UInt64, _ status: Status) { engine?.baseCompleted(tag, status) }

    override func posted(_ argument: UInt) { engine?.posted() }

    // MARK: Methods

    private func refuse(_ sentence: String) -> Int32 {
        host.fail(sentence)
        return Status.refused.rawValue
    }

    private func commit() -> Int32 {
        guard let engine else { return refuse("the disk is closed") }
        guard !baseIsReadOnly else {
            return refuse("the base cannot be written: it is read-only (raw-file: mode: read-write)")
        }
        guard engine.committed == nil else { return refuse("a commit is under way already") }
        engine.beginCommit()
        return Status.ok.rawValue
    }

    private func discard() -> Int32 {
        guard let engine else { return refuse("the disk is closed") }
        guard engine.committed == nil else { return refuse("a commit is under way") }
        guard engine.isIdle else { return refuse("requests are under way: pause the machine first") }
        host.log(.info, "\(engine.ownBytes >> 10) KiB of changes are thrown away")
        engine.discard()
        return Status.ok.rawValue
    }

    private var statistics: String {
        guard let engine else { return "closed" }
        let commit = engine.committed.map { ", commit: \($0 >> 10) KiB so far" } ?? ""
        return "changed \(engine.ownBytes >> 10) KiB of \(geometry.length >> 10)" + commit
    }
}

let library = Library(
    "overlay", version: "1.0", summary: "copy on write over any disk", needsMinor: 0,
    classes: [OverlayDisk.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
