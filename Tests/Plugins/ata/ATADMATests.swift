import ATA
import Testing

/// A drive on a channel with a host controller whose bus master goes on as long as its table has room.
private struct DMARig {
    var rig: Rig
    /// Bytes that have gone to memory, and those that come from there.
    var memory: [UInt8] = []
    var source: [UInt8] = []
    /// Bytes that the bus master's table still has room for.
    var table = Int.max

    init(sectors: UInt64, readOnly: Bool = false) throws {
        rig = Rig()
        rig.chip = ATAChannel(
            device0: try Drive(sectors: sectors, readOnly: readOnly, model: "MODEL", serial: "S", firmware: "F"),
            hasDMA: true)
    }

    /// The bus master and the medium do all that they can.
    mutating func run() {
        var piece: [UInt8] = []
        while true {
            rig.chip.setChannelReady(table > 0)
            if let (direction, count) = rig.chip.takeMovement() {
                let moved = min(count, table)
                table -= moved
                if direction == .toHost { memory += piece.prefix(moved) } else { piece = Array(source.prefix(moved)) }
                if direction == .toDevice { source.removeFirst(moved) }
                rig.chip.moved(moved)
            } else if let request = rig.chip.takeRequest() {
                rig.requests.append(request)
                let sectors = request.sector..<request.sector + UInt64(request.sectors)
                if request.operation == .read { piece = sectors.flatMap { rig.content($0) } }
                if request.operation == .write {
                    for (index, sector) in sectors.enumerated() where rig.bad.isEmpty {
                        rig.written[sector] = Array(piece[index * 512..<index * 512 + 512])
                    }
                }
                let outcome = sectors.compactMap { rig.bad[$0] }.first ?? .success
                let data = outcome == .success && request.operation == .read ? piece : []
                rig.chip.complete(request.tag, outcome, data: data.span)
            } else {
                return
            }
        }
    }

    static func patterns(_ sectors: Range<UInt64>) -> [UInt8] { sectors.flatMap { Rig.pattern($0) } }
}

/// DMA against ATA/ATAPI-6: 6.10.8 (SET FEATURES), 8.12 (IDENTIFY DEVICE), 8.25, 8.26, 8.60, 8.61 and 9.8.
@Suite struct ATADMATests {
    /// Word 49 bit 8, word 53 bit 2, words 63, 65, 66 and 88.
    @Test func identifyClaimsDMAWhereThereIsABusMaster() throws {
        var with = try DMARig(sectors: 1000).rig
        let words = with.identify()
        #expect(words[49] & 0x0100 != 0 && words[53] == 0x0007)
        #expect(words[63] == 0x0007, "multiword modes 0 to 2, none selected")
        #expect(words[65] == 120 && words[66] == 120)
        #expect(words[88] == 0x043F, "Ultra modes 0 to 5, mode 2 selected")
        var without = try Rig(sectors: 1000)
        let plain = without.identify()
        #expect(plain[49] & 0x0100 == 0 && plain[53] == 0x0003 && plain[63] == 0 && plain[88] == 0)
    }

    /// The mode's number is in bits 2:0 of the count, its kind above: 0010 0xxx multiword, 0100 0xxx Ultra.
    @Test func setFeaturesSelectsOneMode() throws {
        var rig = try DMARig(sectors: 1000).rig
        for (value, word63, word88) in [
            (0x20, 0x0107, 0x003F), (0x22, 0x0407, 0x003F), (0x40, 0x0007, 0x013F), (0x45, 0x0007, 0x203F),
        ] as [(UInt8, UInt16, UInt16)] {
            rig.command(0xEF, features: 0x03, count: value)
            #expect(rig.status == 0x50)
            let words = rig.identify()
            #expect(words[63] == word63 && words[88] == word88, "\(value)")
        }
        rig.command(0xEF, features: 0x03, count: 0x0C)
        #expect(rig.status == 0x50)
        let words = rig.identify()
        #expect(words[88] == 0x203F, "a PIO mode selects no DMA mode")
        for value in [0x23, 0x46, 0x10, 0x80] as [UInt8] {
            rig.command(0xEF, features: 0x03, count: value)
            #expect(rig.status == 0x51 && rig.chip.peek(1) == 0x04)
        }
    }

    @Test func withoutABusMasterDMAIsAborted() throws {
        var rig = try Rig(sectors: 1000)
        for code in [0xC8, 0xC9, 0xCA, 0xCB, 0x25, 0x35] as [UInt8] {
            rig.lba28(code, 0, count: 1)
            #expect(rig.status == 0x51 && rig.chip.peek(1) == 0x04)
        }
        rig.command(0xEF, features: 0x03, count: 0x42)
        #expect(rig.status == 0x51)
    }

