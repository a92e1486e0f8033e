import SplitMix
import Testing
import Virtio
import VirtioBlock

/// RAM with one buffer in it.
final class RequestRAM: VirtioMemory {
    private var bytes: [UInt64: UInt8] = [:]
    func put(_ values: [UInt8], at address: UInt64) {
        for (index, value) in values.enumerated() { bytes[address + UInt64(index)] = value }
    }
    func read16(_ address: UInt64) -> UInt16? {
        read(address, count: 2).map { UInt16($0[0]) | UInt16($0[1]) << 8 }
    }
    func write16(_ address: UInt64, _ value: UInt16) -> Bool {
        put([UInt8(value & 0xFF), UInt8(value >> 8)], at: address)
        return true
    }
    func readDescriptor(_ address: UInt64) -> VirtQueue.Descriptor? {
        guard let bytes = read(address, count: 16) else { return nil }
        func number(_ range: Range<Int>) -> UInt64 { bytes[range].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        return .init(
            address: number(0..<8), length: UInt32(number(8..<12)), flags: .init(rawValue: UInt16(number(12..<14))),
            next: UInt16(number(14..<16)))
    }
    func writeUsed(_ address: UInt64, _ element: VirtQueue.UsedElement) -> Bool { true }
    func read(_ address: UInt64, count: Int) -> [UInt8]? {
        address < 1 << 32 && count <= 1 << 20 ? (0..<UInt64(count)).map { bytes[address + $0] ?? 0 } : nil
    }
    func write(_ address: UInt64, _ slice: ArraySlice<UInt8>) -> Bool {
        put(Array(slice), at: address)
        return true
    }
    func fence() {}
}

func little(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}

/// Virtio 1.2, 5.2.
@Suite struct VirtioBlockTests {
    private static let (table, header, data) = (0x1000 as UInt64, 0x2000 as UInt64, 0x3000 as UInt64)
    private let flushing = VirtioFeatures(rawValue: 1 << 9 | 1 << 14 | 1 << 32)
    private let disk = VirtioBlock(.init(sectors: 100, sectorSize: 512, isReadOnly: false), serial: "BP-hd0")

    /// A request as a driver makes it: header, data, status byte.
    private func operation(
        _ disk: VirtioBlock, _ type: UInt32, sector: UInt64 = 0, out: [UInt8] = [], room: UInt64 = 0,
        features: VirtioFeatures? = nil
    ) throws(VirtQueue.Violation) -> VirtioBlock.Operation {
        let ram = RequestRAM()
        ram.put(little(UInt64(type), 8) + little(sector, 8) + out, at: Self.header)
        var chain: [(UInt64, UInt64, UInt64)] = [(Self.header, 16 + UInt64(out.count), 0)]
        if room > 0 { chain.append((Self.data, room, 2)) }
        chain.append((0x8000, 1, 2))
        for (index, (address, length, flags)) in chain.enumerated() {
            let next = index < chain.count - 1
            ram.put(
                little(address, 8) + little(length, 4) + little(flags | (next ? 1 : 0), 2)
                    + little(UInt64(index + 1), 2),
                at: Self.table + UInt64(index) * 16)
        }
        var queue = VirtQueue()
        _ = queue.enable(.init(entries: 8, descriptors: Self.table, driver: 0x10_0000, device: 0x20_0000), most: 8)
        _ = ram.write16(0x10_0002, 1)
        guard let taken = try queue.take(ram) else { return .answer([], .unsupported) }
        return try disk.operation(of: taken, features ?? flushing, ram)
    }

    @Test func configurationSaysWhatTheDiskIs() {
        let big = VirtioBlock(.init(sectors: 100, sectorSize: 4096, isReadOnly: true), serial: "")
        func word(_ disk: VirtioBlock, _ offset: UInt32) -> UInt32 { disk.readConfig(offset, width: 4) }
        #expect(word(disk, 0) == 100 && word(disk, 4) == 0 && word(disk, 20) == 512)
        #expect(word(big, 0) == 800 && word(big, 20) == 4096, "the guest counts in 512 bytes")
        #expect(word(disk, 12) == 126, "seg_max: header and status beside it in 128 descriptors")
        #expect(disk.identity.features.rawValue & (1 << 5) == 0 && big.identity.features.rawValue & (1 << 5) != 0)
        #expect(disk.identity.type == 2 && disk.identity.configSize == 60)
    }

    @Test func readsAndWritesNameSectors() throws {
        #expect(try operation(disk, 0, sector: 98, room: 1024) == .read(.init(sector: 98, count: 2)))
        #expect(
            try operation(disk, 1, sector: 5, out: [UInt8](repeating: 1, count: 512))
                == .write(.init(sector: 5, count: 1)))
        #expect(try operation(disk, 4) == .flush)
    }

