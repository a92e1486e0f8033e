import E1000
import Testing

/// The manual, 3.2: filters, buffers and what descriptors say.
@Suite struct E1000ReceiveTests {
    @discardableResult
    private func receive(_ bench: inout Bench, _ frame: [UInt8]) -> E1000.Reception {
        bench.chip.receive(frame, at: bench.now, bench.machine)
    }

    @Test func aFrameIsStoredWithRoomForItsFCS() {
        var bench = Bench()
        let bytes = frame(length: 100)
        #expect(receive(&bench, bytes) == .accepted)
        #expect(bench.machine.bytes(0x1_0000, 104) == bytes + [0, 0, 0, 0])
        let sum = onesSum(bytes)
        #expect(bench.received(0) == [104, 0, UInt8(truncatingIfNeeded: sum), UInt8(sum >> 8), 0x07, 0, 0, 0])
        #expect(bench.get(0x2810) == 1)
        #expect(bench.get(0xC0) == 0x80)
        bench.set(0x100, 0x0400_8002)
        receive(&bench, frame(length: 30))
        #expect(bench.received(1).prefix(2).elementsEqual([60, 0]), "filled up, without FCS")
    }

    @Test func longFramesTakeSeveralBuffers() {
        var bench = Bench(receive: 0x0403_8022)  // 256 bytes, long packets, FCS stripped
        let bytes = frame(length: 600)
        #expect(receive(&bench, bytes) == .accepted)
        let parts = [0x1_0000, 0x1_1000, 0x1_2000].flatMap { bench.machine.bytes($0, 256) }
        #expect(Array(parts.prefix(600)) == bytes)
        #expect((0..<3).map { bench.received($0)[4] } == [1, 1, 7])
        #expect((0..<3).map { bench.received($0)[0] } == [0, 0, 88])
        #expect(bench.get(0x2810) == 3)
    }

    @Test func bufferSizesAreTheManualsTable() {
        for (control, size): (UInt32, Int) in [
            (0x0000_0022, 2048), (0x0001_0022, 1024), (0x0002_0022, 512), (0x0003_0022, 256), (0x0201_0022, 16384),
            (0x0202_0022, 8192), (0x0203_0022, 4096),
        ] {
            var bench = Bench(receive: control | 0x0400_0008)
            bench.machine.ram += [UInt8](repeating: 0, count: 1 << 16)
            receive(&bench, frame(length: 1700))
            #expect(Int(bench.get(0x2810)) == (1700 + size - 1) / size)
        }
    }

    @Test func withoutRoomFramesAreLostAndCounted() {
        var bench = Bench(tail: 2)
        #expect(bench.chip.canReceive(1514))
        #expect(receive(&bench, frame()) == .accepted)
        #expect(receive(&bench, frame()) == .accepted)
        #expect(!bench.chip.canReceive(60))
        _ = bench.get(0xC0)
        #expect(receive(&bench, frame()) == .noBuffers)
        #expect(bench.get(0xC0) == 0x40, "RXO")
        #expect(bench.get(0x4010) == 1)
        #expect(bench.get(0x4010) == 0, "read clears")
        bench.set(0x2818, 1)
        #expect(receive(&bench, frame()) == .accepted)
    }

    @Test func theMinimumThresholdIsAFractionOfTheRing() {
        for (code, left): (UInt32, UInt32) in [(0, 4), (1, 2), (2, 1)] {
            var bench = Bench(receive: 0x8002 | code << 8)
            for free in (0..<7 as Range<UInt32>).reversed() {
                receive(&bench, frame())
                #expect((bench.get(0xC0) & 0x10 != 0) == (free <= left), "\(free) left")
            }
        }
    }

    @Test func nothingArrivesWithoutReceiverOrLink() {
        var bench = Bench(receive: 0)
        #expect(receive(&bench, frame()) == .off)
        bench.set(0x100, 2)
        bench.chip.setCarrier(false, at: 0)
        #expect(receive(&bench, frame()) == .off)
        #expect(!bench.chip.canReceive(60))
    }

    // MARK: Filters

