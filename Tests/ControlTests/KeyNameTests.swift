import Testing

@testable import Control

/// Codes of linux/input-event-codes.h.
@Suite struct KeyNameTests {
    @Test func keysAreNamedAsQEMUNamesThem() throws {
        #expect(try KeyNames.codes("ctrl-alt-delete") == [29, 56, 111])
        #expect(try KeyNames.codes("a") == [30])
        #expect(try KeyNames.codes("shift-A") == [42, 30])
        #expect(try KeyNames.codes("ret") == [28])
        #expect(try KeyNames.codes("minus") == [12])
        #expect(try KeyNames.codes("f12") == [88])
        for text in ["", "ctrl-", "nokey", "ctrl--a"] {
            #expect(throws: CommandError.self) { try KeyNames.codes(text) }
        }
    }

    /// Set 1: 1C is Enter, E0 1C the keypad's, E0 53 Delete.
    @Test func numbersAreScanCodes() throws {
        #expect(try KeyNames.code(scan: 0x1c) == 28)
        #expect(try KeyNames.code(scan: 0x9c) == 96)
        #expect(try KeyNames.code(scan: 0xd3) == 111)
        for number in [0, 0x59, 0x80, UInt64.max] {
            #expect(throws: CommandError.self) { try KeyNames.code(scan: number) }
        }
    }

    @Test func keysAreHeldForAMinuteAtMost() throws {
        #expect(try KeyHold.nanoseconds(KeyHold.usual) == 100_000_000)
        #expect(throws: CommandError.self) { try KeyHold.nanoseconds(60_001) }
        #expect(throws: CommandError.self) { try KeyHold.nanoseconds(.max) }
    }
}
