import Images
import Testing

@Suite struct ByteReaderTests {
    private let reader = ByteReader([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99])

    @Test func numbersAreLittleEndian() {
        #expect(reader.u8(8) == 0x99)
        #expect(reader.u16(1) == 0x3322)
        #expect(reader.u32(1) == 0x5544_3322)
        #expect(reader.u64(1) == 0x9988_7766_5544_3322)
    }

    @Test func whatIsNotWhollyInsideIsNil() {
        #expect(reader.u8(9) == nil)
        #expect(reader.u16(8) == nil)
        #expect(reader.u32(6) == nil)
        #expect(reader.u64(2) == nil)
        #expect(reader.u64(.max) == nil)
        #expect(reader.slice(1, .max) == nil)
        #expect(reader.slice(10, 0) == nil)
    }

    @Test func anEmptySliceMayLieAtTheEnd() {
        #expect(reader.slice(9, 0)?.isEmpty == true)
        #expect(reader.slice(7, 2) == [0x88, 0x99])
    }

    @Test func numbersAreAppendedLittleEndian() {
        var bytes: [UInt8] = [0xFF]
        bytes.append(littleEndian: 0x1122_3344 as UInt32)
        bytes.append(littleEndian: 0x5566 as UInt16)
        #expect(bytes == [0xFF, 0x44, 0x33, 0x22, 0x11, 0x66, 0x55])
    }
}
