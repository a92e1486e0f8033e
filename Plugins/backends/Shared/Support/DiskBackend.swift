import PluginKit

/// A disk that is open.
public struct OpenDisk<Engine: DiskEngine> {
    public var engine: Engine
    /// As messages call it.
    public var name: String
    public var geometry: DiskGeometry
    public var isReadOnly: Bool
    /// Beside reading, writing and flushing.
    public var known: BlockOperations

    public init(
        _ engine: Engine, name: String, geometry: DiskGeometry, isReadOnly: Bool, known: BlockOperations
    ) {
        self.engine = engine
        self.name = name
        self.geometry = geometry
        self.isReadOnly = isReadOnly
        self.known = known
    }
}

/// Base of backends that provide "block/1" by an engine, which posts `news`.
open class DiskBackend<Engine: DiskEngine>: Instance {
    public static var news: UInt { 1 }
    /// Virtual ns from a request to its completion where runs repeat exactly.
    private static var latency: UInt64 { 100_000 }

    public private(set) var name: String
    public private(set) var geometry: DiskGeometry
    public private(set) var isReadOnly: Bool
    private var known: BlockOperations
    private var client: BlockClient?
    /// Runs repeat: when something completes must not depend on the host.
    private var isCounted = true
    /// nil after disconnect: the medium is let go.
    public private(set) var engine: Engine?

    public init(_ host: Host, _ disk: OpenDisk<Engine>) {
        (engine, name, geometry) = (disk.engine, disk.name, disk.geometry)
        (isReadOnly, known) = (disk.isReadOnly, disk.known)
        super.init(host)
    }

    /// Puts another disk in place of this one, which is closed.
    public final func replace(by disk: OpenDisk<Engine>) throws(PluginError) {
        try start(disk.engine)
        close()
        (engine, name, geometry) = (disk.engine, disk.name, disk.geometry)
        (isReadOnly, known) = (disk.isReadOnly, disk.known)
    }

    /// The disk is larger than it was: the client is told.
    public final func hasGrown(to sectors: UInt64) {
        guard sectors > geometry.sectors else { return }
        geometry = DiskGeometry(sectorSize: geometry.sectorSize, sectors: sectors)
        host.log(.info, "'\(name)' has \(geometry.length) bytes now")
        client?.resized(sectors: sectors)
    }

    // MARK: Lifecycle

    override open func connect() throws(PluginError) {
        isCounted = try host.clock.isCounted
        if let engine { try start(engine) }
    }

    private func start(_ engine: Engine) throws(PluginError) {
        do throws(HostCallError) { try engine.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
    }

    override open func quiesce() throws(PluginError) -> Bool { engine?.quiesce() ?? true }

    override open func disconnect() {
        client = nil
        close()
    }

    private func close() {
        if let engine, !engine.stop() {
            host.log(.error, "the host's disk under '\(name)' does not answer: what was being written may be lost")
        }
        engine = nil
    }

    // MARK: State: what the medium holds is not in it

    override open func save(to state: StateWriter) throws(PluginError) {
        state.put("sectors", geometry.sectors)
        state.put("sector-size", geometry.sectorSize)
    }

    override open func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let saved = DiskGeometry(sectorSize: try state.get("sector-size"), sectors: try state.get("sectors"))
        guard saved == geometry else {
            throw PluginError(
                "the state was saved with a disk of \(saved.sectors) sectors of \(saved.sectorSize) bytes; "
                    + "'\(name)' has \(geometry.sectors) of \(geometry.sectorSize)")
        }
    }

    // MARK: Block

    override open func blockClient(_ index: UInt32, is client: BlockClient) { self.client = client }

    override open func blockInfo(_ index: UInt32) -> bp_block_info? {
        var info = bp_block_info()
        info.sector_size = geometry.sectorSize
        info.sectors = geometry.sectors
        info.read_only = isReadOnly ? 1 : 0
        if !isReadOnly { info.known = known }
        return info
    }

    override open func blockSubmitted(_ index: UInt32, _ request: BlockRequest) {
        let request = DiskRequest(request, geometry: geometry, isReadOnly: isReadOnly)
        // The client is on the call stack: the host keeps the completion until it is not.
        if !isCounted, let status = engine?.doneAtOnce(request) {
            client?.complete(tag: request.tag, status)
            return
        }
        guard engine?.submit(request) == true else {
            client?.complete(tag: request.tag, .busy)
            return
        }
        if isCounted { (try? host.events)?.expect(Self.news, after: Self.latency) }
    }

    override open func blockCancelAll(_ index: UInt32) {
        if engine?.cancelAll() == true { (try? host.events)?.forget(Self.news) }
    }

    override open func posted(_ argument: UInt) {
        // With a counted clock one for each post: what comes together on a fast host must not come sooner than announced.
        guard let news = engine?.takeNews(limit: isCounted ? 1 : .max) else { return }
        for completion in news.completions { client?.complete(tag: completion.tag, completion.status) }
        if let sectors = news.sectors { hasGrown(to: sectors) }
        if news.isQuiet { host.quiesced() }
    }
}
