import FDC82077
import PluginKit

/// Connects the chip to its ports, its interrupt line, its DMA channel and up to two disks.
final class FDC82077Plugin: Instance {
    static let definition = ClassDefinition.device(
        "fdc82077", summary: "82077AA floppy disk controller with up to two drives",
        properties: [
            Property("at", .port, default: "0x3f0", doc: "its base: registers 0 to 5 and 7; 6 is an ATA channel's"),
            Property(
                "mode", .choice, default: "at", choices: ["at", "ps2"],
                doc: "how it is strapped: ps2 has registers 0 and 1, and interrupts that DOR does not gate"),
        ],
        slots: [
            Slot("irq", "irq-line/1", optional: true, doc: "INT, IRQ 6 on a PC"),
            Slot(
                "dma", "dma-channel/1", optional: true,
                doc: "its DMA channel, 2 on a PC; without it the guest moves each byte"),
            Slot(
                "block", "block/1", optional: true,
                doc:
                    "the disk of drive A: an image of 160K, 180K, 320K, 360K, 720K, 1.2M, 1.44M or 2.88M; not wired: there is no drive"
            ),
            Slot("second", "block/1", optional: true, doc: "the disk of drive B"),
        ],
        methods: disks(0, ("eject", "insert", "change"), "A") + disks(1, ("eject-b", "insert-b", "change-b"), "B"),
        firmware: [FirmwareNode("PNP0700")],
        make: { (host, values) throws(PluginError) in try FDC82077Plugin(host, values) })

