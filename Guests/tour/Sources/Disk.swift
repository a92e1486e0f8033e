/// A drive, and what the tour does with it.
struct Disk {
    private static let tested: UInt32 = 4

    let channel: ATAChannel
    let drive: UInt8
    let isPacketDevice: Bool

    // MARK: Identity

    private struct Identity {
        let hasLBA: Bool
        let canFlush: Bool
        /// Those that 32 bits can count, and only 28 without the long commands.
        let sectors: UInt32

        /// Words 49 (LBA), 60-61 (28-bit capacity), 83 (features), 100-103 (48-bit capacity).
        init(_ data: Buffer) {
            func pair(_ index: UInt32) -> UInt32 { UInt32(data.word(index)) | UInt32(data.word(index + 1)) << 16 }
            let features = data.word(83)
            let isValid = features >> 14 == 0b01
            hasLBA = data.word(49) & 1 << 9 != 0
            canFlush = isValid && features & 1 << 12 != 0
            let isLong = isValid && features & 1 << 10 != 0
            sectors = !isLong ? pair(60) : pair(102) != 0 ? UInt32.max : max(pair(100), pair(60))
        }
    }

    /// Words 27 to 46, two characters each, the first in the high byte; padded with spaces.
    private func showModel() {
        let data = Buffer.identity
        func character(_ index: UInt32) -> UInt8 { data[54 + (index ^ 1)] }
        var length: UInt32 = 40
        while length > 0, character(length - 1) == 0x20 || character(length - 1) == 0 { length -= 1 }
        Console.send("\"")
        for index in 0..<length {
            let byte = character(index)
            Console.send((0x20...0x7E).contains(byte) ? byte : UInt8(ascii: "?"))
        }
        Console.send("\"")
    }

    // MARK: The test

    private func showName() { show("disk: ata\(channel.index)-\(drive) ") }

    /// Reports what the drive is, reads its first sector, and writes its last four, which it restores.
    func run(_ clock: Clock) {
        do throws(ATAError) {
            channel.startIdentify(drive, isPacketDevice ? .identifyPacket : .identify)
            try channel.finishIdentify(clock)
        } catch {
            return fail("identify", error)
        }
        let identity = Identity(.identity)
        showName()
        showModel()
        if isPacketDevice { return say(", a packet device: not tested") }
        say("")
        if !identity.hasLBA || identity.sectors <= Self.tested { return complain(identity) }

        do throws(ATAError) {
            try showFirstBytes(clock)
        } catch {
            return fail("read", error)
        }
        exercise(identity, clock)
    }

    private func complain(_ identity: Identity) {
        showName()
        say(identity.hasLBA ? "is too small to test" : "has no LBA: not tested")
    }

    private func showFirstBytes(_ clock: Clock) throws(ATAError) {
        try channel.read(drive, 0, into: .work, sectors: 1, clock)
        showName()
        show("starts with")
        for index in 0..<UInt32(16) { show(" \(bare: UInt32(Buffer.work[index]), digits: 2)") }
        say("")
    }

    private func exercise(_ identity: Identity, _ clock: Clock) {
        let first = identity.sectors - Self.tested
        do throws(ATAError) {
            try channel.read(drive, first, into: .saved, sectors: Self.tested, clock)
        } catch {
            return fail("read", error)
        }
        let outcome = writeAndCompare(first, clock)
        restore(first, identity, clock, isReported: outcome != .refused)
        showName()
        switch outcome {
        case .verified: say("\(identity.sectors) sectors, wrote and verified \(Self.tested)")
        case .differs(let at): say("\(identity.sectors) sectors, reads back wrong at byte \(at)")
        case .refused: say("\(identity.sectors) sectors, cannot be written")
        }
    }

    private enum Outcome: Equatable { case verified, differs(at: UInt32), refused }

    private func writeAndCompare(_ first: UInt32, _ clock: Clock) -> Outcome {
        for index in 0..<Buffer.work.size { Buffer.work[index] = pattern(index) }
        do throws(ATAError) {
            try channel.write(drive, first, from: .work, sectors: Self.tested, clock)
            for index in 0..<Buffer.work.size { Buffer.work[index] = 0 }
            try channel.read(drive, first, into: .work, sectors: Self.tested, clock)
        } catch {
            fail("write", error)
            return .refused
        }
        for index in 0..<Buffer.work.size where Buffer.work[index] != pattern(index) { return .differs(at: index) }
        return .verified
    }

    /// Differs from what was there in every byte (the mask is odd), so that a write which is not done shows.
    private func pattern(_ index: UInt32) -> UInt8 {
        Buffer.saved[index] ^ UInt8(truncatingIfNeeded: index &* 6 &+ index >> 8 &* 34 &+ UInt32(drive) &* 16 | 1)
    }

    /// A drive that refused a write may have taken part of it, so the sectors are written back in any case.
    private func restore(_ first: UInt32, _ identity: Identity, _ clock: Clock, isReported: Bool) {
        do throws(ATAError) {
            try channel.write(drive, first, from: .saved, sectors: Self.tested, clock)
        } catch {
            if isReported { fail("restore", error) }
            return
        }
        do throws(ATAError) {
            try channel.flush(drive, clock)
        } catch {
            if identity.canFlush { fail("flush", error) }
        }
    }

    private func fail(_ action: StaticString, _ error: ATAError) {
        showName()
        switch error {
        case .timeout: say("\(action): no answer")
        case .refused(let status, let error):
            say("\(action): refused, status \(hex: UInt32(status), digits: 2) error \(hex: UInt32(error), digits: 2)")
        case .noDataRequest(let status): say("\(action): no data request, status \(hex: UInt32(status), digits: 2)")
        }
    }
}
