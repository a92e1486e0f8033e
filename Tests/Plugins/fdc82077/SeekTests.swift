import FDC82077
import Testing

/// Heads, disk change and drives that are not there (5.2.1 to 5.2.3, and 2.1.7's DSKCHG).
@Suite struct SeekTests {
    @Test func seeksEndWithAnInterruptAndTheirCylinder() {
        var rig = Rig.ready()
        rig.send([0x0F, 0x04, 20])
        #expect(rig.msr == 0x81 && !rig.interrupt, "the drive is busy, the chip is not")
        rig.run(50_000_000)
        #expect(rig.msr == 0x80 && rig.interrupt)
        #expect(rig.command([0x08]) == [0x24, 20], "head 1 as it was given")
        #expect(!rig.interrupt)
    }

    @Test func twoDrivesSeekAtOnce() {
        var rig = Rig.ready(second: 2880)
        rig.send([0x0F, 0x00, 40])
        rig.send([0x0F, 0x01, 10])
        #expect(rig.msr == 0x83)
        rig.run(50_000_000)
        #expect(rig.command([0x08]) == [0x20, 40])
        #expect(rig.interrupt, "the second one has ended too")
        #expect(rig.command([0x08]) == [0x21, 10])
        #expect(!rig.interrupt)
    }

    @Test func relativeSeeksGoBothWays() {
        var rig = Rig.ready()
        rig.send([0xCF, 0x00, 9])
        rig.run(50_000_000)
        #expect(rig.command([0x08]) == [0x20, 9])
        rig.send([0x8F, 0x00, 4])
        rig.run(50_000_000)
        #expect(rig.command([0x08]) == [0x20, 5])
        #expect(rig.transfer(0x46, 5, 0, 1, dma: 512).prefix(3) == [0, 0, 0])
    }

    @Test func recalibrateComesToTrack0() {
        var rig = Rig.ready()
        _ = rig.seek(40)
        rig.send([0x07, 0x00])
        rig.run(50_000_000)
        #expect(rig.command([0x08]) == [0x20, 0])
        #expect(rig.command([0x04, 0x00])[0] & 0x10 == 0x10)
    }

    /// 79 steps: a head beyond them needs a second time; a drive that is not there never says track 0.
    @Test func recalibrateGivesUpAfter79Steps() {
        var rig = Rig.ready()
        _ = rig.seek(82)
        for expected in [0x70, 0x20] as [UInt8] {
            rig.send([0x07, 0x00])
            rig.run(50_000_000)
            #expect(rig.command([0x08]) == [expected, 0])
        }
        rig.send([0x07, 0x01])
        rig.run(50_000_000)
        #expect(rig.command([0x08]) == [0x71, 0])
    }

    /// After a reset the chip believes that heads are at 0, and a seek goes from there.
    @Test func aSeekAfterAResetMissesUntilRecalibration() {
        var rig = Rig.ready()
        _ = rig.seek(10)
        rig.out(4, 0x80)
        for _ in 0..<4 { _ = rig.command([0x08]) }
        #expect(rig.seek(2) == [0x20, 2])
        #expect(rig.transfer(0x46, 2, 0, 1, dma: 512).prefix(3) == [0x40, 0x04, 0x10], "it is at 12")
        rig.send([0x07, 0x00])
        rig.run(50_000_000)
        _ = rig.command([0x08])
        _ = rig.seek(2)
        #expect(rig.transfer(0x46, 2, 0, 1, dma: 512).prefix(3) == [0, 0, 0])
    }

    @Test func diskChangeStaysUntilAStepFindsADisk() {
        var rig = Rig.ready()
        #expect(rig.input(7) & 0x80 == 0x80)
        _ = rig.seek(0)
        #expect(rig.input(7) & 0x80 == 0x80, "no step")
        _ = rig.seek(1)
        #expect(rig.input(7) & 0x80 == 0)
        rig.chip.setOpen(0, true, at: rig.now)
        _ = rig.seek(3)
        #expect(rig.input(7) & 0x80 == 0x80, "a step without a disk")
        rig.chip.setOpen(0, false, at: rig.now)
        #expect(rig.input(7) & 0x80 == 0x80)
        _ = rig.seek(2)
        #expect(rig.input(7) & 0x80 == 0)
        rig.chip.change(0, FloppyFormat(sectorCount: 1440), isReadOnly: false, at: rig.now)
        #expect(rig.input(7) & 0x80 == 0x80)
        rig.out(2, 0x3D)
        #expect(rig.input(7) & 0x80 == 0, "drive B is not there")
    }
}
