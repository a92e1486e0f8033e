import Images
@testable import Multiboot
import Testing

/// Multiboot Specification 0.6.96, section 3.1.
@Suite struct HeaderTests {
    private func header(_ file: Kernel) throws(MultibootError) -> MultibootHeader {
        try MultibootHeader(ByteReader(file.bytes))
    }

    @Test func itIsFoundAtEveryFourthByteOfTheFirst8192() throws {
        for offset in [0, 4, 0x1000, 8180] {
            var file = Kernel(count: 0x4000)
            file.header(3, at: offset)
            let header = try header(file)
            #expect(header.offset == UInt64(offset))
            #expect(header.flags == [.alignModules, .memoryInformation])
        }
    }

    @Test func itIsNotFoundElsewhere() {
        for offset in [2, 8181, 8184, 8192] {
            var file = Kernel(count: 0x4000)
            file.header(3, at: offset)
            #expect(throws: MultibootError.noHeader) { try header(file) }
        }
        #expect(throws: MultibootError.noHeader) { try header(Kernel(count: 0)) }
        #expect(throws: MultibootError.noHeader) { try header(Kernel(count: 5)) }
    }

    @Test func aWrongChecksumIsNoHeaderAndNamedIfThereIsNoOther() throws {
        var file = Kernel(count: 0x4000)
        file.header(3, at: 0x40)
        file.put32(0, at: 0x48)
        #expect(throws: MultibootError.badChecksum(offset: 0x40)) { try header(file) }
        file.header(1, at: 0x80)
        #expect(try header(file).offset == 0x80)
    }

    @Test func multiboot2IsNamed() {
        var file = Kernel(count: 0x8000)
        file.put32(0xE852_50D6, at: 0x7FF8)
        #expect(throws: MultibootError.onlyMultiboot2(offset: 0x7FF8)) { try header(file) }
    }

    @Test func unknownRequirementsAreRefusedAndUnknownWishesAreNot() {
        for bit in 3..<16 {
            var file = Kernel(count: 0x200)
            file.header(3 | 1 << UInt32(bit), at: 0)
            #expect(throws: MultibootError.unknownRequirements(1 << UInt32(bit))) { try header(file) }
        }
        for bit in 17..<32 {
            var file = Kernel(count: 0x200)
            file.header(3 | 1 << UInt32(bit), at: 0)
            #expect(throws: Never.self) { try header(file) }
        }
    }

    @Test func theAddressFieldsAreAtTwelveAndTheVideoFieldsAtThirtyTwo() throws {
        var file = Kernel(count: 0x200)
        file.header(0x0001_0004, at: 8)
        file.put([0x101, 0x102, 0x103, 0x104, 0x105, 1, 80, 25, 0], at: 8 + 12)
        let header = try header(file)
        #expect(
            header.addresses == .init(header: 0x101, load: 0x102, loadEnd: 0x103, bssEnd: 0x104, entry: 0x105))
        #expect(header.video == .init(type: 1, width: 80, height: 25, depth: 0))
    }

    @Test func withoutTheirFlagsTheyAreNotRead() throws {
        var file = Kernel(count: 12)
        file.header(3, at: 0)
        let header = try header(file)
        #expect(header.addresses == nil)
        #expect(header.video == nil)
    }

    @Test func aHeaderThatTheFileCutsOffIsRefused() {
        for (flags, needed) in [(0x0001_0000, 32), (0x4, 48), (0x0001_0004, 48)] as [(UInt32, Int)] {
            var file = Kernel(count: needed)
            file.header(flags, at: 0)
            #expect(throws: Never.self) { try header(file) }
            file.bytes.removeLast()
            #expect(throws: MultibootError.truncatedHeader(offset: 0, size: UInt64(needed - 1))) { try header(file) }
        }
        var file = Kernel(count: 12)
        file.header(0, at: 0)
        file.bytes.removeLast()
        #expect(throws: MultibootError.truncatedHeader(offset: 0, size: 11)) { try header(file) }
    }
}
