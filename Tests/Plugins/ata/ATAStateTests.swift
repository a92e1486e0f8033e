import ATA
import Testing

@Suite struct ATAStateTests {
    private static let sectors: UInt64 = 10_000

    private static func fresh(readOnly: Bool = false) throws -> ATAChannel {
        ATAChannel(device0: try Drive(sectors: sectors, readOnly: readOnly))
    }

    /// A READ MULTIPLE of 40 sectors in the middle of its second block.
    private static func reading() throws -> ATAChannel.State {
        var rig = try Rig(sectors: sectors)
        rig.lba28(0xC4, 100, count: 40)
        rig.serve()
        _ = rig.words(4096)
        rig.serve()
        _ = rig.words(300)
        return rig.chip.state
    }

    /// A WRITE SECTORS of 5 sectors that has gathered two and a half.
    private static func writing() throws -> ATAChannel.State {
        var rig = try Rig(sectors: sectors)
        rig.lba28(0x30, 100, count: 5)
        rig.put([UInt8](repeating: 7, count: 1280))
        return rig.chip.state
    }

    private static func busy(_ code: UInt8) throws -> ATAChannel.State {
        var rig = try Rig(sectors: sectors)
        rig.lba28(code, 100, count: 5)
        if code == 0x30 { rig.put([UInt8](repeating: 7, count: 2560)) }
        return rig.chip.state
    }

    @Test func resetValuesAreTheDefaults() throws {
        #expect(try Self.fresh().state == ATAChannel.State())
        #expect(ATAChannel.State().buffer.count == 8192)
    }

    @Test func aTransferGoesOnAfterARestore() throws {
        var rig = try Rig(sectors: Self.sectors)
        let saved = try Self.reading()
        #expect(rig.chip.restore(saved) == true)
        #expect(rig.status == 0x58)
        let rest = (116..<132).flatMap { Rig.pattern($0) }[600...]
        #expect(rig.bulk(7592) == Array(rest))
        rig.serve()
        #expect(rig.bulk(4096) == (132..<140).flatMap { Rig.pattern($0) })
        #expect(rig.status == 0x50)
    }

    @Test func anOutstandingRequestIsAskedForAgain() throws {
        var rig = try Rig(sectors: Self.sectors)
        rig.lba28(0x20, 100, count: 4)
        let old = try rig.take()
        let saved = rig.chip.state
        #expect(rig.chip.restore(saved) == true)
        #expect(rig.chip.complete(old.tag, .deviceFault) == false)
        let new = try rig.take()
        #expect(new.sector == 100 && new.sectors == 4 && new.tag != old.tag)
        rig.finish(new)
        #expect(rig.bulk(2048) == (100..<104).flatMap { Rig.pattern($0) })
    }

    @Test func aRestoredWriteWritesWhatTheGuestGave() throws {
        var rig = try Rig(sectors: Self.sectors)
        let saved = try Self.busy(0x30)
        #expect(rig.chip.restore(saved) == true)
        rig.serve()
        #expect((100..<105).allSatisfy { rig.content($0) == [UInt8](repeating: 7, count: 512) })
        #expect(rig.status == 0x50)
    }

    // MARK: Hostile states

    private typealias Change = (String, (inout ATAChannel.State) -> Void)

    private func expectRefused(_ base: ATAChannel.State, _ changes: [Change]) throws {
        var chip = try Self.fresh()
        #expect(chip.restore(base) == true, "the base itself")
        _ = chip.restore(ATAChannel.State())
        for (name, change) in changes {
            var hostile = base
            change(&hostile)
            #expect(chip.restore(hostile) == false, "\(name)")
            #expect(chip.state == ATAChannel.State(), "\(name)")
        }
    }

    @Test func hostileDevices() throws {
        try expectRefused(
            ATAChannel.State(),
            [
                ("short buffer", { $0.buffer.removeLast() }),
                ("long buffer", { $0.buffer.append(0) }),
                ("no buffer", { $0.buffer = [] }),
                ("control", { $0.control = DeviceControl(rawValue: 0x08) }),
                ("BSY stored", { $0.device0.status.insert(.busy) }),
                ("DRQ stored", { $0.device0.status.insert(.dataRequest) }),
                ("multiple 3", { $0.device0.settings.multiple = 3 }),
                ("multiple 32", { $0.device0.settings.multiple = 32 }),
                ("17 heads", { ($0.device0.settings.heads, $0.device0.settings.sectorsPerTrack) = (17, 63) }),
                ("no heads", { $0.device0.settings.sectorsPerTrack = 63 }),
                ("no track", { $0.device0.settings.heads = 16 }),
                ("absent device", { $0.device1.interruptPending = true }),
                ("idle with a transfer", { $0.transfer.remaining = 1 }),
                ("idle with a position", { $0.transfer.position = 2 }),
                ("identify requested", { $0.transfer.phase = .requested }),
            ])
    }