    @Test(arguments: [UInt8(0xC8), 0xC9])
    func aReadMovesAllAndInterruptsOnce(code: UInt8) throws {
        var dma = try DMARig(sectors: 10_000)
        dma.rig.lba28(code, 100, count: 0)
        #expect(dma.rig.status == 0xD0 && dma.rig.chip.dmaRequest == .toHost)
        let early = dma.rig.chip.takeRequest()
        #expect(early == nil, "the channel does not run yet")
        dma.run()
        #expect(dma.memory == DMARig.patterns(100..<356))
        #expect(dma.rig.status == 0x50 && dma.rig.chip.dmaRequest == nil)
        let hasInterrupted = dma.rig.interrupt()
        #expect(hasInterrupted)
        #expect(!dma.rig.chip.interruptAsserted)
        #expect(dma.rig.requests.map(\.sectors) == [128, 128])
    }

    @Test func aWriteTakesAllAndInterruptsOnce() throws {
        var dma = try DMARig(sectors: 10_000)
        dma.source = DMARig.patterns(7000..<7200)
        dma.rig.lba48(0x35, 500, count: 200)
        #expect(dma.rig.chip.dmaRequest == .toDevice)
        dma.run()
        #expect((0..<200).allSatisfy { dma.rig.written[500 + $0] == Rig.pattern(7000 + $0) })
        #expect(dma.source.isEmpty && dma.rig.status == 0x50)
        let hasInterrupted = dma.rig.interrupt()
        #expect(hasInterrupted)
        #expect(dma.rig.requests.map(\.sectors) == [128, 72])
    }

    @Test func a48BitReadOf65536Sectors() throws {
        var dma = try DMARig(sectors: 70_000)
        dma.rig.lba48(0x25, 1, count: 0)
        dma.run()
        #expect(dma.memory.count == 65536 * 512 && dma.memory.suffix(512) == Rig.pattern(65536)[...])
        #expect(dma.rig.requests.count == 512 && dma.rig.status == 0x50)
    }

    /// 9.8: a command that the host's table cuts short waits, with neither BSY cleared nor an interrupt.
    @Test func aShortTableWaitsForTheNext() throws {
        var dma = try DMARig(sectors: 1000)
        dma.table = 3 * 512
        dma.rig.lba28(0xC8, 10, count: 8)
        dma.run()
        #expect(dma.memory.count == 3 * 512 && dma.rig.status == 0xD0)
        #expect(!dma.rig.chip.interruptAsserted)
        dma.table = .max
        dma.run()
        #expect(dma.memory == DMARig.patterns(10..<18) && dma.rig.status == 0x50)
    }

    @Test func aBadSectorIsNamedAndAllBeforeItAreRead() throws {
        var dma = try DMARig(sectors: 1000)
        dma.rig.bad = [137: .mediumError]
        dma.rig.lba28(0xC8, 100, count: 60)
        dma.run()
        #expect(dma.rig.status == 0x51 && dma.rig.chip.peek(1) == 0x40)
        #expect(dma.rig.chip.peek(3) == 137 && dma.memory == DMARig.patterns(100..<137))
        let hasInterrupted = dma.rig.interrupt()
        #expect(hasInterrupted)
        #expect(dma.rig.chip.dmaRequest == nil)
    }

    @Test func aFailedWriteIsADeviceFault() throws {
        var dma = try DMARig(sectors: 1000)
        dma.rig.bad = [101: .noSpace]
        dma.source = DMARig.patterns(0..<4)
        dma.rig.lba28(0xCA, 100, count: 4)
        dma.run()
        #expect(dma.rig.status == 0x71 && dma.rig.chip.peek(1) == 0x04 && dma.rig.chip.peek(3) == 100)
        let hasInterrupted = dma.rig.interrupt()
        #expect(hasInterrupted)
    }

    @Test func theEndOfTheDriveIsFound() throws {
        var dma = try DMARig(sectors: 100)
        dma.rig.lba28(0xC8, 98, count: 4)
        dma.run()
        #expect(dma.memory == DMARig.patterns(98..<100) && dma.rig.status == 0x51)
        #expect(dma.rig.chip.peek(1) == 0x10 && dma.rig.chip.peek(3) == 100)
        var beyond = try DMARig(sectors: 100)
        beyond.rig.lba28(0xC8, 100, count: 1)
        #expect(beyond.rig.status == 0x51 && beyond.rig.chip.dmaRequest == nil)
        var readOnly = try DMARig(sectors: 100, readOnly: true)
        readOnly.rig.lba28(0xCA, 0, count: 1)
        #expect(readOnly.rig.status == 0x51 && readOnly.rig.chip.peek(1) == 0x44)
    }

