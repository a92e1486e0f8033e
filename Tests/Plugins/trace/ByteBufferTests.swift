import Testing

@testable import TraceFormat

@Suite struct ByteBufferTests {
    private func written(_ write: (inout ByteBuffer) -> Void) -> String {
        var buffer = ByteBuffer(capacity: 256)
        write(&buffer)
        return buffer.text
    }

    @Test(
        arguments: [
            (0, "0"), (9, "9"), (10, "10"), (99, "99"), (100, "100"), (1_234_567_890, "1234567890"),
            (9_999_999_999_999_999_999, "9999999999999999999"), (UInt64.max, "18446744073709551615"),
        ] as [(UInt64, String)])
    func decimals(_ value: UInt64, _ text: String) {
        #expect(written { $0.putDecimal(value) } == text)
    }

    @Test(
        arguments: [
            (0, "\"0x0\""), (0xf, "\"0xf\""), (0x10, "\"0x10\""), (0x3f8, "\"0x3f8\""), (0x1000_00f3, "\"0x100000f3\""),
            (0x8000_0000_0000_0000, "\"0x8000000000000000\""), (UInt64.max, "\"0xffffffffffffffff\""),
        ] as [(UInt64, String)])
    func hexadecimals(_ value: UInt64, _ text: String) {
        #expect(written { $0.putHex(value) } == text)
    }

    @Test(
        arguments: [
            (0, "0.000"), (7, "0.007"), (1000, "1.000"), (12_345, "12.345"), (1_000_000_010, "1000000.010"),
            (UInt64.max, "18446744073709551.615"),
        ] as [(UInt64, String)])
    func microseconds(_ value: UInt64, _ text: String) {
        #expect(written { $0.putMicroseconds(value) } == text)
    }

    @Test(arguments: [
        ("com1", "\"com1\""), ("", "\"\""), ("a\"b\\c", "\"a\\\"b\\\\c\""), ("\n\u{1f}", "\"\\u000a\\u001f\""),
        ("gerät", "\"gerät\""),
    ])
    func quotedText(_ text: String, _ json: String) {
        #expect(written { $0.putQuoted(Array(text.utf8).span, limit: 100) } == json)
    }

    @Test func longTextIsCutBetweenCharacters() {
        let text = Array("aä".utf8)
        #expect(written { $0.putQuoted(text.span, limit: 3) } == "\"aä\"")
        #expect(written { $0.putQuoted(text.span, limit: 2) } == "\"a\"")
        #expect(written { $0.putQuoted(text.span, limit: 0) } == "\"\"")
    }

    @Test func bytesThatAreTakenMakeRoom() {
        var buffer = ByteBuffer(capacity: 8)
        buffer.put("abcdef")
        #expect(buffer.makeRoom(3) == false)
        buffer.consume(4)
        #expect(buffer.text == "ef")
        #expect(buffer.makeRoom(6) == true)
        #expect(buffer.makeRoom(7) == false)
        buffer.put("ghijkl")
        #expect(buffer.text == "efghijkl")
        buffer.consume(100)
        #expect(buffer.isEmpty)
        #expect(buffer.makeRoom(8) == true)
        #expect(!buffer.hasOverflowed)
    }

    @Test func pieceThatDoesNotFitIsDroppedWhole() {
        for write in [
            { $0.put("abcd") }, { $0.putDecimal(1234) }, { $0.putHex(0) }, { $0.putMicroseconds(10_000) },
        ] as [(inout ByteBuffer) -> Void] {
            var buffer = ByteBuffer(capacity: 3)
            write(&buffer)
            #expect(buffer.hasOverflowed)
            #expect(buffer.count <= 3)
        }
        var buffer = ByteBuffer(capacity: 3)
        buffer.put("ab")
        buffer.put("cd")
        buffer.put(101)
        #expect(buffer.text == "abe")
        #expect(buffer.hasOverflowed)
    }
}
