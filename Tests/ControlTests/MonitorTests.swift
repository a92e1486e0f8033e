import CBackplane
import Core
import Testing

@testable import Control

@Suite struct WordsTests {
    @Test func quotesKeepSpaces() throws {
        #expect(try Words.split(#"  call disk insert "a b\"c\\" ""  "#) == ["call", "disk", "insert", #"a b"c\"#, ""])
        for word in ["plain", "", "two words", #"quo"te"#, #"back\slash"#, #"both \" "#] {
            #expect(try Words.split(Words.quoted(word)) == [word])
        }
        #expect(throws: CommandError.self) { try Words.split("\"open") }
        #expect(throws: CommandError.self) { try Words.split(#""\n""#) }
    }
}

@Suite struct MemoryDumpTests {
    private func dump(_ words: String...) throws -> String {
        try MemoryDump(words).text { (address, count) throws(MachineError) in
            (0..<count).map { UInt8(truncatingIfNeeded: address &+ UInt64($0)) }
        } registers: { () throws(MachineError) in
            var registers = bp_registers()
            registers.rip = 0x7c00
            registers.cs.base = 0x10000
            return registers
        }
    }

    @Test func formatsAndSizes() throws {
        #expect(try dump("0x10") == "0000000000000010: 0x13121110\n")
        #expect(try dump("/2xb", "0x7f") == "000000000000007f: 0x7f 0x80\n")
        #expect(try dump("/2db", "0x7f") == "000000000000007f: 127 -128\n")
        #expect(try dump("/1ug", "0") == "0000000000000000: 506097522914230528\n")
        #expect(try dump("/3c", "0x40") == "0000000000000040: '@' 'A' 'B'\n")
        #expect(try dump("/1oh", "0x10") == "0000000000000010: 010420\n")
        let lines = try dump("/5xw", "0x0").split(separator: "\n")
        #expect(lines.count == 2 && lines[1] == "0000000000000010: 0x13121110")
    }

    /// By Debian's capstone, which scripts/setup.sh installs.
    @Test func instructionsAreNamedInTheModeOfCS() throws {
        func code(_ bytes: [UInt8], _ words: String..., attributes: UInt16 = 0, longMode: Bool = false) throws -> String
        {
            try MemoryDump(words).text { (address, count) throws(MachineError) in
                guard address >= 0x17ffa, address < 0x18000 else { throw MachineError("it is not memory") }
                return (0..<count).map { at in
                    let offset = Int(address - 0x17ffa) + at
                    return offset < bytes.count ? bytes[offset] : 0x90
                }
            } registers: { () throws(MachineError) in
                var registers = bp_registers()
                registers.rip = 0x7ffa
                registers.cs.base = 0x10000
                registers.cs.attributes = attributes
                registers.efer = longMode ? 1 << 10 : 0
                return registers
            }
        }
        // The last six bytes of memory: B8 is a MOV of 16, 32 or (with REX.W) 64 bits.
        let move: [UInt8] = [0xb8, 0x34, 0x12, 0x90, 0x90, 0xf4]
        let real = try code(move, "/3i", "$pc").split(separator: "\n")
        #expect(real[0] == "0000000000017ffa: mov ax, 0x1234" && real[1] == "0000000000017ffd: nop")
        let protected = try code(move, "/2i", "0x17ffa", attributes: 1 << 14).split(separator: "\n")
        #expect(protected[0] == "0000000000017ffa: mov eax, 0x90901234" && protected[1] == "0000000000017fff: hlt")
        let long = try code(
            [0x48, 0x89, 0xd8, 0x06, 0x90, 0xf4], "/2i", "0x17ffa", attributes: 1 << 13, longMode: true
        )
        .split(separator: "\n")
        // PUSH ES is no instruction there.
        #expect(long[0] == "0000000000017ffa: mov rax, rbx" && long[1] == "0000000000017ffd: .byte 0x06")
        // An instruction that ends beyond memory.
        #expect(try code([0x90, 0x90, 0x90, 0x90, 0x90, 0xb8], "/1i", "0x17fff") == "0000000000017fff: .byte 0xb8\n")
        #expect(throws: MachineError.self) { try code(move, "/1i", "0x18000") }
    }

    @Test func addressesAreSums() throws {
        #expect(try dump("/1xb", "$rip+0x10-1").hasPrefix("0000000000007c0f:"))
        #expect(try dump("/1xb", "$eip").hasPrefix("0000000000007c00:"))
        #expect(try dump("/1xb", "$pc").hasPrefix("0000000000017c00:"))
        for bad in ["", "$nothing", "0x", "1+", "zz"] {
            #expect(throws: CommandError.self) { try dump("/1xb", bad) }
        }
        for format in ["1xb", "/99999x", "/1q", "/0x"] {
            #expect(throws: CommandError.self) { try dump(format, "0") }
        }
    }
}

