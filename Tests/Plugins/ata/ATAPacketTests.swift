import ATA
import Testing

/// A CD-ROM drive whose disc has `blocks` blocks of 2048 bytes, driven as a guest drives it.
private final class DiscRig {
    var rig: Rig

    init(blocks: UInt64, hasDMA: Bool = false) throws {
        rig = Rig()
        let drive = try Drive(sectors: blocks * 4, model: "A DISC DRIVE", serial: "S1", firmware: "F", kind: .cdrom)
        rig.chip = ATAChannel(device0: drive, hasDMA: hasDMA)
    }

    /// PACKET with a limit of bytes for each data block; the packet is written.
    func send(_ packet: [UInt8], limit: UInt16 = 0xFFFE, features: UInt8 = 0) {
        rig.command(
            0xA0, features: features, mid: UInt8(limit & 0xFF), high: UInt8(limit >> 8))
        rig.put(packet + [UInt8](repeating: 0, count: 12 - packet.count))
        rig.serve()
    }

    func interrupt() -> Bool { rig.interrupt() }
    func setOpen(_ isOpen: Bool) -> Bool { rig.chip.press(0, opens: isOpen) }
    func change(sectors: UInt64) throws -> Bool { try rig.chip.change(0, sectors: sectors) }
    func takeRequest() -> ATAChannel.Request? { rig.chip.takeRequest() }
    func complete(_ tag: UInt64) -> Bool { rig.chip.complete(tag, .mediumError) }
    func restore(_ state: ATAChannel.State) -> Bool { rig.chip.restore(state) }

    var reason: UInt8 { rig.chip.peek(2) }
    var byteCount: Int { Int(rig.chip.peek(4)) | Int(rig.chip.peek(5)) << 8 }

    /// Takes all data blocks, each as long as the registers say, with an interrupt each.
    func take() -> (data: [UInt8], blocks: [Int]) {
        var data: [UInt8] = []
        var blocks: [Int] = []
        while rig.status & 0x88 == 0x08, blocks.count < 10_000 {
            #expect(reason == 0b10, "I/O: data for the host")
            #expect(interrupt())
            blocks.append(byteCount)
            data += rig.words(byteCount / 2)
            rig.serve()
        }
        return (data, blocks)
    }

    func ask(_ packet: [UInt8], limit: UInt16 = 0xFFFE) -> [UInt8] {
        send(packet, limit: limit)
        return take().data
    }

    /// Key, code and qualifier of REQUEST SENSE (SPC-3, 4.5.3).
    func sense() -> [UInt8] {
        let data = ask([0x03, 0, 0, 0, 18])
        return data.count == 18 ? [data[2] & 0xF, data[12], data[13]] : data
    }

    /// After power-on the first command is refused once: 06h 29h.
    func settle() {
        send([0x00])
        _ = rig.interrupt()
    }
}

/// Packet devices: ATA/ATAPI-6 (8.16, 8.23, 9.4, 9.10, 9.12), and MMC-3 for what is in the packets.
@Suite struct ATAPacketTests {
    // MARK: The drive

    @Test func theSignatureIsAPacketDevices() throws {
        let disc = try DiscRig(blocks: 10)
        for _ in 0..<2 {
            #expect((2...5 as ClosedRange<UInt8>).map { disc.rig.chip.peek($0) } == [1, 1, 0x14, 0xEB])
            #expect(disc.rig.status == 0, "not ready before a packet")
            disc.settle()
            disc.rig.chip.writeControl(0x04)
            disc.rig.chip.writeControl(0x00)
        }
        disc.settle()
        disc.rig.chip.write(7, 0x08)  // DEVICE RESET
        #expect((2...5 as ClosedRange<UInt8>).map { disc.rig.chip.peek($0) } == [1, 1, 0x14, 0xEB])
        #expect(!disc.rig.chip.interruptAsserted)
    }