    @Test func addressesAreFiltered() {
        let multicast: [UInt8] = [0x01, 0, 0x5E, 0, 0, 0xFB]
        for (control, destination, isTaken): (UInt32, [UInt8], Bool) in [
            (0x0002, station, true), (0x0002, peer, false), (0x0002, broadcast, false), (0x8002, broadcast, true),
            (0x000A, peer, true), (0x000A, multicast, false), (0x0012, multicast, true), (0x0012, peer, false),
            (0x0012, broadcast, true), (0x0002, multicast, false),
        ] {
            var bench = Bench(receive: control)
            #expect(
                receive(&bench, frame(to: destination)) == (isTaken ? .accepted : .filtered),
                "\(control) \(destination)")
        }
    }

    @Test func allSixteenAddressesCountWhileValid() {
        var bench = Bench(receive: 2)
        bench.set(0x5478, 0x0000_0002)
        bench.set(0x547C, 0x0000_0900)
        #expect(receive(&bench, frame(to: peer)) == .filtered)
        bench.set(0x547C, 0x8000_0900)
        #expect(receive(&bench, frame(to: peer)) == .accepted)
        bench.set(0x5404, 0)
        #expect(receive(&bench, frame()) == .filtered)
        bench.set(0x547C, 0x8001_0900)
        #expect(receive(&bench, frame()) == .accepted, "its source")
    }

    /// MO chooses 12 of the last 16 bits: 47:36, 46:35, 45:34, 43:32.
    @Test func theMulticastTableIsIndexedAsTheOffsetSays() {
        let group: [UInt8] = [0x01, 0x00, 0x5E, 0x12, 0x34, 0x56]
        for (offset, hash): (UInt32, UInt32) in [(0, 0x563), (1, 0xAC6), (2, 0x58D), (3, 0x634)] {
            var bench = Bench(receive: 2 | offset << 12)
            #expect(receive(&bench, frame(to: group)) == .filtered)
            bench.set(0x5200 + (hash >> 5) * 4, 1 << (hash & 31))
            #expect(receive(&bench, frame(to: group)) == .accepted, "\(offset)")
        }
    }

    @Test func tagsAreFilteredAndStripped() {
        let plain = frame()
        let tagged = Array(plain[0..<12]) + [0x81, 0, 0xA1, 0x23] + Array(plain[12...])
        var bench = Bench(receive: 0x0404_0002)
        #expect(receive(&bench, tagged) == .filtered)
        bench.set(0x5600 + (0x123 >> 5) * 4, 1 << (0x123 & 31))
        #expect(receive(&bench, tagged) == .accepted)
        #expect(bench.machine.bytes(0x1_0000, 64) == tagged)
        #expect(bench.received(0)[4] & 8 == 0)
        bench.set(0x00, 0x4000_0041)
        #expect(receive(&bench, tagged) == .accepted)
        #expect(bench.machine.bytes(0x1_1000, 60) == plain)
        #expect(bench.received(1)[4] & 8 != 0)
        #expect(bench.received(1).suffix(2).elementsEqual([0x23, 0xA1]))
        #expect(receive(&bench, plain) == .accepted)
        #expect(bench.received(2).suffix(2).elementsEqual([0, 0]))
    }

    @Test func longPacketsNeedTheirBit() {
        var bench = Bench()
        #expect(receive(&bench, frame(length: 1518)) == .accepted)
        #expect(receive(&bench, frame(length: 1519)) == .filtered)
        #expect(bench.get(0x40AC) == 1)
        bench.set(0x100, 0x8022)
        #expect(receive(&bench, frame(length: 1519)) == .accepted)
        #expect(receive(&bench, frame(length: 16381)) == .filtered)
        #expect(receive(&bench, []) == .filtered)
        #expect(receive(&bench, Array(frame().prefix(13))) == .filtered)
    }

    // MARK: Checksums

    @Test func checksumsAreCheckedWhereAsked() {
        for tcp in [true, false] {
            for (control, broken, status, errors): (UInt32, Int?, UInt8, UInt8) in [
                (0, nil, 0x07, 0), (0x100, nil, 0x43, 0), (0x200, nil, 0x23, 0), (0x300, nil, 0x63, 0),
                (0x300, 60, 0x63, 0x20), (0x300, 22, 0x63, 0x40), (0x300, 26, 0x63, 0x60),
            ] {
                var bench = Bench()
                bench.set(0x5000, control)
                var bytes = packet(tcp: tcp, payload: 40)
                if let broken { bytes[broken] ^= 0x10 }
                receive(&bench, bytes)
                #expect(bench.received(0)[4] == status, "\(tcp) \(control)")
                #expect(bench.received(0)[5] == errors, "\(tcp) \(String(describing: broken))")
            }
        }
    }

    @Test func fragmentsAndOthersAreNotChecked() {
        let changes: [(at: Int, value: UInt8)] = [(20, 0x20), (23, 1), (12, 0x86), (14, 0x4F), (17, 0xFF), (14, 0x41)]
        for change in changes {
            var bench = Bench()
            bench.set(0x5000, 0x200)
            var bytes = packet(tcp: true, payload: 4)
            bytes[change.at] = change.value
            receive(&bench, bytes)
            #expect(bench.received(0)[4] == 0x07)
        }
        var bench = Bench()
        bench.set(0x5000, 14)
        let bytes = packet(tcp: true, payload: 4)
        receive(&bench, bytes)
        let sum = onesSum(bytes[14...])
        #expect(Array(bench.received(0)[2..<4]) == [UInt8(truncatingIfNeeded: sum), UInt8(sum >> 8)], "from PCSS on")
    }

    // MARK: Statistics and hostile guests

    @Test func framesAreCountedByKindAndSize() {
        var bench = Bench(receive: 0x8012)
        for length in [60, 61, 1514] { receive(&bench, frame(length: length)) }
        receive(&bench, frame(to: broadcast))
        receive(&bench, frame(to: [1, 2, 3, 4, 5, 6]))
        #expect(
            [0x4074, 0x4078, 0x407C, 0x405C, 0x4060, 0x4070, 0x40D0].map { bench.get($0) } == [5, 1, 1, 3, 1, 1, 5])
        let bytes: UInt32 = 60 + 61 + 1514 + 60 + 60 + 20
        #expect(bench.get(0x4088) == bytes)
        #expect(bench.get(0x4088) == bytes, "the upper half clears both")
        #expect(bench.get(0x408C) == 0)
        #expect(bench.get(0x4088) == 0)
    }

    @Test func ringsAndBuffersOutsideOfRAMLoseTheirFrames() {
        var bench = Bench()
        bench.machine.put(little(0xFFFF_FFFF_FFFF_F000, 8), at: 0x2000)
        #expect(receive(&bench, frame()) == .accepted)
        #expect(bench.received(0)[4] == 7, "the descriptor is done")
        bench.set(0x2800, 0xFFFF_FF00)
        bench.set(0x2804, 0xFFFF_FFFF)
        let before = bench.machine.ram
        for _ in 0..<20 { receive(&bench, frame()) }
        #expect(bench.machine.ram == before)
    }
}
