import FDC82077
import Testing

/// A controller with media behind it, driven as a guest drives it: by register numbers and literal bytes of the 82077AA data sheet (290166).
struct Rig {
    var chip: FDC82077
    var now: UInt64 = 1_000_000
    /// By drive and sector of the image.
    var written: [[UInt64: [UInt8]]] = [[:], [:]]
    var bad: [UInt64: FDC82077.Outcome] = [:]
    var requests: [FDC82077.Request] = []
    /// What a DMA channel moves to memory, and from there; nil: it does not run.
    var memory: [UInt8] = []
    var channelLeft: Int?
    /// What the channel reads from memory, byte after byte.
    var source: (Int) -> UInt8 = { UInt8(truncatingIfNeeded: $0 * 7 + 1) }

    /// Sectors of the image in drive A; nil: no disk. 2880 is 1.44M.
    init(_ sectors: UInt64? = 2880, readOnly: Bool = false, mode: FDC82077.Mode = .at, second: UInt64? = nil) {
        var drives = [FDC82077.Drive(sectors.flatMap { FloppyFormat(sectorCount: $0) }, isReadOnly: readOnly)]
        if let second { drives.append(.init(FloppyFormat(sectorCount: second), isReadOnly: false)) }
        chip = FDC82077(mode, drives: drives)
    }

    /// Out of reset, motors on, 500 kbit/s, four interrupts of polling sensed, DMA.
    static func ready(
        _ sectors: UInt64? = 2880, readOnly: Bool = false, rate: UInt8 = 0, second: UInt64? = nil
    ) -> Rig {
        var rig = Rig(sectors, readOnly: readOnly, second: second)
        rig.out(2, 0x3C)
        for _ in 0..<4 { _ = rig.command([0x08]) }
        rig.out(7, rate)
        rig.send([0x03, 0xDF, 0x02])
        return rig
    }

    // MARK: Registers

    mutating func out(_ register: UInt8, _ value: UInt8) {
        chip.write(register, value, at: now)
        serve()
    }

    mutating func input(_ register: UInt8) -> UInt8 {
        let value = chip.read(register, at: now)
        serve()
        return value
    }

    var msr: UInt8 { chip.peek(4) }
    var interrupt: Bool { chip.interruptAsserted }

    mutating func send(_ bytes: [UInt8]) { for byte in bytes { out(5, byte) } }

    /// The result phase.
    mutating func result() -> [UInt8] {
        var bytes: [UInt8] = []
        while msr & 0xD0 == 0xD0, bytes.count < 16 { bytes.append(input(5)) }
        return bytes
    }

    /// Sends a command, waits for what it does, and reads its result.
    mutating func command(_ bytes: [UInt8], wait: UInt64 = 100_000_000) -> [UInt8] {
        send(bytes)
        run(wait)
        return result()
    }

    /// A data transfer of drive A in MFM: code, cylinder, head, sector, EOT.
    mutating func transfer(
        _ code: UInt8, _ c: UInt8, _ h: UInt8, _ r: UInt8, eot: UInt8 = 18, dma: Int?, drive: UInt8 = 0
    ) -> [UInt8] {
        channelLeft = dma
        memory = []
        return command([code, h << 2 | drive, c, h, r, 2, eot, 0x1B, 0xFF])
    }

    mutating func seek(_ cylinder: UInt8, drive: UInt8 = 0) -> [UInt8] {
        send([0x0F, drive, cylinder])
        run(100_000_000)
        return command([0x08])
    }

    // MARK: Time and the other sides

    /// Lets virtual time pass.
    mutating func run(_ nanoseconds: UInt64) {
        let end = now + nanoseconds
        while let next = chip.nextEvent, next <= end {
            now = max(now, next)
            chip.advance(to: now)
            serve()
        }
        now = end
    }

    mutating func serve() {
        while serveChannel() || serveMedium() {}
    }

    /// A channel that counts: it is not ready any more before the answer that takes it to its end.
    private mutating func serveChannel() -> Bool {
        guard let left = channelLeft, chip.dmaRequest != nil else { return false }
        if left > 0 { chip.setChannelReady(true) }
        guard let (direction, bytes, count) = chip.takeMovement() else { return false }
        let moved = min(left, count)
        channelLeft = left - moved
        if left == moved { chip.setChannelReady(false) }
        let start = memory.count
        let data = (0..<moved).map { source(start + $0) }
        memory += direction == .toHost ? Array(bytes[..<moved]) : data
        chip.moved(moved, data: direction == .toDisk ? data : [], at: now)
        return true
    }

    private mutating func serveMedium() -> Bool {
        guard let request = chip.takeRequest() else { return false }
        requests.append(request)
        let outcome = bad[request.sector] ?? .success
        if request.isWrite, outcome == .success { written[request.unit][request.sector] = request.data }
        let data = request.isWrite ? [] : content(request.sector, drive: request.unit)
        chip.complete(request.tag, outcome, data: outcome == .success ? data : [], at: now)
        return true
    }

    /// What a sector holds as long as nobody has written it: no two are the same.
    static func pattern(_ sector: UInt64) -> [UInt8] {
        (0..<512).map { UInt8(truncatingIfNeeded: (sector &* 0x9E37_79B9 &+ UInt64($0) &* 31) >> 3) }
    }

    func content(_ sector: UInt64, drive: Int = 0) -> [UInt8] { written[drive][sector] ?? Self.pattern(sector) }

    func contents(_ sectors: Range<UInt64>) -> [UInt8] { sectors.flatMap { content($0) } }
}
