import E1000
import Testing

/// The manual, 3.3 to 3.5: descriptors, checksums and segmentation.
@Suite struct E1000TransmitTests {
    private static let end: UInt64 = 1 << 24
    private static let status: UInt64 = 8 << 24
    private static let extended: UInt64 = 1 << 29
    private static let data: UInt64 = 1 << 20

    @Test func legacyDescriptorsMakeAFrameAndReport() {
        var bench = Bench()
        let bytes = frame(length: 100)
        bench.machine.put(bytes, at: 0x4000)
        let first = bench.post(0x4000, 40)
        let second = bench.post(0x4028, 60 | Self.end | Self.status)
        #expect(bench.chip.hasTransmitWork)
        #expect(bench.run() == [bytes])
        #expect(bench.status(first) == 0)
        #expect(bench.status(second) == 1)
        #expect(bench.get(0x3810) == 2)
        #expect(bench.get(0xC0) == 0x03, "TXDW and TXQE")
        #expect(!bench.chip.hasTransmitWork)
        #expect(bench.get(0x40D4) == 1)
        #expect(bench.get(0x4080) == 1)
    }

    @Test func aPacketMayWaitForItsEndAndTheRingGoesRound() {
        var bench = Bench()
        let bytes = frame(length: 60)
        bench.machine.put(bytes, at: 0x4000)
        for _ in 0..<6 {
            _ = bench.post(0x4000, 20)
            #expect(bench.run() == [])
            _ = bench.post(0x4014, 40 | Self.end)
            #expect(bench.run() == [bytes])
        }
        #expect(bench.get(0x3810) == 4)
    }

    @Test func nothingGoesOutWithoutTransmitterOrLink() {
        var bench = Bench()
        bench.machine.put(frame(), at: 0x4000)
        bench.set(0x400, 0)
        _ = bench.post(0x4000, 60 | Self.end)
        #expect(!bench.chip.hasTransmitWork)
        #expect(bench.run() == [])
        bench.set(0x400, 2)
        bench.chip.setCarrier(false, at: 0)
        #expect(bench.run() == [])
        #expect(!bench.chip.hasTransmitWork, "the ring goes on all the same")
    }

    @Test func legacyChecksumsAreInserted() {
        var bench = Bench()
        let good = packet(tcp: false, payload: 31)
        var bytes = good
        (bytes[24], bytes[25]) = (0, 0)
        bench.machine.put(bytes, at: 0x4000)
        // The IP header's checksum would need an end: CSS to the end of the packet is what legacy descriptors can.
        let pseudo = pseudoSum(Array(good[14..<34]), length: 39)
        bench.machine.put([UInt8(pseudo >> 8), UInt8(truncatingIfNeeded: pseudo)], at: 0x4000 + 40)
        _ = bench.post(0x4000, UInt64(bytes.count) | 40 << 16 | Self.end | 4 << 24 | 34 << 40)
        let sent = bench.run()
        #expect(sent.count == 1)
        #expect(sent.first.map { word($0, 40) } == word(good, 40))
    }

    @Test func tagsGoInBehindTheAddressesInVLANModeOnly() {
        var bench = Bench()
        let bytes = frame()
        bench.machine.put(bytes, at: 0x4000)
        let tagged = 60 | Self.end | 0x40 << 24 | UInt64(0xA123) << 48
        _ = bench.post(0x4000, tagged)
        #expect(bench.run() == [bytes])
        bench.set(0x00, 0x4000_0041)
        _ = bench.post(0x4000, tagged)
        #expect(bench.run() == [Array(bytes[0..<12]) + [0x81, 0x00, 0xA1, 0x23] + Array(bytes[12...])])
    }

    @Test func shortFramesArePaddedWhereAsked() {
        var bench = Bench()
        bench.machine.put(frame(length: 20), at: 0x4000)
        _ = bench.post(0x4000, 20 | Self.end)
        #expect(bench.run().map(\.count) == [20])
        bench.set(0x400, 0xA)
        _ = bench.post(0x4000, 20 | Self.end)
        #expect(bench.run() == [frame(length: 20) + [UInt8](repeating: 0, count: 40)])
    }

