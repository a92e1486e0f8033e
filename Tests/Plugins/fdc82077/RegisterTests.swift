import FDC82077
import Testing

/// Registers, resets and the commands without a disk, by sections 2, 5.2 and 7 of the data sheet.
@Suite struct RegisterTests {
    @Test func atPowerOnItIsInReset() {
        let rig = Rig()
        #expect(rig.msr == 0 && rig.chip.peek(2) == 0 && !rig.interrupt)
        #expect(rig.chip.peek(0) == 0xFF && rig.chip.peek(1) == 0xFF, "SRA and SRB are not there in AT mode")
        #expect(rig.chip.peek(7) & 0x80 == 0x80, "no step has found the disk yet")
    }

    @Test func leavingResetIsFourInterruptsOfPolling() {
        var rig = Rig()
        rig.out(2, 0x0C)
        #expect(rig.interrupt && rig.msr == 0x80)
        for drive in UInt8(0)..<4 {
            #expect(rig.command([0x08]) == [0xC0 | drive, 0])
            #expect(!rig.interrupt, "the first of them takes the interrupt away")
        }
        #expect(rig.command([0x08]) == [0x80], "there is nothing more: an invalid command")
    }

    @Test func theResetBitOfDSRClearsItself() {
        var rig = Rig.ready()
        _ = rig.seek(5)
        rig.send([0x0F, 0x00])
        #expect(rig.msr == 0x90, "in the middle of a command")
        rig.out(4, 0x82)
        #expect(rig.msr == 0x80 && rig.interrupt)
        #expect(rig.command([0x08]) == [0xC0, 0], "cylinders are forgotten")
    }

    @Test func theGateOfDORKeepsInterruptsIn() {
        var rig = Rig()
        rig.out(2, 0x04)
        #expect(!rig.interrupt)
        rig.out(2, 0x0C)
        #expect(rig.interrupt)
        var ps2 = Rig(mode: .ps2)
        ps2.out(2, 0x04)
        #expect(ps2.interrupt, "it is none in PS/2 mode")
    }

    @Test func registersOfPS2ModeShowPins() {
        var rig = Rig(2880, readOnly: true, mode: .ps2)
        rig.out(2, 0x04)
        // INT PENDING, no second drive, TRK0# active, INDX# inactive, WP# active.
        #expect(rig.input(0) == 0xC4)
        rig.out(2, 0x35)
        #expect(rig.input(1) == 0xE3, "drive select 0, both motors")
        rig.out(7, 0)
        #expect(rig.input(7) & 0x7F == 0x78, "500 kbit/s is high density")
        rig.out(7, 2)
        #expect(rig.input(7) & 0x7F == 0x7D)
    }

    @Test func theTapeRegisterHasTwoBits() {
        var rig = Rig.ready()
        rig.out(3, 0xFF)
        #expect(rig.input(3) & 3 == 3)
        rig.out(3, 0xFD)
        #expect(rig.input(3) & 3 == 1)
    }

    @Test func versionAndInvalidCommands() {
        var rig = Rig.ready()
        #expect(rig.command([0x10]) == [0x90])
        // PART ID is the 82078's; MT is no bit of SPECIFY; scans and 0x1F are none of this chip's.
        for code in [0x18, 0x83, 0x00, 0x11, 0x1F, 0xFF, 0x90] as [UInt8] {
            #expect(rig.command([code]) == [0x80], "code \(code)")
            #expect(rig.msr == 0x80 && !rig.interrupt)
        }
    }

    /// Table 5-1: four cylinders, SRT and HUT, HLT and ND, SC or EOT, LOCK and perpendicular mode, CONFIGURE's bytes.
    @Test func dumpregTellsWhatWasSet() {
        var rig = Rig.ready()
        #expect(rig.command([0x0E]) == [0, 0, 0, 0, 0xDF, 0x02, 0, 0, 0x20, 0])
        _ = rig.seek(7)
        rig.send([0x13, 0, 0x57, 0x33])
        rig.send([0x12, 0x86])
        #expect(rig.command([0x94]) == [0x10])
        #expect(rig.command([0x0E]) == [7, 0, 0, 0, 0xDF, 0x02, 0, 0x86, 0x57, 0x33])
        rig.send([0x12, 0x3D])
        #expect(rig.command([0x0E])[7] == 0x85, "drives' bits count only with OW")
    }

    @Test func lockKeepsTheFIFOFromSoftwareResets() {
        var rig = Rig.ready()
        rig.send([0x13, 0, 0x57, 0x33])
        _ = rig.command([0x94])
        rig.out(4, 0x80)
        for _ in 0..<4 { _ = rig.command([0x08]) }
        #expect(rig.command([0x0E]).suffix(2) == [0x07, 0x33], "EIS and POLL are the defaults, the rest stays")
        #expect(rig.command([0x14]) == [0x00])
        rig.out(2, 0x00)
        rig.out(2, 0x0C)
        for _ in 0..<4 { _ = rig.command([0x08]) }
        #expect(rig.command([0x0E]).suffix(2) == [0x20, 0x00])
    }

    @Test func senseDriveStatusSeesThePins() {
        var rig = Rig.ready(2880, readOnly: true)
        #expect(rig.command([0x04, 0x04]) == [0x7C], "protected, track 0, head 1")
        _ = rig.seek(3)
        #expect(rig.command([0x04, 0x00]) == [0x68])
        #expect(rig.command([0x04, 0x01]) == [0x29], "there is no drive B")
    }

    @Test func readsAndWritesOutsideOfAPhaseDoNothing() {
        var rig = Rig.ready()
        #expect(rig.input(5) == 0)
        rig.send([0x10])
        rig.out(5, 0x08)
        #expect(rig.result() == [0x90], "a byte written in the result phase is lost")
        rig.out(2, 0)
        rig.out(5, 0x10)
        rig.out(2, 0x0C)
        #expect(rig.msr == 0x80, "as is one in reset")
    }
}