    /// SRST ends the command; what the host still brings of it is nobody's.
    @Test func aSoftwareResetEndsATransfer() throws {
        var dma = try DMARig(sectors: 1000)
        dma.rig.lba28(0xC8, 10, count: 8)
        dma.rig.chip.setChannelReady(true)
        let request = try dma.rig.take()
        dma.rig.chip.writeControl(0x04)
        dma.rig.chip.writeControl(0x00)
        #expect(dma.rig.chip.dmaRequest == nil && dma.rig.status == 0x50)
        let data = [UInt8](repeating: 1, count: request.byteCount)
        let isTaken = dma.rig.chip.complete(request.tag, .success, data: data.span)
        dma.rig.chip.moved(4096)
        let late = dma.rig.chip.takeMovement()
        #expect(!isTaken && late == nil)
        dma.rig.lba28(0xC8, 20, count: 2)
        dma.run()
        #expect(dma.memory == DMARig.patterns(20..<22))
    }

    @Test func aRestoredDriveMovesThePieceUnderWayAnew() throws {
        var dma = try DMARig(sectors: 1000)
        dma.rig.lba28(0xC8, 10, count: 200)
        dma.rig.chip.setChannelReady(true)
        _ = try dma.rig.take()
        var copy = try DMARig(sectors: 1000)
        let isRestored = copy.rig.chip.restore(dma.rig.chip.state)
        let early = copy.rig.chip.takeRequest()
        #expect(isRestored && copy.rig.chip.dmaRequest == .toHost && early == nil)
        copy.run()
        #expect(copy.memory == DMARig.patterns(10..<210) && copy.rig.status == 0x50)
        var plain = try Rig(sectors: 1000)
        let withoutBusMaster = plain.chip.restore(dma.rig.chip.state)
        #expect(!withoutBusMaster)
        dma.rig.chip.reset()
        dma.rig.command(0xEF, features: 0x03, count: 0x20)
        let withMode = plain.chip.restore(dma.rig.chip.state)
        #expect(!withMode)
    }

    /// Hosts and channels that do anything at any time: no trap, and every state is one that a drive can be in.
    @Test(arguments: 0..<UInt64(20))
    func randomGuestsAndChannelsNeverTrap(seed: UInt64) throws {
        var dice = Dice(seed &+ 77)
        let drive = try Drive(sectors: seed % 3 == 0 ? 1 << 48 : 300, readOnly: seed % 5 == 0)
        var chip = ATAChannel(device0: drive, device1: try Drive(sectors: 3), hasDMA: true)
        var judge = chip
        var pending: ATAChannel.Request?
        let codes: [UInt8] = [0xC8, 0xC9, 0xCA, 0xCB, 0x25, 0x35, 0xC8, 0xCA, 0x20, 0x30, 0xEF, 0xE7, 0xEC]
        for _ in 0..<4000 {
            switch dice.below(12) {
            case 0, 1:
                chip.write(6, UInt8(dice.below(2)) << 6 | (dice.chance(80) ? 0xA0 : 0xB0))
                for offset in UInt8(1)...5 { chip.write(offset, offset > 2 ? UInt8(dice.below(3)) : dice.byte()) }
                chip.write(7, codes[dice.below(codes.count)])
            case 2, 3: chip.setChannelReady(dice.chance(80))
            case 4, 5: if let movement = chip.takeMovement() { #expect((512...65536).contains(movement.byteCount)) }
            case 6: chip.moved(dice.chance(80) ? 65536 : dice.below(70_000))
            case 7: if pending == nil { pending = chip.takeRequest() }
            case 8, 9:
                guard let request = pending else { continue }
                let outcome =
                    dice.chance(80) ? ATAChannel.Outcome.success : .init(rawValue: dice.byte() % 5) ?? .success
                let data = [UInt8](repeating: 0, count: dice.chance(90) ? request.byteCount : dice.below(70_000))
                chip.complete(request.tag, outcome, data: data.span)
                pending = nil
            case 10: if dice.chance(10) { chip.writeControl(UInt8(dice.below(2)) << 2) }
            default: _ = chip.read(UInt8(dice.below(8)))
            }
            let isSound = judge.restore(chip.state)
            #expect(isSound)
            if !isSound { return }
        }
    }
}