    @Test func whatIsNotOnTheDiskIsAnIOError() throws {
        #expect(try operation(disk, 0, sector: 99, room: 1024) == .answer([], .ioError))
        #expect(try operation(disk, 0, sector: .max, room: 512) == .answer([], .ioError))
        #expect(try operation(disk, 0, sector: 0, room: 100) == .answer([], .ioError), "no whole sectors")
        let readOnly = VirtioBlock(.init(sectors: 100, sectorSize: 512, isReadOnly: true), serial: "")
        #expect(
            try operation(readOnly, 1, out: [UInt8](repeating: 0, count: 512)) == .answer([], .ioError))
        let big = VirtioBlock(.init(sectors: 100, sectorSize: 4096, isReadOnly: false), serial: "")
        #expect(try operation(big, 0, sector: 8, room: 4096) == .read(.init(sector: 1, count: 1)))
        #expect(try operation(big, 0, sector: 1, room: 4096) == .answer([], .ioError), "not where a sector begins")
    }

    @Test func identificationIsTwentyBytes() throws {
        let serial = Array("BP-hd0".utf8) + [UInt8](repeating: 0, count: 14)
        #expect(try operation(disk, 8, room: 20) == .answer(serial, .ok))
    }

    @Test func zeroesComeInSegments() throws {
        let two = little(3, 8) + little(4, 4) + little(0, 4) + little(90, 8) + little(10, 4) + little(1, 4)
        #expect(
            try operation(disk, 13, out: two) == .zero([.init(sector: 3, count: 4), .init(sector: 90, count: 10)]))
        #expect(try operation(disk, 13, out: little(99, 8) + little(2, 4) + little(0, 4)) == .answer([], .ioError))
        #expect(try operation(disk, 13, out: little(0, 8) + little(1, 4) + little(2, 4)) == .answer([], .unsupported))
        #expect(try operation(disk, 13, out: [1, 2, 3]) == .answer([], .ioError))
        let many = [[UInt8]](repeating: little(0, 8) + little(1, 4) + little(0, 4), count: 17).flatMap { $0 }
        #expect(try operation(disk, 13, out: many) == .answer([], .ioError), "more than the most that it names")
    }

    @Test func discardsComeInSegmentsWhereTheMediumKnowsThem() throws {
        let disk = VirtioBlock(.init(sectors: 100, sectorSize: 512, isReadOnly: false, canDiscard: true), serial: "")
        let discarding = VirtioFeatures(rawValue: 1 << 13 | 1 << 32)
        #expect(disk.identity.features.isSuperset(of: discarding) && disk.readConfig(36, width: 4) > 0)
        #expect(self.disk.identity.features.isDisjoint(with: VirtioFeatures(rawValue: 1 << 13)))
        let one = little(3, 8) + little(4, 4) + little(0, 4)
        #expect(try operation(disk, 11, out: one, features: discarding) == .discard([.init(sector: 3, count: 4)]))
        let unmapping = little(3, 8) + little(4, 4) + little(1, 4)
        #expect(
            try operation(disk, 11, out: unmapping, features: discarding) == .answer([], .unsupported),
            "the flag is WRITE_ZEROES's")
    }

    @Test func whatWasNotNegotiatedIsUnsupported() throws {
        let plain = VirtioFeatures(rawValue: 1 << 32)
        #expect(try operation(disk, 4, features: plain) == .answer([], .unsupported))
        #expect(try operation(disk, 13, out: little(0, 16), features: plain) == .answer([], .unsupported))
        for type in [2, 11, 14, 99] as [UInt32] { #expect(try operation(disk, type) == .answer([], .unsupported)) }
    }

    @Test func writesLastAtOnceWhereTheDriverKnowsNoFlush() {
        var disk = disk
        #expect(disk.writesThrough(VirtioFeatures(rawValue: 1 << 32)))
        #expect(!disk.writesThrough(flushing))
        let switched = VirtioFeatures(rawValue: 1 << 32 | 1 << 9 | 1 << 11)
        disk.writeConfig(32, width: 1, 0, flushing)
        #expect(disk.readConfig(32, width: 1) == 1, "CONFIG_WCE was not negotiated")
        disk.writeConfig(32, width: 1, 0, switched)
        #expect(disk.readConfig(32, width: 1) == 0 && disk.writesThrough(switched))
    }

    @Test func requestWithoutHeaderOrStatusCannotBeAnswered() {
        for (length, flags) in [(15, 0), (16, 0)] as [(UInt64, UInt64)] {
            let ram = RequestRAM()
            ram.put(little(Self.header, 8) + little(length, 4) + little(flags, 4), at: Self.table)
            var queue = VirtQueue()
            _ = queue.enable(.init(entries: 8, descriptors: Self.table, driver: 0x10_0000, device: 0x20_0000), most: 8)
            _ = ram.write16(0x10_0002, 1)
            #expect(throws: VirtQueue.Violation.badRequest) {
                let chain = try #require(try queue.take(ram))
                _ = try disk.operation(of: chain, flushing, ram)
            }
        }
    }
}