    @Test func identifyDeviceIsAbortedWithTheSignature() throws {
        let disc = try DiscRig(blocks: 10)
        disc.rig.command(0xEC)
        #expect(disc.rig.status & 0x89 == 0x01 && disc.rig.chip.peek(1) == 0x04)
        #expect(disc.rig.chip.peek(4) == 0x14 && disc.rig.chip.peek(5) == 0xEB)
    }

    @Test func identifyPacketDeviceSaysWhatItIs() throws {
        let disc = try DiscRig(blocks: 10, hasDMA: true)
        disc.rig.command(0xA1)
        let bytes = disc.rig.words(256)
        let words = (0..<256).map { UInt16(bytes[$0 * 2]) | UInt16(bytes[$0 * 2 + 1]) << 8 }
        #expect(words[0] == 0x85C0, "ATAPI, CD-ROM, removable, fast DRQ, 12 bytes")
        #expect(words[49] & 0x0300 == 0x0300, "DMA; LBA is 1")
        #expect(words[82] & 0x0210 == 0x0210, "DEVICE RESET, PACKET")
        #expect(words[88] & 0x3F == 0x3F)
        #expect(bytes.reduce(0, &+) == 0, "checksum")
        #expect(disc.rig.status & 0x88 == 0)
    }

    // MARK: The protocol

