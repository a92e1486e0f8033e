import ATA
import Testing

/// A channel with a medium behind it, driven as a guest drives it: by register numbers and literal bytes.
struct Rig {
    var chip: ATAChannel
    var written: [UInt64: [UInt8]] = [:]
    /// Sectors that fail, and how.
    var bad: [UInt64: ATAChannel.Outcome] = [:]
    var flushOutcome = ATAChannel.Outcome.success
    var requests: [ATAChannel.Request] = []

    init(_ first: Drive = .absent, _ second: Drive = .absent) { chip = ATAChannel(device0: first, device1: second) }

    /// A drive 0 of `sectors` sectors.
    init(sectors: UInt64, readOnly: Bool = false) throws {
        self.init(try Drive(sectors: sectors, readOnly: readOnly, model: "MODEL", serial: "SERIAL", firmware: "FW"))
    }

    // MARK: Medium

    /// What a sector holds as long as nobody has written it: no two sectors near each other are the same.
    static func pattern(_ sector: UInt64) -> [UInt8] {
        (0..<512).map { UInt8(truncatingIfNeeded: (sector &* 0x9E37_79B9 &+ UInt64($0) &* 31) >> 3) ^ UInt8($0 & 0xFF) }
    }

    func content(_ sector: UInt64) -> [UInt8] { written[sector] ?? Self.pattern(sector) }

    /// Carries out every request, and the ones that follow.
    mutating func serve() {
        while serveOne() {}
    }

    /// The request that waits; the test fails if there is none.
    mutating func take() throws -> ATAChannel.Request {
        let request = chip.takeRequest()
        return try #require(request)
    }

    mutating func serveOne() -> Bool {
        guard let request = chip.takeRequest() else { return false }
        requests.append(request)
        finish(request)
        return true
    }

    mutating func finish(_ request: ATAChannel.Request) {
        if request.operation == .flush {
            chip.complete(request.tag, flushOutcome)
            return
        }
        let sectors = request.sector..<(request.sector + UInt64(request.sectors))
        if let outcome = sectors.compactMap({ bad[$0] }).first {
            chip.complete(request.tag, outcome)
            return
        }
        if request.operation == .write { store(request) }
        // A variable of its own: swiftc 6.3.1 crashes on the span of a temporary here.
        let data = request.operation == .read ? sectors.flatMap { content($0) } : []
        chip.complete(request.tag, .success, data: data.span)
    }

    private mutating func store(_ request: ATAChannel.Request) {
        var data = [UInt8](repeating: 0, count: request.byteCount)
        var span = data.mutableSpan
        guard chip.copyData(of: request.tag, into: &span) == request.byteCount else { return }
        for i in 0..<request.sectors {
            written[request.sector + UInt64(i)] = Array(data[(i * 512)..<(i * 512 + 512)])
        }
    }

    // MARK: Guest

    var status: UInt8 { chip.alternateStatus }

    mutating func registers(features: UInt8 = 0, _ count: UInt8, _ low: UInt8, _ mid: UInt8, _ high: UInt8) {
        chip.write(1, features)
        chip.write(2, count)
        chip.write(3, low)
        chip.write(4, mid)
        chip.write(5, high)
    }

    mutating func command(
        _ code: UInt8, features: UInt8 = 0, count: UInt8 = 0, low: UInt8 = 0, mid: UInt8 = 0, high: UInt8 = 0,
        device: UInt8 = 0xA0
    ) {
        chip.write(6, device)
        registers(features: features, count, low, mid, high)
        chip.write(7, code)
    }

    /// A 28-bit LBA command.
    mutating func lba28(_ code: UInt8, _ sector: UInt32, count: UInt8, slave: Bool = false) {
        let device: UInt8 = (slave ? 0xF0 : 0xE0) | UInt8(sector >> 24 & 0x0F)
        command(
            code, count: count, low: UInt8(sector & 0xFF), mid: UInt8(sector >> 8 & 0xFF),
            high: UInt8(sector >> 16 & 0xFF), device: device)
    }

    /// A 48-bit command: the high bytes first, then the low ones.
    mutating func lba48(_ code: UInt8, _ sector: UInt64, count: UInt16) {
        chip.write(6, 0x40)
        registers(
            UInt8(count >> 8), UInt8(sector >> 24 & 0xFF), UInt8(sector >> 32 & 0xFF), UInt8(sector >> 40 & 0xFF))
        registers(
            UInt8(count & 0xFF), UInt8(sector & 0xFF), UInt8(sector >> 8 & 0xFF), UInt8(sector >> 16 & 0xFF))
        chip.write(7, code)
    }

    /// The interrupt handler: true if the line was up; reading Status puts it down.
    mutating func interrupt() -> Bool {
        let asserted = chip.interruptAsserted
        if asserted { _ = chip.read(7) }
        return asserted
    }

    mutating func words(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<count {
            let word = chip.readData(width: 2)
            bytes += [UInt8(word & 0xFF), UInt8(word >> 8)]
        }
        return bytes
    }

    /// Swift 6.3.1 inlines it where nobody wants the result, and fills that array when it has been freed.
    @inline(never)
    mutating func bulk(_ bytes: Int) -> [UInt8] {
        var data = [UInt8](repeating: 0, count: bytes)
        var span = data.mutableSpan
        let got = chip.readData(into: &span)
        return Array(data[..<got])
    }

    mutating func put(_ data: [UInt8]) {
        for i in stride(from: 0, to: data.count, by: 2) {
            chip.writeData(UInt32(data[i]) | UInt32(data[i + 1]) << 8, width: 2)
        }
    }

    /// The address registers as a 48-bit number, the low bytes read first and then, with HOB, the high ones.
    mutating func address48() -> UInt64 {
        var value: UInt64 = 0
        for (high, shift) in [(false, UInt64(0)), (true, 24)] {
            chip.writeControl(high ? 0x80 : 0x00)
            for i in 0..<3 { value |= UInt64(chip.read(UInt8(3 + i))) << (shift + UInt64(i) * 8) }
        }
        return value
    }

    mutating func identify(device: UInt8 = 0xA0) -> [UInt16] {
        command(0xEC, device: device)
        let bytes = words(256)
        return (0..<256).map { UInt16(bytes[$0 * 2]) | UInt16(bytes[$0 * 2 + 1]) << 8 }
    }
}

/// Pseudo-random numbers that a seed repeats (xorshift64*).
struct Dice {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func roll() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }

    mutating func below(_ limit: Int) -> Int { Int(roll() >> 33) % limit }
    mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: roll() >> 24) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
}