@Suite struct LineEditorTests {
    private func editor() -> LineEditor {
        LineEditor(prompt: "> ") { line in ["policy", "pause", "print"].filter { $0.hasPrefix(line) } }
    }
    private func lines(_ editor: inout LineEditor, _ keys: String) -> [String] {
        keys.utf8.flatMap { editor.feed($0) }.compactMap { if case .line(let line) = $0 { line } else { nil } }
    }

    @Test func keysEditTheLine() {
        var editor = editor()
        #expect(lines(&editor, "hello\r") == ["hello"])
        #expect(lines(&editor, "helo\u{1b}[Dl\r") == ["hello"])
        #expect(lines(&editor, "xab\u{1}\u{4}\r") == ["ab"])
        #expect(lines(&editor, "one two\u{17}three\r") == ["one three"])
        #expect(lines(&editor, "gone\u{15}kept\r") == ["kept"])
        #expect(lines(&editor, "ab\u{1}\u{b}c\r") == ["c"])
        #expect(lines(&editor, "ab\u{7f}\u{7f}\u{7f}é\r") == ["é"])
        #expect(lines(&editor, "never\u{3}\r") == [""])
    }

    @Test func historyGoesBackAndForth() {
        var editor = editor()
        _ = lines(&editor, "first\rsecond\r")
        #expect(lines(&editor, "\u{1b}[A\u{1b}[A\r") == ["first"])
        #expect(lines(&editor, "unfinished\u{10}\u{e}\r") == ["unfinished"])
        #expect(lines(&editor, "\u{1b}OA\u{1b}OA\u{1b}OA\u{1b}OA\u{1b}OA\u{1b}OA\u{1b}OA\r") == ["first"])
    }

    @Test func tabCompletes() {
        var editor = editor()
        #expect(lines(&editor, "po\t\r") == ["policy "])
        #expect(lines(&editor, "p\t\r") == ["p"])
        _ = lines(&editor, "p")
        #expect(
            Array("\t".utf8).flatMap { editor.feed($0) }.contains {
                if case .show(let text) = $0 { text.contains("pause") && text.contains("print") } else { false }
            })
        #expect(lines(&editor, "\u{15}zz\t\r") == ["zz"])
    }

    @Test func controlDOnAnEmptyLineEnds() {
        var editor = editor()
        #expect(editor.feed(4) == [.end])
    }

    @Test func noBytesTrap() {
        var editor = editor()
        var state: UInt64 = 3
        for _ in 0..<200_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            _ = editor.feed(UInt8(truncatingIfNeeded: state >> 40))
        }
    }
}

@Suite struct TopTableTests {
    @Test func ratesAreOfThePeriod() {
        func row(_ name: String, _ count: UInt64, _ nanoseconds: UInt64, _ owner: String = "") -> TopTable.Row {
            TopTable.Row(name: name, owner: owner, count: count, nanoseconds: nanoseconds)
        }
        let before = TopTable.Sample(
            time: 1_000_000_000, halted: 0, kinds: [row("io", 10, 100)], addresses: [row("port 0x80", 10, 100, "post")])
        let after = TopTable.Sample(
            time: 3_000_000_000, halted: 500_000_000, kinds: [row("io", 210, 200_000_100), row("hlt", 2, 0)],
            addresses: [row("port 0x80", 210, 200_000_100, "post")])
        let lines = TopTable.lines(from: before, to: after, rows: 5)
        #expect(lines[0] == "exits: 101/s   guest 65.0%   VMM 10.0%   halted 25.0%")
        #expect(
            lines.contains {
                $0.hasPrefix("io ") && $0.contains("100") && $0.contains("10.0%") && $0.contains("1000000 ns")
            })
        #expect(lines.contains { $0.hasPrefix("post ") })
        #expect(lines.contains { $0.hasPrefix("port 0x80") && $0.hasSuffix("post") })
        #expect(!TopTable.lines(from: after, to: after, rows: 5).contains { $0.hasPrefix("io") })
        #expect(!lines.contains { $0.hasPrefix("instructions") })
    }

    @Test func theTranslatorsShareIsOfTheInstructionsOfThePeriod() {
        var before = TopTable.Sample(time: 0, halted: 0, kinds: [], addresses: [])
        var after = TopTable.Sample(time: 2_000_000_000, halted: 0, kinds: [], addresses: [])
        before.translator = .init(instructions: 1000, translated: 0, codeBytes: 0, drops: 5)
        after.translator = .init(instructions: 5000, translated: 3000, codeBytes: 8192, drops: 25)
        #expect(
            TopTable.lines(from: before, to: after, rows: 5)[1]
                == "instructions: 2000/s   translated 75.0%   host code 8 KiB   blocks dropped 10/s")
    }
}