    private typealias Names = (eject: StaticString, insert: StaticString, change: StaticString)
    private typealias Plain = @convention(c) (UnsafeMutableRawPointer?) -> Int32
    private typealias WithPath = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?) -> Int32

    /// SAFETY: C functions capture nothing, so that there are some for each drive.
    private static func disks(_ drive: Int, _ names: Names, _ letter: StaticString) -> [Method] {
        let functions: (eject: Plain, insert: Plain, change: WithPath) =
            drive == 0
            ? (
                { instance($0, as: FDC82077Plugin.self).setOpen(0, true) },
                { instance($0, as: FDC82077Plugin.self).setOpen(0, false) },
                { instance($0, as: FDC82077Plugin.self).change(0, $1.map { String(cString: $0) } ?? "") }
            )
            : (
                { instance($0, as: FDC82077Plugin.self).setOpen(1, true) },
                { instance($0, as: FDC82077Plugin.self).setOpen(1, false) },
                { instance($0, as: FDC82077Plugin.self).change(1, $1.map { String(cString: $0) } ?? "") }
            )
        let isFirst = drive == 0
        return [
            Method(
                names.eject, result: .status,
                doc: isFirst ? "takes the disk out of drive A" : "takes the disk out of drive B",
                function: functions.eject),
            Method(names.insert, result: .status, doc: "puts it in again", function: functions.insert),
            Method(
                names.change, [(name: "path", kind: .text)], result: .status,
                doc: isFirst
                    ? "puts the disk of another image into drive A, in the place of the one that is in it"
                    : "puts the disk of another image into drive B",
                function: functions.change),
        ]
    }

    private static let drives = 2
    private let base: UInt16
    private let mode: FDC82077.Mode
    private let clock: Clock
    private let timer: Timer
    private var chip = FDC82077()
    private var media = [BlockPeer](repeating: .unwired, count: drives)
    private var line: Line?
    private var channel = DMAChannelPeer.unwired
    /// What the channel was told last.
    private var requested: FDC82077.Direction?
    private var seenDrops: UInt64 = 0
    private var armed: UInt64?

    /// SAFETY: for the one request that is under way; the medium touches it until it completes or `cancelAll` returns, and it is freed only
    /// after disconnect.
    private let buffer: UnsafeMutableRawBufferPointer
    private var underWay: FDC82077.Request?
    /// From quiesce to start: what is under way is the last.
    private var isQuiet = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        base = values.port("at")
        mode = values.text("mode") == "ps2" ? .ps2 : .at
        clock = try host.clock
        timer = try host.clock.timer()
        buffer = .allocate(byteCount: FDC82077.sectorSize, alignment: 16)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        super.init(host)
    }

    deinit { buffer.deallocate() }

    // MARK: Lifecycle

    override func connect() throws(PluginError) {
        guard base <= 0xFFF8 else { throw PluginError("at: eight ports from this one do not fit below 0x10000") }
        try host.io.claimPorts(base, count: 6, name: "floppy controller")
        try host.io.claimPorts(base + 7, count: 1, name: "floppy controller, DIR and CCR")
        line = try host.line("irq")
        channel = try host.dmaChannel("dma")
        media = [try host.block("block"), try host.block("second")]
        var drives: [FDC82077.Drive] = []
        for (medium, slot) in zip(media, ["block", "second"]) {
            drives.append(medium.isWired ? try Self.drive(medium, slot) : FDC82077.Drive())
        }
        chip = FDC82077(mode, drives: drives)
    }

    private static let sizes = FloppyFormat.all.map(\.name).joined(separator: ", ")

    private static func drive(_ medium: BlockPeer, _ slot: String) throws(PluginError) -> FDC82077.Drive {
        guard let info = medium.info else { throw PluginError(slot + ": the medium gives no size") }
        guard let format = format(info) else {
            throw PluginError(
                "\(slot): \(info.sectors) sectors of \(info.sector_size) bytes are no floppy, which has \(sizes)")
        }
        return FDC82077.Drive(format, isReadOnly: info.read_only != 0)
    }

    private static func format(_ info: bp_block_info) -> FloppyFormat? {
        info.sector_size == 512 ? FloppyFormat(sectorCount: info.sectors) : nil
    }

    override func reset(warm: Bool) {
        abandon()
        chip.reset(isCold: !warm)
        settle()
    }

    override func quiesce() throws(PluginError) -> Bool {
        isQuiet = true
        return underWay == nil
    }

    override func start() throws(PluginError) {
        isQuiet = false
        // The controller may have been loaded meanwhile: it says anew whether the channel runs.
        if channel.isWired { request(chip.dmaRequest) }
        settle()
    }

    override func disconnect() { abandon() }

    /// What is under way is not awaited.
    private func abandon() {
        guard underWay != nil else { return }
        for medium in media { medium.cancelAll() }
        underWay = nil
    }

    // MARK: Guest side

    private func register(_ access: Access) -> UInt8 { UInt8(truncatingIfNeeded: access.address &- UInt64(base)) }

    override func read(_ access: Access) -> ReadResult {
        if access.isPeek { return .value(chip.peek(register(access))) }
        chip.advance(to: clock.now)
        let value = chip.read(register(access), at: clock.now)
        settle()
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> PluginKit.Status {
        chip.advance(to: clock.now)
        chip.write(register(access), UInt8(truncatingIfNeeded: value), at: clock.now)
        settle()
        return .ok
    }

    override func timerFired(cookie: UInt64, at now: UInt64) {
        armed = nil
        chip.advance(to: now)
        settle()
    }

    /// Hands on what the chip has for its medium and its channel, and brings pin and timer up to date.
    private func settle() {
        if channel.isWired { settleChannel() }
        if underWay == nil, !isQuiet, let request = chip.takeRequest() { submit(request) }
        let level = chip.interruptAsserted
        if level, chip.interruptDrops != seenDrops { line?.set(false) }
        seenDrops = chip.interruptDrops
        line?.set(level)
        let next = chip.nextEvent
        guard next != armed else { return }
        armed = next
        timer.set(at: next)
    }

    // MARK: Media

    private func submit(_ request: FDC82077.Request) {
        underWay = request
        buffer.copyBytes(from: request.data.prefix(buffer.count))
        media[request.unit].submit(
            request.isWrite ? .write : .read, sector: request.sector, count: 1, data: buffer.baseAddress,
            tag: request.tag)
    }

    override func blockCompleted(slot: Int, tag: UInt64, _ status: PluginKit.Status) {
        guard let request = underWay, request.tag == tag, slot == request.unit + 2 else { return }
        underWay = nil
        let data = request.isWrite || status != .ok ? [] : [UInt8](buffer)
        chip.complete(tag, Self.outcome(status), data: data, at: clock.now)
        if isQuiet { return host.quiesced() }
        settle()
    }

    private static func outcome(_ status: PluginKit.Status) -> FDC82077.Outcome {
        switch status {
        case .ok: .success
        case .readOnly: .writeProtected
        default: .failed
        }
    }

    // MARK: The DMA channel

    private func settleChannel() {
        if chip.dmaRequest != requested { request(chip.dmaRequest) }
        guard !isQuiet, let (direction, bytes, count) = chip.takeMovement() else { return }
        switch direction {
        case .toHost: bytes.withUnsafeBytes { channel.write($0) }
        case .toDisk: channel.read(count)
        }
    }

    private func request(_ direction: FDC82077.Direction?) {
        requested = direction
        channel.request(direction.map { $0 == .toHost ? .toMemory : .fromMemory })
    }

    override func dmaReady(slot: Int, _ isReady: Bool) {
        chip.setChannelReady(isReady)
        settle()
    }

    override func dmaMoved(slot: Int, _ count: Int) {
        chip.moved(count, at: clock.now)
        settle()
    }

    override func dmaRead(slot: Int, _ bytes: UnsafeRawBufferPointer) {
        chip.moved(bytes.count, data: [UInt8](bytes.prefix(FDC82077.sectorSize)), at: clock.now)
        settle()
    }

    // MARK: Disks

    private func fail(_ sentence: String, _ status: PluginKit.Status) -> Int32 {
        host.fail(sentence)
        return status.rawValue
    }

    private func failWithoutDrive(_ drive: Int) -> Int32 {
        fail("there is no drive " + (drive == 0 ? "A" : "B"), .notFound)
    }

    private func setOpen(_ drive: Int, _ isOpen: Bool) -> Int32 {
        guard media[drive].isWired else { return failWithoutDrive(drive) }
        chip.advance(to: clock.now)
        release(drive)
        chip.setOpen(drive, isOpen, at: clock.now)
        settle()
        return PluginKit.Status.ok.rawValue
    }

    /// What is under way with the drive's disk is given up; the chip asks for it anew.
    private func release(_ drive: Int) {
        guard underWay?.unit == drive else { return }
        abandon()
        chip.requestAgain()
        if isQuiet { host.quiesced() }
    }

    private func change(_ drive: Int, _ path: String) -> Int32 {
        guard media[drive].isWired else { return failWithoutDrive(drive) }
        chip.advance(to: clock.now)
        release(drive)
        defer { settle() }
        let status = media[drive].insert(path, isReadOnly: media[drive].info?.read_only ?? 0 != 0)
        guard status == .ok else { return status.rawValue }
        let info = media[drive].info
        let format = info.flatMap(Self.format)
        chip.change(drive, format, isReadOnly: info?.read_only ?? 0 != 0, at: clock.now)
        guard format == nil else { return PluginKit.Status.ok.rawValue }
        return fail("\(path) is no floppy, which has \(Self.sizes): the drive is empty", .invalid)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) { FDC82077State.put(chip.state, to: state) }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let saved = try FDC82077State.get(from: state)
        var restored = chip
        guard restored.restore(saved) else { throw PluginError("the saved floppy state contradicts itself") }
        abandon()
        chip = restored
        requested = nil
        settle()
    }
}

let library = Library(
    "fdc82077", version: "1.0", summary: "82077AA floppy disk controller", needsMinor: 5,
    classes: [FDC82077Plugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