    @Test func aPacketIsAskedForWithoutAnInterruptAndEndsWithOne() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        disc.rig.command(0xA0, mid: 0xFE, high: 0xFF)
        #expect(disc.rig.status & 0x88 == 0x08 && disc.reason == 0b01, "DRQ, CoD")
        #expect(!disc.rig.chip.interruptAsserted)
        disc.rig.put([UInt8](repeating: 0, count: 12))
        #expect(disc.rig.status & 0x89 == 0 && disc.reason == 0b11)
        #expect(disc.interrupt())
    }

    @Test func theFirstCommandAfterAResetIsRefusedOnce() throws {
        let disc = try DiscRig(blocks: 10)
        disc.send([0x00])
        #expect(disc.rig.status & 0x89 == 0x01 && disc.rig.chip.peek(1) == 0x64, "CHK, sense key 6, ABRT")
        #expect(disc.reason == 0b11 && disc.interrupt())
        #expect(disc.sense() == [6, 0x29, 0])
        #expect(disc.sense() == [0, 0, 0])
        disc.send([0x00])
        #expect(disc.rig.status & 0x89 == 0)
        // INQUIRY takes no attention away.
        let other = try DiscRig(blocks: 10)
        #expect(other.ask([0x12, 0, 0, 0, 36]).count == 36)
        other.send([0x00])
        #expect(other.rig.status & 1 == 1)
    }

    @Test(
        arguments: [
            (0xFFFE, [6144]), (2048, [2048, 2048, 2048]), (4096, [4096, 2048]),
            (1000, [1000, 1000, 1000, 1000, 1000, 1000, 144]),
            (2047, [2046, 2046, 2046, 6]), (0, [6144]),
        ] as [(UInt16, [Int])])
    func dataComesInBlocksOfTheHostsLimit(limit: UInt16, blocks: [Int]) throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        disc.send([0x28, 0, 0, 0, 0, 2, 0, 0, 3], limit: limit)
        let (data, taken) = disc.take()
        #expect(taken == blocks)
        #expect(data == (8..<20).flatMap { Rig.pattern($0) })
        #expect(disc.reason == 0b11 && disc.interrupt() && disc.rig.status & 0x89 == 0)
    }

    @Test func aLongReadComesInOrder() throws {
        let disc = try DiscRig(blocks: 100)
        disc.settle()
        // READ (12), by long words and in bulk.
        disc.send([0xA8, 0, 0, 0, 0, 10, 0, 0, 0, 50], limit: 2048)
        var data: [UInt8] = []
        while disc.rig.status & 0x08 != 0 {
            data += disc.rig.bulk(disc.byteCount)
            disc.rig.serve()
        }
        #expect(data == (40..<240).flatMap { Rig.pattern($0) })
        #expect(disc.rig.requests.allSatisfy { $0.operation == .read && $0.sectors <= 16 })
    }

    @Test func aBadBlockIsAMediumErrorAndTheNextReadIsDone() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        disc.rig.bad[9] = .mediumError
        disc.send([0x28, 0, 0, 0, 0, 2, 0, 0, 1])
        #expect(disc.rig.status & 0x89 == 0x01 && disc.rig.chip.peek(1) == 0x34)
        #expect(disc.sense() == [3, 0x11, 0])
        #expect(disc.ask([0x28, 0, 0, 0, 0, 3, 0, 0, 1]) == (12..<16).flatMap { Rig.pattern($0) })
    }

    @Test func dmaMovesBlocksAndReplies() throws {
        let disc = try DiscRig(blocks: 200, hasDMA: true)
        disc.settle()
        func move(_ disc: DiscRig) -> [UInt8] {
            var memory: [UInt8] = []
            var piece: [UInt8] = []
            for _ in 0..<100 {
                disc.rig.chip.setChannelReady(true)
                if let (direction, count) = disc.rig.chip.takeMovement() {
                    #expect(direction == .toHost)
                    var reply = [UInt8](repeating: 0, count: 65536)
                    var span = reply.mutableSpan
                    memory += disc.rig.chip.copyReply(into: &span) ? Array(reply[..<count]) : piece
                    disc.rig.chip.moved(count)
                } else if let request = disc.rig.chip.takeRequest() {
                    piece = (request.sector..<request.sector + UInt64(request.sectors)).flatMap { Rig.pattern($0) }
                    disc.rig.chip.complete(request.tag, .success, data: piece.span)
                } else {
                    break
                }
            }
            return memory
        }
        disc.rig.command(0xA0, features: 1)
        disc.rig.put([0x28, 0, 0, 0, 0, 5, 0, 0, 100, 0, 0, 0])
        #expect(move(disc) == (20..<420).flatMap { Rig.pattern($0) })
        #expect(disc.reason == 0b11 && disc.interrupt() && disc.rig.status & 0x89 == 0)
        disc.rig.command(0xA0, features: 1)
        disc.rig.put([0x12, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0])
        let inquiry = move(disc)
        #expect(inquiry.count == 36 && inquiry[0] == 5 && disc.interrupt())
    }

    @Test func dmaIsAbortedWhereThereIsNone() throws {
        let disc = try DiscRig(blocks: 10)
        disc.rig.command(0xA0, features: 1)
        #expect(disc.rig.status & 0x89 == 0x01 && disc.rig.chip.peek(1) == 0x04)
    }

    // MARK: The disc

    @Test func theDiscIsDescribed() throws {
        let disc = try DiscRig(blocks: 0x12345)
        disc.settle()
        #expect(disc.ask([0x25]) == [0, 1, 0x23, 0x44, 0, 0, 8, 0], "READ CAPACITY: the last block, 2048 bytes")
        let inquiry = disc.ask([0x12, 0, 0, 0, 255])
        #expect(inquiry.count == 36 && inquiry[0] == 0x05 && inquiry[1] == 0x80 && inquiry[4] == 31)
        #expect(inquiry[16..<32].elementsEqual("A DISC DRIVE    ".utf8))
        // READ TOC: one data track from block 0, and the lead-out at the end.
        let toc = disc.ask([0x43, 0, 0, 0, 0, 0, 0, 0x03, 0x24])
        #expect(toc == [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xAA, 0, 0, 1, 0x23, 0x45])
        // In time, 75 frames a second: block 0 is at two seconds, and 74565 blocks behind it is 16:36:15.
        let time = disc.ask([0x43, 2, 0, 0, 0, 0, 0, 0x03, 0x24])
        #expect(Array(time[8..<12]) == [0, 0, 2, 0] && Array(time[16..<20]) == [0, 16, 36, 15])
        #expect(disc.ask([0x43, 0, 1, 0, 0, 0, 0, 0, 12]) == [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0])
        // The allocation length cuts.
        #expect(disc.ask([0x43, 0, 0, 0, 0, 0, 0, 0, 4]) == [0, 18, 1, 1])
        // GET CONFIGURATION: the profile is CD-ROM.
        let configuration = disc.ask([0x46, 0, 0, 0, 0, 0, 0, 0, 8])
        #expect(Array(configuration[6..<8]) == [0, 0x08])
    }

    @Test func whatIsNotThereIsRefusedByItsSense() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        for (packet, sense) in [
            ([0x28, 0, 0, 0, 0, 9, 0, 0, 2], [5, 0x21, 0]),
            ([0x28, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 1], [5, 0x21, 0]),
            ([0xA8, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], [5, 0x21, 0]),
            ([0x2A, 0, 0, 0, 0, 0, 0, 0, 1], [5, 0x20, 0]),
            ([0x43, 0, 4, 0, 0, 0, 0, 0, 12], [5, 0x24, 0]), ([0x5A, 0, 0x3D, 0, 0, 0, 0, 0, 8], [5, 0x24, 0]),
            ([0xBE, 0, 0, 0, 0, 0, 0, 0, 1, 0xF8], [5, 0x24, 0]),
        ] as [([UInt8], [UInt8])] {
            disc.send(packet)
            #expect(disc.rig.status & 0x89 == 0x01, "\(packet)")
            #expect(disc.sense() == sense, "\(packet)")
        }
        #expect(
            disc.ask([0xBE, 0, 0, 0, 0, 1, 0, 0, 1, 0x10]) == (4..<8).flatMap { Rig.pattern($0) }, "READ CD, user data")
        #expect(disc.ask([0x28, 0, 0, 0, 0, 0, 0, 0, 0]) == [], "no block is no error")
        #expect(disc.rig.status & 1 == 0)
    }

    @Test func aDiscThatIsTakenOutAndPutInIsToldOf() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        #expect(disc.setOpen(true))
        disc.send([0x00])
        #expect(disc.sense() == [2, 0x3A, 0], "no medium")
        #expect(disc.ask([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8])[5] == 0b01, "the tray is open")
        #expect(disc.setOpen(false))
        let event = disc.ask([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8])
        #expect(event[4] == 2 && event[5] == 0b10, "new media, present")
        disc.send([0x00])
        #expect(disc.sense() == [6, 0x28, 0], "may have changed")
        disc.send([0x00])
        #expect(disc.rig.status & 1 == 0)
        // A reset opens and closes nothing.
        #expect(disc.setOpen(true))
        disc.rig.chip.reset()
        disc.settle()
        disc.send([0x00])
        #expect(disc.sense() == [2, 0x3A, 0])
    }

    @Test func anotherDiscIsAnnouncedAndRead() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        #expect(try disc.change(sectors: 80))
        #expect(disc.ask([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8])[4] == 2, "new media")
        disc.send([0x00])
        #expect(disc.sense() == [6, 0x28, 0], "not ready to ready change, medium may have changed")
        #expect(disc.ask([0x25]) == [0, 0, 0, 19, 0, 0, 8, 0])
        #expect(disc.ask([0x28, 0, 0, 0, 0, 19, 0, 0, 1]) == (76..<80).flatMap { Rig.pattern($0) })
        // An open drive is closed by it.
        #expect(disc.setOpen(true))
        #expect(try disc.change(sectors: 40))
        disc.send([0x00])
        #expect(disc.sense() == [6, 0x28, 0])
        disc.send([0x28, 0, 0, 0, 0, 19, 0, 0, 1])
        #expect(disc.sense() == [5, 0x21, 0], "beyond the end of the smaller disc")
    }

    @Test func aReadOfADiscThatIsChangedEndsWithoutIt() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        // While a data block is taken.
        disc.send([0x28, 0, 0, 0, 0, 0, 0, 0, 9], limit: 2048)
        _ = disc.rig.words(100)
        #expect(try disc.change(sectors: 8))
        #expect(disc.rig.status & 0x89 == 0x01 && disc.interrupt())
        #expect(disc.sense() == [2, 0x3A, 0], "no medium")
        disc.send([0x00])
        #expect(disc.sense() == [6, 0x28, 0])
        // While the medium is asked: its late answer is of no use.
        disc.rig.command(0xA0, mid: 0, high: 8)
        disc.rig.put([0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0])
        let request = try #require(disc.takeRequest())
        #expect(try disc.change(sectors: 8))
        #expect(!disc.complete(request.tag))
        #expect(disc.rig.status & 0x89 == 0x01 && disc.sense() == [2, 0x3A, 0])
        #expect(disc.restore(disc.rig.chip.state))
    }

    @Test func whatIsNoDiscLeavesTheDriveOpen() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        #expect(throws: Drive.Problem.noDisc(sectors: 3)) { try disc.change(sectors: 3) }
        #expect(throws: Drive.Problem.noDisc(sectors: 0)) { try disc.change(sectors: 0) }
        disc.send([0x00])
        #expect(disc.sense() == [2, 0x3A, 0])
    }

    @Test func aLockedDriveKeepsItsDisc() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        disc.send([0x1E, 0, 0, 0, 1])
        #expect(!disc.setOpen(true))
        #expect(try !disc.change(sectors: 80))
        #expect(disc.ask([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8])[4] == 1, "the operator wants it")
        #expect(disc.ask([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8])[4] == 0)
        disc.send([0x1B, 0, 0, 0, 2])
        #expect(disc.sense() == [5, 0x53, 2], "removal prevented")
        disc.send([0x1E, 0, 0, 0, 0])
        disc.send([0x1B, 0, 0, 0, 2])
        #expect(disc.rig.status & 1 == 0)
        disc.send([0x00])
        #expect(disc.sense() == [2, 0x3A, 0])
        disc.send([0x1B, 0, 0, 0, 3])
        disc.send([0x00])
        #expect(disc.sense() == [6, 0x28, 0])
    }

    @Test func deviceResetWakesADriveThatSleeps() throws {
        let disc = try DiscRig(blocks: 10)
        disc.rig.command(0xE6)
        disc.rig.serve()
        disc.rig.command(0xA1)
        #expect(disc.rig.status & 0x08 == 0, "asleep")
        disc.rig.chip.write(7, 0x08)
        disc.rig.command(0xA1)
        #expect(disc.rig.status & 0x08 != 0)
    }

    @Test func aStateOfAMachineWithDMAGoesOnWithoutIt() throws {
        let with = try DiscRig(blocks: 10, hasDMA: true)
        with.settle()
        with.rig.command(0xA0, features: 1, mid: 0, high: 8)
        let without = try DiscRig(blocks: 10)
        #expect(without.restore(with.rig.chip.state))
        without.rig.put([0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0])
        without.rig.serve()
        #expect(without.take().data == (4..<8).flatMap { Rig.pattern($0) })
    }

    @Test func aDriveWithoutAMediumIsNone() throws {
        var chip = ATAChannel(device0: try Drive(sectors: 0, kind: .cdrom))
        let state = chip.state
        let isTaken = chip.restore(state)
        #expect(isTaken && chip.peek(7) == 0xFF)
    }

    @Test func aDiscHasAtLeastABlock() {
        #expect(throws: Drive.Problem.noDisc(sectors: 3)) { try Drive(sectors: 3, kind: .cdrom) }
        #expect(throws: Drive.Problem.noDisc(sectors: 1 << 36)) { try Drive(sectors: 1 << 36, kind: .cdrom) }
    }

    // MARK: Hostile guests and states

    /// Any registers, packets and accesses; a copy that takes over the state answers as the original.
    @Test(arguments: 1...30 as ClosedRange<UInt64>) func anythingIsBorneAndACopyGoesOn(seed: UInt64) throws {
        var dice = Dice(seed)
        let hasDMA = dice.chance(50)
        let disc = try DiscRig(blocks: UInt64(1 + dice.below(60)), hasDMA: hasDMA)
        let codes: [UInt8] = [
            0x00, 0x03, 0x12, 0x1B, 0x1E, 0x25, 0x28, 0x28, 0xA8, 0x2B, 0x43, 0x46, 0x4A, 0x51, 0x5A, 0xBD, 0xBE,
        ]
        for _ in 0..<3000 {
            switch dice.below(10) {
            case 0...3:
                disc.rig.command(
                    dice.chance(85) ? 0xA0 : dice.byte(), features: dice.chance(80) ? 0 : UInt8(dice.below(4)),
                    mid: dice.byte(),
                    high: dice.chance(50) ? 0 : dice.byte())
                var packet = (0..<12).map { _ in dice.chance(60) ? 0 : dice.byte() }
                packet[0] = dice.chance(95) ? codes[dice.below(codes.count)] : dice.byte()
                if disc.rig.status & 0x08 != 0 { disc.rig.put(packet) }
            case 4: _ = disc.rig.bulk(dice.below(5000))
            case 5: _ = disc.rig.words(dice.below(1200))
            case 6: _ = disc.rig.serveOne()
            case 7:
                disc.rig.chip.setChannelReady(dice.chance(80))
                if let (_, count) = disc.rig.chip.takeMovement() {
                    disc.rig.chip.moved(dice.chance(80) ? count : dice.below(count + 1))
                }
            case 8:
                if dice.chance(10) { disc.rig.chip.writeControl(dice.byte()) }
                disc.rig.chip.writeControl(0)
                if dice.chance(20) { _ = disc.setOpen(dice.chance(50)) }
                if dice.chance(20) { _ = try? disc.change(sectors: UInt64(dice.below(240))) }
            default:
                var copy = disc.rig.chip
                copy.reset()
                let isTaken = copy.restore(disc.rig.chip.state)
                #expect(isTaken)
                #expect(copy.state == disc.rig.chip.state)
                for offset: UInt8 in 0...7 { #expect(copy.peek(offset) == disc.rig.chip.peek(offset)) }
                if disc.rig.chip.state.transfer.phase == .requested || dice.chance(50) { disc.rig.chip = copy }
            }
        }
    }

    @Test func statesThatCannotBeAreRefused() throws {
        let disc = try DiscRig(blocks: 10)
        disc.settle()
        disc.send([0x28, 0, 0, 0, 0, 2, 0, 0, 3], limit: 2048)
        let good = disc.rig.chip.state
        let changes: [(inout ATAChannel.State) -> Void] = [
            { $0.transfer.limit = 0 }, { $0.transfer.limit = 1023 }, { $0.transfer.blockEnd = 8192 },
            { $0.transfer.filled = 9000 },
            { $0.transfer.position = 2048 }, { $0.transfer.position = 1 }, { $0.transfer.remaining = 41 },
            { $0.transfer.next = 41 },
            { $0.transfer.kind = .packetDMA }, { $0.transfer.kind = .read }, { $0.transfer.kind = .write },
            { $0.transfer.kind = .dmaRead },
            { $0.transfer.phase = .dataOut }, { $0.transfer.singles = 1 }, { $0.transfer.addressing = .chs },
            { $0.device0.packet.sense = Sense(0x10, 0) }, { $0.device0.packet.attention = Sense(1, 2) },
            { $0.device1.packet.isOpen = true },
        ]
        for (index, change) in changes.enumerated() {
            var bad = good
            change(&bad)
            let isTaken = disc.restore(bad)
            #expect(!isTaken, "change \(index)")
        }
        #expect(disc.restore(good))
        // A disk has none of this.
        var disk = try Rig(sectors: 100)
        var state = disk.chip.state
        state.device0.packet.isLocked = true
        let isTaken = disk.chip.restore(state)
        #expect(!isTaken)
    }
}