    @Test func hostileReads() throws {
        try expectRefused(
            try Self.reading(),
            [
                ("odd position", { $0.transfer.position += 1 }),
                ("position at the end", { $0.transfer.position = $0.transfer.blockEnd }),
                ("position beyond", { $0.transfer.position = 65534 }),
                (
                    "end beyond the buffer",
                    {
                        $0.transfer.blockEnd = 8704; $0.transfer.filled = 8704
                    }
                ),
                ("end not a sector", { $0.transfer.blockEnd = 8190 }),
                ("end beyond what is filled", { $0.transfer.filled = 512 }),
                ("filled not sectors", { $0.transfer.filled = 8191 }),
                ("block 0", { $0.transfer.block = 0 }),
                ("block 3", { $0.transfer.block = 3 }),
                ("block 32", { $0.transfer.block = 32 }),
                ("singles", { $0.transfer.singles = 17 }),
                ("nothing left", { $0.transfer.remaining = 0 }),
                ("too much left", { $0.transfer.remaining = 65537 }),
                ("beyond the drive", { $0.transfer.next = 9_990 }),
                ("far beyond", { $0.transfer.next = .max }),
                ("a write in this phase", { $0.transfer.kind = .write }),
                ("a verify in this phase", { $0.transfer.kind = .verify }),
                ("a flush in this phase", { $0.transfer.kind = .flush }),
                ("an identify", { $0.transfer.kind = .identify }),
                ("dataOut", { $0.transfer.phase = .dataOut }),
                ("absent device", { $0.select = DeviceSelect(rawValue: 0xF0) }),
                ("in reset", { $0.control.insert(.softwareReset) }),
                ("asleep", { $0.device0.power = .sleep }),
            ])
        var single = try Rig(sectors: Self.sectors)
        single.lba28(0x20, 100, count: 4)
        single.serve()
        try expectRefused(
            single.chip.state,
            [
                ("more read ahead than the command has", { $0.transfer.filled = 2560 }),
                ("more read ahead than the drive has", { $0.transfer.next = 9_998 }),
            ])
        try expectRefused(
            try Self.busy(0x20),
            [
                ("position", { $0.transfer.position = 2 }),
                ("end", { $0.transfer.blockEnd = 512 }),
                ("a whole block held", { $0.transfer.filled = 512 }),
                ("beyond the drive", { $0.transfer.next = 10_000 }),
            ])
    }

    @Test func hostileWrites() throws {
        try expectRefused(
            try Self.writing(),
            [
                ("odd position", { $0.transfer.position += 1 }),
                ("position at the end", { $0.transfer.position = $0.transfer.blockEnd }),
                ("end beyond the buffer", { $0.transfer.blockEnd = 8704 }),
                ("more than the command", { $0.transfer.blockEnd = 3072 }),
                ("filled", { $0.transfer.filled = 512 }),
                ("beyond the drive", { $0.transfer.next = 10_000 }),
                ("dataIn", { $0.transfer.phase = .dataIn }),
                ("nothing left", { $0.transfer.remaining = 0 }),
            ])
        try expectRefused(
            try Self.busy(0x30),
            [
                ("not at a sector", { $0.transfer.position = 2 }),
                ("all stored", { $0.transfer.position = $0.transfer.blockEnd }),
                ("more than the command", { $0.transfer.remaining = 4 }),
            ])
        var readOnly = try Self.fresh(readOnly: true)
        #expect(readOnly.restore(try Self.writing()) == false)
        #expect(readOnly.restore(try Self.reading()) == true)
    }

    @Test func hostileOthers() throws {
        try expectRefused(
            try Self.busy(0x40),
            [
                ("position", { $0.transfer.position = 2 }),
                ("filled", { $0.transfer.filled = 512 }),
                ("end", { $0.transfer.blockEnd = 512 }),
                ("block", { $0.transfer.block = 4 }),
                ("beyond", { $0.transfer.next = 10_000 }),
                ("dataIn", { $0.transfer.phase = .dataIn }),
            ])
        try expectRefused(
            try Self.busy(0xE7),
            [
                ("sectors", { $0.transfer.remaining = 1 }),
                ("next", { $0.transfer.next = 1 }),
                ("dataOut", { $0.transfer.phase = .dataOut }),
            ])
        var rig = try Rig(sectors: Self.sectors)
        rig.command(0xEC)
        try expectRefused(
            rig.chip.state,
            [
                (
                    "longer",
                    {
                        $0.transfer.blockEnd = 1024; $0.transfer.filled = 1024
                    }
                ),
                ("position", { $0.transfer.position = 512 }),
                ("count", { $0.transfer.remaining = 2 }),
                ("address", { $0.transfer.next = 1 }),
            ])
    }

    @Test func aStateOfALargerDriveIsRefused() throws {
        var rig = try Rig(sectors: 1 << 30)
        rig.lba28(0x20, 1 << 20, count: 1)
        var chip = try Self.fresh()
        #expect(chip.restore(rig.chip.state) == false)
        var empty = ATAChannel()
        #expect(empty.restore(rig.chip.state) == false)
        #expect(empty.restore(ATAChannel.State()) == true)
    }
}
