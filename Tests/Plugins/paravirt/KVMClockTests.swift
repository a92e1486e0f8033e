import Testing

@testable import HypercallInterface

@Suite struct KVMClockTests {
    /// Linux's pvclock arithmetic (arch/x86/include/asm/pvclock.h), with a 128-bit product.
    private func nanoseconds(_ info: [UInt8], tsc: UInt64) -> UInt64 {
        func word(_ at: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(info[at + $1]) << UInt64(8 * $1) }
        }
        let shift = Int8(bitPattern: info[28])
        let delta = tsc - word(8, 8)
        let scaled = shift >= 0 ? delta << UInt64(shift) : delta >> UInt64(-shift)
        let product = scaled.multipliedFullWidth(by: word(24, 4))
        return (product.high << 32 | product.low >> 32) + word(16, 8)
    }

    @Test func theScaleIsOneNanosecondATick() {
        let info = KVMClock.timeInfo(version: 2, tsc: 1000, now: 500)
        #expect(info.count == 32)
        for tsc in [1000, 1001, 5_000_000_000, 1 << 50] as [UInt64] {
            #expect(nanoseconds(info, tsc: tsc) == tsc - 500)
        }
        // An odd version says: being written.
        #expect(info[0] == 2 && info[29] == 1)
    }

    @Test func theSignatureIsKVMs() {
        let leaf = KVMClock.leaf(0x4000_0000)
        let text = [leaf.1, leaf.2, leaf.3].flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) }
        }
        #expect(text == Array("KVMKVMKVM".utf8) + [0, 0, 0])
        #expect(leaf.0 == 0x4000_0001)
        #expect(KVMClock.leaf(0x4000_0001).0 == 0x0100_0008)
    }

    @Test func onlyAnEnabledAddressIsWrittenTo() {
        #expect(KVMClock.address(0x1000) == nil)
        #expect(KVMClock.address(0x1041) == 0x1040)
    }

    @Test func theWallClockHasTwelveBytes() {
        #expect(
            KVMClock.wallClock(version: 4, seconds: 0x0102_0304, nanoseconds: 7) == [
                4, 0, 0, 0, 4, 3, 2, 1, 7, 0, 0, 0,
            ])
    }
}
