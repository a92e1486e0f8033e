import Testing
import Virtio
import VirtioBalloon

/// Virtio 1.2, 5.5.
@Suite struct VirtioBalloonTests {
    @Test func targetIsReadAndActualIsWritten() {
        var chip = VirtioBalloon(deflatesOnOOM: true, reports: true)
        chip.target = 0x1234
        chip.writeConfig(0, width: 4, 0x9999)
        chip.writeConfig(4, width: 4, 0x0102_0304)
        chip.writeConfig(6, width: 2, 0xAABB)
        #expect(chip.readConfig(0, width: 4) == 0x1234 && chip.readConfig(4, width: 4) == 0xAABB_0304)
        chip.reset()
        #expect(chip.actual == 0 && chip.target == 0x1234, "the operator's wish outlives the guest")
    }

    @Test func featuresAreThoseOfItsProperties() {
        let all = VirtioBalloon(deflatesOnOOM: true, reports: true).identity
        #expect(all.type == 5 && all.configSize == 8 && all.features.rawValue & 0x3F == 0b100110)
        #expect(VirtioBalloon(deflatesOnOOM: false, reports: false).identity.features.rawValue & 0x3F == 0b10)
    }

    /// Linux closes the gaps that the numbers of 5.5.2 have without free page hints.
    @Test func reportingIsWhereTheDriverPutsIt() {
        let (statistics, reporting) = (VirtioFeatures(rawValue: 2), VirtioFeatures(rawValue: 32))
        #expect(VirtioBalloon.queue(2, [statistics, reporting]) == .statistics)
        #expect(VirtioBalloon.queue(3, [statistics, reporting]) == .reporting)
        #expect(VirtioBalloon.queue(4, [statistics, reporting]) == .reporting)
        #expect(VirtioBalloon.queue(2, reporting) == .reporting)
        #expect(VirtioBalloon.queue(3, statistics) == nil && VirtioBalloon.queue(2, []) == nil)
        #expect(VirtioBalloon.queue(0, []) == .inflate && VirtioBalloon.queue(1, []) == .deflate)
    }

    @Test func neighbouringPagesAreOneRangeInAnyOrder() {
        let numbers: [UInt32] = [7, 5, 6, 0xFFFF_FFFF, 2, 6]
        let bytes = numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }
        #expect(
            VirtioBalloon.ranges(of: bytes + [1, 2, 3]) == [
                .init(address: 0x2000, length: 0x1000), .init(address: 0x5000, length: 0x3000),
                .init(address: 0xFFF_FFFF_F000, length: 0x1000),
            ])
        #expect(VirtioBalloon.ranges(of: []).isEmpty)
    }

    @Test func statisticsNameWhatTheDriverKnows() {
        func entry(_ tag: UInt16, _ value: UInt64) -> [UInt8] {
            let number = (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
            return [UInt8(tag & 0xFF), UInt8(tag >> 8)] + number
        }
        let entries = [entry(4, 0x10_0000), entry(2, 9), entry(0, .max), entry(999, 1), [4, 0]]
        let told = BalloonStatistics(Array(entries.joined()))
        #expect(told.numbers == [4: 0x10_0000, 2: 9])
        #expect(told.text == "major-faults 9, free 1024 KiB")
        #expect(BalloonStatistics([]).text.isEmpty)
    }
}
