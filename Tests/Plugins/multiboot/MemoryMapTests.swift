import Images
@testable import Multiboot
import Testing

@Suite struct MemoryMapTests {
    @Test func sixtyFourMiBAre640And64512KiB() {
        let map = MemoryMap(RAMMap(ram: [0..<0x400_0000]))
        #expect(map.lowerKiB == 640)
        #expect(map.upperKiB == 64512)
    }

    @Test func upperMemoryEndsAtTheFirstHole() {
        let map = MemoryMap(RAMMap(ram: [0..<0xF0_0000, 0x100_0000..<0x400_0000]))
        #expect(map.upperKiB == 14336)
        #expect(
            map.entries == [
                .init(range: 0..<0xA0000, kind: .available), .init(range: 0xA0000..<0x100000, kind: .reserved),
                .init(range: 0x100000..<0xF0_0000, kind: .available),
                .init(range: 0xF0_0000..<0x100_0000, kind: .reserved),
                .init(range: 0x100_0000..<0x400_0000, kind: .available),
            ])
    }

    @Test func memoryAboveFourGiBIsInTheMap() {
        let map = MemoryMap(RAMMap(ram: [0..<0xC000_0000, 0x1_0000_0000..<0x1_4000_0000]))
        #expect(map.upperKiB == 0x2F_FC00)
        #expect(map.entries.last == .init(range: 0x1_0000_0000..<0x1_4000_0000, kind: .available))
        #expect(map.entries.dropLast().last == .init(range: 0xC000_0000..<0x1_0000_0000, kind: .reserved))
    }

    @Test func tinyMachinesHaveLittle() {
        let map = MemoryMap(RAMMap(ram: [0..<0x20000]))
        #expect(map.lowerKiB == 128)
        #expect(map.upperKiB == 0)
        #expect(map.entries == [.init(range: 0..<0x20000, kind: .available)])
    }

    @Test func memoryOfDevicesIsReservedAboveAllRAMToo() {
        let map = MemoryMap(RAMMap(ram: [0..<0x400000], reserved: [0x300000..<0x500000, 0xE000_0000..<0xE010_0000]))
        #expect(
            map.entries.dropFirst(2) == [
                .init(range: 0x100000..<0x300000, kind: .available), .init(range: 0x300000..<0x500000, kind: .reserved),
                .init(range: 0xE000_0000..<0xE010_0000, kind: .reserved),
            ])
    }

    @Test func romIsReserved() {
        let map = MemoryMap(RAMMap(ram: [0..<0x400000], reserved: [0..<0x1000, 0x200000..<0x300000]))
        #expect(map.lowerKiB == 0)
        #expect(map.upperKiB == 1024)
        #expect(map.entries.first == .init(range: 0..<0x1000, kind: .reserved))
    }
}