    /// A context: IP header at 14 to 33, checksum at 24; the rest at 34, checksum at `place`.
    private func context(
        _ bench: inout Bench, place: UInt64, command: UInt64, header: UInt64 = 0, size: UInt64 = 0, payload: UInt64 = 0
    ) {
        _ = bench.post(
            14 | 24 << 8 | 33 << 16 | 34 << 32 | place << 40,
            payload | Self.extended | command << 24 | header << 40 | size << 48)
    }

    @Test func bothChecksumsAreFilledInFromTheContext() {
        for tcp in [true, false] {
            var bench = Bench()
            let good = packet(tcp: tcp, payload: 101)
            var bytes = good
            let place = tcp ? 50 : 40
            let pseudo = pseudoSum(Array(good[14..<34]), length: UInt16(good.count - 34))
            (bytes[24], bytes[25]) = (0, 0)
            (bytes[place], bytes[place + 1]) = (UInt8(pseudo >> 8), UInt8(truncatingIfNeeded: pseudo))
            bench.machine.put(bytes, at: 0x4000)
            context(&bench, place: UInt64(place), command: tcp ? 3 : 2)
            let options: UInt64 = 3 << 40
            _ = bench.post(0x4000, 40 | Self.extended | Self.data | options)
            _ = bench.post(0x4028, UInt64(bytes.count - 40) | Self.extended | Self.data | Self.end | Self.status)
            #expect(bench.run() == [good])
            _ = bench.post(0x4000, UInt64(bytes.count) | Self.extended | Self.data | Self.end | 1 << 40)
            let sent = bench.run()
            #expect(sent.first.map { Array($0[34...]) } == Array(bytes[34...]), "the IP header's alone")
            #expect(sent.first.map { word($0, 24) } == word(good, 24), "the context stays")
        }
    }

