import ATA
import PluginKit

/// Connects the channel to its ports, its interrupt line and up to two block devices.
final class ATAPlugin: Instance {
    static let definition = ClassDefinition.device(
        "ata", summary: "ATA channel (ISA task file) with up to two disks or CD-ROM drives",
        properties: [
            Property("at", .port, default: "0x1f0", doc: "first of the eight command block ports"),
            Property("control", .port, default: "0x3f6", doc: "the control port: alternate status and device control"),
            Property(
                "drive", .choice, default: "disk", choices: ["disk", "cdrom"],
                doc: "what drive 0 is; the medium of a cdrom is an image as ISOs are"),
            Property(
                "model", .text, doc: "model of drive 0, up to 40 characters; else BACKPLANE DISK or BACKPLANE CD-ROM"),
            Property(
                "serial", .text, default: "", doc: "serial number of drive 0, up to 20 characters; empty: its place"),
            Property(
                "geometry", .text, doc: "drive 0's cylinders/heads/sectors, such as 1024/16/63; else the usual one"),
            Property(
                "slave-drive", .choice, default: "disk", choices: ["disk", "cdrom"], doc: "what drive 1 is"),
            Property("slave-model", .text, doc: "model of drive 1"),
            Property("slave-serial", .text, default: "", doc: "serial number of drive 1"),
            Property("slave-geometry", .text, doc: "drive 1's cylinders/heads/sectors"),
        ],
        slots: [
            Slot("irq", "irq-line/1", optional: true, doc: "INTRQ: IRQ 14 of a PC's first channel"),
            Slot("block", "block/1", optional: true, doc: "the medium of drive 0"),
            Slot("slave", "block/1", optional: true, doc: "the medium of drive 1"),
            Slot(
                "dma", "dma-channel/1", optional: true,
                doc: "the channel of the IDE controller's bus master; without it the drives know no DMA"),
        ],
        methods: [
            Method(
                "eject", result: .status,
                doc: "takes the disc out of the CD-ROM drive; a guest that has locked it is asked to let it go",
                function: { (raw) in instance(raw, as: ATAPlugin.self).setOpen(true) }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Int32),
            Method(
                "insert", result: .status, doc: "puts it in again",
                function: { (raw) in instance(raw, as: ATAPlugin.self).setOpen(false) }
                    as @convention(c) (UnsafeMutableRawPointer?) -> Int32),
            Method(
                "change", [(name: "path", kind: .text)], result: .status,
                doc:
                    "puts the disc of another image into the channel's first CD-ROM drive, in the place of the one that is in it",
                function: { (raw, path) in
                    instance(raw, as: ATAPlugin.self).change(path.map { String(cString: $0) } ?? "")
                } as @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?) -> Int32),
        ],
        // Where an IDE function on PCI has the same ports, that is the device.
        firmware: [FirmwareNode("PNP0600")],
        make: { (host, values) throws(PluginError) in try ATAPlugin(host, values) })

    private struct Options {
        var kind: Drive.Kind
        var model: String
        var serial: String
        var geometry: CHS?

        /// `prefix`: of the drive's properties.
        init(_ values: Values, _ host: Host, _ prefix: String, place: String) throws(PluginError) {
            kind = values.text(prefix + "drive") == "cdrom" ? .cdrom : .disk
            let usual = kind == .cdrom ? "BACKPLANE CD-ROM" : "BACKPLANE DISK"
            model = values.isSet(prefix + "model") ? values.text(prefix + "model") : usual
            let serial = values.text(prefix + "serial")
            self.serial = serial.isEmpty ? "BP-" + host.id + "-" + place : serial
            geometry = try ATAPlugin.geometry(values, prefix + "geometry")
        }
    }

    private enum Cookie { static let (command, control) = (0 as UInt64, 1 as UInt64) }

    private let ports: (command: UInt16, control: UInt16)
    private let options: [Options]
    private var media = [BlockPeer.unwired, BlockPeer.unwired]
    private var chip = ATAChannel()
    private var line: Line?
    private var channel = DMAChannelPeer.unwired
    /// What the channel was told last.
    private var requested: ATAChannel.DMADirection?
    private var channelInterrupt = false
    private var seenDrops: UInt64 = 0

    /// SAFETY: one buffer for the one request that is under way; the medium touches it until it completes or `cancelAll`
    /// returns, and it is freed only after disconnect.
    /// With DMA it holds what is between medium and channel too.
    private var buffer: UnsafeMutableBufferPointer<UInt8>
    private var underWay: ATAChannel.Request?
    /// A write whose data has arrived is being made durable.
    private var isFlushing = false
    /// From quiesce to start: what is under way is the last.
    private var isQuiet = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        ports = (values.port("at"), values.port("control"))
        options = [try Options(values, host, "", place: "0"), try Options(values, host, "slave-", place: "1")]
        buffer = .allocate(capacity: ATAChannel.bufferSize)
        buffer.initialize(repeating: 0)
        super.init(host)
    }

    deinit { buffer.deallocate() }

    private static func geometry(_ values: Values, _ name: String) throws(PluginError) -> CHS? {
        guard values.isSet(name) else { return nil }
        let parts = values.text(name).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, let cylinders = UInt16(parts[0]), let heads = UInt8(parts[1]),
            let sectors = UInt8(parts[2])
        else {
            throw PluginError(name + ": '" + values.text(name) + "' is not cylinders/heads/sectors, such as 1024/16/63")
        }
        return CHS(cylinders: cylinders, heads: heads, sectorsPerTrack: sectors)
    }

    // MARK: Lifecycle

    override func connect() throws(PluginError) {
        let io = try host.io
        guard ports.command <= 0xfff8 else {
            throw PluginError("at: eight ports from this one do not fit below 0x10000")
        }
        try io.claimPorts(
            ports.command, count: 8, widths: [.byte, .word, .long], cookie: Cookie.command, bulk: true,
            name: "command block")
        try io.claimPorts(ports.control, count: 1, cookie: Cookie.control, name: "control block")
        line = try host.line("irq")
        channel = try host.dmaChannel("dma")
        if channel.isWired { enlargeBuffer() }
        media = [try host.block("block"), try host.block("slave")]
        chip = ATAChannel(device0: try drive(0), device1: try drive(1), hasDMA: channel.isWired)
    }

    private func enlargeBuffer() {
        buffer.deallocate()
        buffer = .allocate(capacity: ATAChannel.dmaSectors * ATAChannel.sectorSize)
        buffer.initialize(repeating: 0)
    }

    private func drive(_ index: Int) throws(PluginError) -> Drive {
        guard media[index].isWired else { return .absent }
        let slot = index == 0 ? "block" : "slave"
        guard let info = media[index].info else { throw PluginError(slot + ": the medium gives no size") }
        guard info.sector_size == 512 else {
            throw PluginError(slot + ": an ATA disk has sectors of 512 bytes, and this medium has \(info.sector_size)")
        }
        do {
            return try Drive(
                sectors: info.sectors, readOnly: info.read_only != 0, model: options[index].model,
                serial: options[index].serial, geometry: options[index].geometry, kind: options[index].kind)
        } catch {
            switch error {
            case .tooManySectors(let count):
                throw PluginError(slot + ": \(count) sectors are more than ATA can address")
            case .geometryOutOfRange:
                throw PluginError(slot + ": a geometry has 1 to 65535 cylinders, 1 to 16 heads and 1 to 255 sectors")
            case .noDisc(let sectors):
                throw PluginError(
                    slot + ": \(sectors) sectors of 512 bytes are no disc, which has 1 to 2^32 - 1 blocks of 2048")
            case .geometryLargerThanDrive(_, let sectors):
                throw PluginError(slot + ": the geometry names more than the \(sectors) sectors that there are")
            }
        }
    }

    override func reset(warm: Bool) {
        abandon()
        chip.reset()
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
        isFlushing = false
    }

    // MARK: Guest side

    override func read(_ access: Access) -> ReadResult {
        if access.cookie == Cookie.control { return .value(chip.alternateStatus) }
        let width = UInt8(truncatingIfNeeded: access.width)
        if access.offset == 0 {
            if access.isPeek { return .value(chip.peekData(width: width)) }
            let value = chip.readData(width: width)
            settle()
            return .value(value)
        }
        var value: UInt32 = 0
        for byte in 0..<access.width {
            let offset = UInt8(truncatingIfNeeded: access.offset) &+ UInt8(truncatingIfNeeded: byte)
            let one = access.isPeek ? chip.peek(offset) : chip.read(offset)
            value |= UInt32(one) &<< UInt32(byte &* 8)
        }
        if !access.isPeek { settle() }
        return .value(value)
    }

    override func write(_ access: Access, _ value: UInt64) -> PluginKit.Status {
        if access.cookie == Cookie.control {
            chip.writeControl(UInt8(truncatingIfNeeded: value))
        } else if access.offset == 0 {
            chip.writeData(UInt32(truncatingIfNeeded: value), width: UInt8(truncatingIfNeeded: access.width))
        } else {
            for byte in 0..<access.width {
                let offset = UInt8(truncatingIfNeeded: access.offset) &+ UInt8(truncatingIfNeeded: byte)
                chip.write(offset, UInt8(truncatingIfNeeded: value &>> UInt64(byte &* 8)))
            }
        }
        settle()
        return .ok
    }

    override func readBulk(_ access: Access, into bytes: UnsafeMutableRawBufferPointer) -> Int {
        guard access.cookie == Cookie.command, access.offset == 0, access.width > 1 else { return 0 }
        var span = bytes.bindMemory(to: UInt8.self).mutableSpan
        let done = chip.readData(into: &span)
        settle()
        return done / access.width
    }

    override func writeBulk(_ access: Access, from bytes: UnsafeRawBufferPointer) -> Int {
        guard access.cookie == Cookie.command, access.offset == 0, access.width > 1 else { return 0 }
        let done = chip.writeData(from: bytes.bindMemory(to: UInt8.self).span)
        settle()
        return done / access.width
    }

    // MARK: Media

    override func blockCompleted(slot: Int, tag: UInt64, _ status: PluginKit.Status) {
        guard let request = underWay, request.tag == tag, slot == request.drive + 1 else { return }
        if status == .ok, request.operation == .write, request.writeThrough, !isFlushing {
            isFlushing = true
            return media[request.drive].submit(.flush, sector: 0, count: 0, data: nil, tag: tag)
        }
        underWay = nil
        isFlushing = false
        // A request that the guest has abandoned meanwhile is stale: the chip ignores it.
        if request.operation == .read, status == .ok {
            let data = UnsafeBufferPointer(rebasing: buffer[..<min(request.byteCount, buffer.count)])
            chip.complete(tag, .success, data: data.span)
        } else {
            chip.complete(tag, ATAPlugin.outcome(status))
        }
        if isQuiet { return host.quiesced() }
        settle()
    }

    // MARK: The DMA channel

    override func dmaReady(slot: Int, _ isReady: Bool) {
        chip.setChannelReady(isReady)
        settle()
    }

    override func dmaMoved(slot: Int, _ count: Int) {
        chip.moved(count)
        settle()
    }

    override func dmaRead(slot: Int, _ bytes: UnsafeRawBufferPointer) {
        guard underWay == nil else { return }
        let count = min(bytes.count, buffer.count)
        UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        chip.moved(count)
        settle()
    }

    /// Moves what can be moved; the buffer is free where no request is under way.
    private func settleChannel() {
        if chip.dmaRequest != requested { request(chip.dmaRequest) }
        guard underWay == nil, !isQuiet, let (direction, count) = chip.takeMovement() else { return }
        switch direction {
        case .toHost:
            var span = buffer.mutableSpan
            _ = chip.copyReply(into: &span)
            channel.write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
        case .toDevice: channel.read(count)
        }
    }

    private func request(_ direction: ATAChannel.DMADirection?) {
        requested = direction
        channel.request(direction.map { $0 == .toHost ? .toMemory : .fromMemory })
    }

    private static func outcome(_ status: PluginKit.Status) -> ATAChannel.Outcome {
        switch status {
        case .ok: .success
        case .readOnly: .writeProtected
        case .noSpace: .noSpace
        case .ioError, .outOfRange: .mediumError
        default: .deviceFault
        }
    }

    /// Hands the chip's next request to its medium, one at a time, and brings the pin up to date.
    private func settle() {
        if channel.isWired { settleChannel() }
        if underWay == nil, !isQuiet, let request = chip.takeRequest() { submit(request) }
        let level = chip.interruptAsserted
        if level, chip.interruptDrops != seenDrops { setInterrupt(false) }
        seenDrops = chip.interruptDrops
        setInterrupt(level)
    }

    private func setInterrupt(_ level: Bool) {
        line?.set(level)
        guard channel.isWired, level != channelInterrupt else { return }
        channelInterrupt = level
        channel.setInterrupt(level)
    }

    private func submit(_ request: ATAChannel.Request) {
        underWay = request
        let medium = media[request.drive]
        let (sector, count) = (request.sector, UInt64(request.sectors))
        switch request.operation {
        case .flush: medium.submit(.flush, sector: 0, count: 0, data: nil, tag: request.tag)
        case .read: medium.submit(.read, sector: sector, count: count, data: buffer.baseAddress, tag: request.tag)
        case .write where request.usesChannel:
            medium.submit(.write, sector: sector, count: count, data: buffer.baseAddress, tag: request.tag)
        case .write:
            var span = buffer.mutableSpan
            _ = chip.copyData(of: request.tag, into: &span)
            medium.submit(.write, sector: sector, count: count, data: buffer.baseAddress, tag: request.tag)
        }
    }

    // MARK: Discs

    private var discDrives: [Int] { options.indices.filter { options[$0].kind == .cdrom && media[$0].isWired } }

    private func fail(_ sentence: String, _ status: PluginKit.Status) -> Int32 {
        host.fail(sentence)
        return status.rawValue
    }

    private func failWithoutDrive() -> Int32 { fail("there is no CD-ROM drive on this channel", .notFound) }
    private func failLocked() -> Int32 {
        fail("the guest has locked the drive: it is asked to let the disc go", .refused)
    }

    /// Of every CD-ROM drive of the channel.
    private func setOpen(_ isOpen: Bool) -> Int32 {
        let drives = discDrives
        guard !drives.isEmpty else { return failWithoutDrive() }
        for index in drives where !chip.press(UInt8(index), opens: isOpen) { return failLocked() }
        return PluginKit.Status.ok.rawValue
    }

    private func change(_ path: String) -> Int32 {
        guard let index = discDrives.first else { return failWithoutDrive() }
        if chip.isLocked(UInt8(index)) {
            _ = chip.press(UInt8(index), opens: true)
            return failLocked()
        }
        if underWay?.drive == index {
            abandon()
            chip.requestAgain()
            if isQuiet { host.quiesced() }
        }
        defer { settle() }
        let status = media[index].insert(path, isReadOnly: true)
        guard status == .ok else { return status.rawValue }
        do throws(Drive.Problem) {
            _ = try chip.change(UInt8(index), sectors: media[index].info?.sectors ?? 0)
        } catch {
            return fail("\(path) is no disc, which has 1 to 2^32 - 1 blocks of 2048 bytes: the drive is open", .invalid)
        }
        return PluginKit.Status.ok.rawValue
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) { ATAState.put(chip.state, to: state) }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let saved = try ATAState.get(from: state)
        var restored = chip
        guard restored.restore(saved) else { throw PluginError("the saved ATA state contradicts itself or the drives") }
        abandon()
        chip = restored
        settle()
    }
}

let library = Library(
    "ata", version: "1.0", summary: "ATA channel with up to two disks or CD-ROM drives", needsMinor: 0,
    classes: [ATAPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
