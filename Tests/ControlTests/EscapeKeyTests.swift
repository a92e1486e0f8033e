import Testing

@testable import Control

@Suite struct EscapeKeyTests {
    private func feed(_ bytes: [UInt8], key: UInt8? = 1) -> [EscapeKey.Event] {
        var escape = EscapeKey(key)
        return bytes.compactMap { escape.feed($0) }
    }

    @Test func plainBytesGoToTheGuest() {
        #expect(feed([0x61, 3, 0x1a, 0xff]) == [.byte(0x61), .byte(3), .byte(0x1a), .byte(0xff)])
    }

    @Test(arguments: [
        ("x", EscapeKey.Command.quit), ("h", .help), ("?", .help), ("b", .sendBreak), ("z", .suspend), ("p", .powerOff),
        ("r", .reset), ("c", .monitor), ("1", .guest(1)), ("9", .guest(9)), ("n", .nextConsole),
    ])
    func escapeAndLetterIsACommand(letter: String, command: EscapeKey.Command) {
        #expect(feed([1] + Array(letter.utf8) + Array("x".utf8)) == [.command(command), .byte(0x78)])
    }

    @Test func escapeTwiceAndEscapeThenItsLetterSendItOnce() {
        #expect(feed([1, 1, 0x61]) == [.byte(1), .byte(0x61)])
        #expect(feed([1, 0x61, 0x78]) == [.byte(1), .byte(0x78)])
    }

    @Test(arguments: Array("CXN0 \r\u{7f}".utf8)) func unknownKeysVanish(key: UInt8) {
        #expect(feed([1, key, 0x79]) == [.byte(0x79)])
    }

    @Test func anotherKeyTakesItsPlace() {
        #expect(feed([1, 0x78], key: 0x1d) == [.byte(1), .byte(0x78)])
        #expect(feed([0x1d, 0x78, 0x1d, 0x1d], key: 0x1d) == [.command(.quit), .byte(0x1d)])
        // Ctrl-X: its letter is a command already.
        #expect(feed([0x18, 0x78, 0x18, 0x18], key: 0x18) == [.command(.quit), .byte(0x18)])
    }

    @Test func noKeyMeansNoCommands() {
        #expect(feed([1, 0x78], key: nil) == [.byte(1), .byte(0x78)])
    }

    @Test func helpNamesWhatThereIsToSwitchBetween() {
        let key = EscapeKey(0x01)
        #expect(!key.help(guests: 1, consoles: 1).contains { $0.hasPrefix("Ctrl-A n") || $0.hasPrefix("Ctrl-A 1") })
        #expect(key.help(guests: 1, consoles: 2).contains { $0.hasPrefix("Ctrl-A n  ") })
        #expect(key.help(guests: 3, consoles: 3).contains { $0.hasPrefix("Ctrl-A 1 to Ctrl-A 3  ") })
        #expect(key.help(guests: 20, consoles: 20).contains { $0.hasPrefix("Ctrl-A 1 to Ctrl-A 9  ") })
    }

    @Test func helpNamesTheKeyAndNotWhatIsReserved() {
        let help = EscapeKey(0x02).help()
        #expect(help.contains { $0.hasPrefix("Ctrl-B x ") })
        #expect(help.allSatisfy { $0.hasPrefix("Ctrl-B ") })
        #expect(help.contains { $0.hasPrefix("Ctrl-B c ") && $0.contains("monitor") })
        #expect(!help.contains { $0.hasPrefix("Ctrl-B 1") })
        #expect(EscapeKey.name(of: 0x1d) == "Ctrl-]")
        #expect(EscapeKey.name(of: 0x7e) == "'~'")
    }
}