    @Test func segmentsHaveTheirOwnLengthsNumbersAndChecksums() throws {
        var bench = Bench()
        var bytes = packet(tcp: true, payload: 2500, isSummed: false)
        bytes[16...17] = [0, 0]
        let pseudo = onesSum(bytes[26..<34] + [0, 6])
        (bytes[50], bytes[51]) = (UInt8(pseudo >> 8), UInt8(truncatingIfNeeded: pseudo))
        bench.machine.put(bytes, at: 0x4000)
        context(&bench, place: 50, command: 7, header: 54, size: 1000, payload: 2500)
        _ = bench.post(0x4000, 54 | Self.extended | Self.data | 4 << 24 | 3 << 40)
        _ = bench.post(0x4036, 2500 | Self.extended | Self.data | Self.end | 4 << 24)
        let sent = bench.run()
        #expect(sent.map(\.count) == [1054, 1054, 554])
        #expect(sent.flatMap { $0[54...] } == Array(bytes[54...]))
        for (index, segment) in sent.enumerated() {
            #expect(Int(word(segment, 16)) == segment.count - 14)
            #expect(word(segment, 18) == 0x1234 + UInt16(index))
            #expect(onesSum(segment[14..<34]) == 0xFFFF)
            #expect(word(segment, 38) == 0 && word(segment, 40) == 0x1000 + UInt16(index) * 1000)
            #expect(
                onesSum(segment[34...], pseudoSum(Array(segment[14..<34]), length: UInt16(segment.count - 34)))
                    == 0xFFFF)
            #expect(segment[47] == (index == 2 ? 0x19 : 0x10), "FIN and PSH in the last only")
        }
        #expect(bench.get(0x40F8) == 1)
    }

    @Test func datagramsAreSegmentedWithTheirLengths() {
        var bench = Bench()
        var bytes = packet(tcp: false, payload: 1500, isSummed: false)
        let pseudo = onesSum(bytes[26..<34] + [0, 17])
        (bytes[40], bytes[41]) = (UInt8(pseudo >> 8), UInt8(truncatingIfNeeded: pseudo))
        bench.machine.put(bytes, at: 0x4000)
        context(&bench, place: 40, command: 6, header: 42, size: 1024, payload: 1500)
        _ = bench.post(0x4000, UInt64(bytes.count) | Self.extended | Self.data | Self.end | 4 << 24 | 3 << 40)
        let sent = bench.run()
        #expect(sent.map { word($0, 38) } == [1032, 484])
        for segment in sent {
            #expect(
                onesSum(segment[34...], pseudoSum(Array(segment[14..<34]), length: UInt16(segment.count - 34)))
                    == 0xFFFF)
        }
    }

    // MARK: Hostile guests

    @Test func segmentationsWithoutSenseAreDroppedAndCounted() {
        for (header, size): (UInt64, UInt64) in [(0, 1000), (54, 0), (255, 100), (54, 1)] {
            var bench = Bench()
            let length: UInt64 = size == 1 ? 60_000 : 200
            context(&bench, place: 50, command: 7, header: header, size: size)
            _ = bench.post(0x4000, length | Self.extended | Self.data | Self.end | 4 << 24 | 3 << 40)
            #expect(bench.run() == [])
            #expect(bench.get(0x40FC) == 1)
        }
    }

    @Test func placesBeyondTheFrameChangeNothing() {
        var bench = Bench()
        let bytes = frame()
        bench.machine.put(bytes, at: 0x4000)
        _ = bench.post(0xFF | 0xFF << 8 | 0xFF << 32 | 0xFF << 40, Self.extended)
        _ = bench.post(0x4000, 60 | Self.extended | Self.data | Self.end | 3 << 40)
        _ = bench.post(0x4000, 60 | 255 << 16 | Self.end | 4 << 24 | 200 << 40)
        _ = bench.post(0x4000, 60 | 59 << 16 | Self.end | 4 << 24)
        #expect(bench.run() == [bytes, bytes, bytes])
    }

    @Test func buffersOutsideOfRAMLoseTheirPacketOnly() {
        var bench = Bench()
        bench.machine.put(frame(), at: 0x4000)
        _ = bench.post(0xFFFF_FFFF_FFFF_FFF0, 60 | Self.end | Self.status)
        _ = bench.post(0x4000, 60 | Self.end | Self.status)
        #expect(bench.run() == [frame()])
        #expect(bench.status(0) == 1)
    }

    @Test func endlessPacketsStopGrowing() {
        var bench = Bench()
        for _ in 0..<6 {
            _ = bench.post(0x4000, 0xF_FFFF | Self.extended | Self.data)
            _ = bench.post(0, 0x1_0000 | Self.extended | Self.data)
            #expect(bench.run() == [])
            #expect(bench.chip.state.packet.bytes.count <= 1 << 17)
        }
        _ = bench.post(0, 60 | Self.extended | Self.data | Self.end)
        #expect(bench.run() == [])
        bench.machine.put(frame(), at: 0x4000)
        _ = bench.post(0x4000, 60 | Self.end)
        #expect(bench.run() == [frame()], "the next is whole again")
    }

    @Test func tinySegmentsDoNotKeepACallBusyForLong() {
        var bench = Bench()
        context(&bench, place: 50, command: 7, header: 54, size: 1)
        for _ in 0..<6 { _ = bench.post(0x4000, 2000 | Self.extended | Self.data | Self.end | 4 << 24) }
        #expect(bench.run().count == 2 * 1946, "two packets, and the budget is gone")
        #expect(bench.chip.hasTransmitWork)
        #expect(bench.run().count == 2 * 1946)
        #expect(bench.run().count == 2 * 1946)
        #expect(!bench.chip.hasTransmitWork)
    }

    @Test func ringsThatLieDoNothingForLong() {
        for (base, length, head, tail): (UInt32, UInt32, UInt32, UInt32) in [
            (0x1000, 128, 8, 0), (0x1000, 128, 0, 8), (0x1000, 0, 0, 5), (0x1000, 128, 0xFFFF, 3),
        ] {
            var bench = Bench()
            for (offset, value) in zip([0x3800, 0x3808, 0x3810, 0x3818] as [UInt32], [base, length, head, tail]) {
                bench.set(offset, value)
            }
            #expect(!bench.chip.hasTransmitWork)
            #expect(bench.run() == [])
        }
        var bench = Bench()
        for (offset, value): (UInt32, UInt32) in [
            (0x3800, 0xFFFF_FFF0), (0x3804, .max), (0x3808, 0xF_FF80), (0x3818, 0xFF00),
        ] {
            bench.set(offset, value)
        }
        let before = bench.machine.reads
        #expect(bench.run() == [])
        #expect(bench.machine.reads - before <= 256, "a call is bounded")
        for _ in 0..<300 where bench.chip.hasTransmitWork { _ = bench.run() }
        #expect(!bench.chip.hasTransmitWork)
    }
}
