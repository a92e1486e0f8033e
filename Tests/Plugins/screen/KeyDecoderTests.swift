import SplitMix
import Testing

@testable import ScreenPainting

/// Codes of Linux's input-event-codes.h; sequences of xterm's ctlseqs and of console_codes(4).
@Suite struct KeyDecoderTests {
    private func decode(_ text: String) -> [KeyStroke] {
        var decoder = KeyDecoder()
        return text.utf8.flatMap { decoder.feed($0) } + decoder.flush()
    }

    @Test func charactersAreKeysOfTheUSKeyboard() {
        #expect(decode("az") == [KeyStroke(30), KeyStroke(44)])
        #expect(decode("A!~") == [KeyStroke(30, .shift), KeyStroke(2, .shift), KeyStroke(41, .shift)])
        #expect(decode("\\|\"'") == [KeyStroke(43), KeyStroke(43, .shift), KeyStroke(40, .shift), KeyStroke(40)])
        #expect(decode(" \t\r\u{7f}") == [KeyStroke(57), KeyStroke(15), KeyStroke(28), KeyStroke(14)])
    }

    @Test func everyPrintableCharacterIsAKey() {
        let strokes = (0x20...0x7E as ClosedRange<UInt8>).map { byte in
            var decoder = KeyDecoder()
            return decoder.feed(byte)
        }
        #expect(strokes.allSatisfy { $0.count == 1 })
        #expect(Set(strokes.map { "\($0)" }).count == strokes.count)
    }

    @Test func controlCharactersAreKeysWithCtrl() {
        #expect(
            decode("\u{03}\u{1a}\u{1c}") == [KeyStroke(46, .control), KeyStroke(44, .control), KeyStroke(43, .control)])
        #expect(KeyStroke(46, [.control, .alt]).codes == [29, 56, 46])
    }

    @Test func sequencesAreTheKeysThatTerminalsSendThemFor() {
        #expect(decode("\u{1b}[A\u{1b}OB") == [KeyStroke(103), KeyStroke(108)])
        #expect(decode("\u{1b}[1;5C\u{1b}[1;2D") == [KeyStroke(106, .control), KeyStroke(105, .shift)])
        #expect(
            decode("\u{1b}OP\u{1b}[15~\u{1b}[24~\u{1b}[[C") == [
                KeyStroke(59), KeyStroke(63), KeyStroke(88), KeyStroke(61),
            ])
        #expect(
            decode("\u{1b}[3~\u{1b}[5~\u{1b}[H\u{1b}[4~") == [
                KeyStroke(111), KeyStroke(104), KeyStroke(102), KeyStroke(107),
            ])
        #expect(decode("\u{1b}[3;5~\u{1b}[Z") == [KeyStroke(111, .control), KeyStroke(15, .shift)])
        #expect(decode("\u{1b}x") == [KeyStroke(45, .alt)])
    }

    @Test func escapeAloneIsAKey() {
        #expect(decode("\u{1b}") == [KeyStroke(1)])
        #expect(decode("\u{1b}\u{1b}[A") == [KeyStroke(1), KeyStroke(103)])
        var decoder = KeyDecoder()
        #expect(decoder.feed(0x1B) == [] && decoder.isPending)
        #expect(decoder.flush() == [KeyStroke(1)] && !decoder.isPending)
    }

    @Test func whatIsNoKeyIsDroppedAndNothingBehindItIsLost() {
        #expect(decode("\u{1b}[99~a") == [KeyStroke(30)])
        #expect(decode("é\u{1b}[200~b") == [KeyStroke(48)])
        #expect(decode("\u{1b}[" + String(repeating: "1;", count: 40) + "~c") == [KeyStroke(46)])
        #expect(decode("\u{1b}[;-9223372036854775808A") == [KeyStroke(103)])
        #expect(decode("\u{1b}[99999999999999999999A") == [KeyStroke(103)])
    }

    @Test(arguments: 1...50 as ClosedRange<UInt64>) func anyBytesAreBorne(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var decoder = KeyDecoder()
        let likely = Array("\u{1b}[O;~159AHPZ".utf8)
        for _ in 0..<5000 {
            let byte =
                Bool.random(using: &random)
                ? likely.randomElement(using: &random)! : UInt8.random(in: 0...255, using: &random)
            for stroke in decoder.feed(byte) { #expect((1...127).contains(stroke.code)) }
            if Int.random(in: 0..<20, using: &random) == 0 { _ = decoder.flush() }
        }
        _ = decoder.flush()
        #expect(decoder.feed(UInt8(ascii: "a")) == [KeyStroke(30)])
    }
}
