/// A line of text being typed at a terminal: the keys of readline, history and completion, without a descriptor. Characters
/// are taken to be one column wide.
struct LineEditor {
    enum Event: Equatable {
        /// For the screen.
        case show(String)
        case line(String)
        /// Ctrl-D on an empty line.
        case end
    }

    let prompt: String
    /// What the word before the cursor could become, given the line up to the cursor.
    let complete: (String) -> [String]
    private var line: [Unicode.Scalar] = []
    private var cursor = 0
    private var history: [[Unicode.Scalar]] = []
    /// Where in the history the line is; its end: not in it.
    private var place = 0
    private var unfinished: [Unicode.Scalar] = []
    private var decoder = KeyDecoder()

    static let historyLimit = 500
    static let lineLimit = 4096

    init(prompt: String, complete: @escaping (String) -> [String]) {
        self.prompt = prompt
        self.complete = complete
    }

    /// What the screen shows at the beginning of a line, and again after something else has been written.
    var shown: String {
        let back = line.count - cursor
        return "\r\u{1b}[K" + prompt + text(line[...]) + (back > 0 ? "\u{1b}[\(back)D" : "")
    }

    private func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var result = String.UnicodeScalarView()
        result.append(contentsOf: scalars)
        return String(result)
    }

    mutating func feed(_ byte: UInt8) -> [Event] {
        guard let key = decoder.feed(byte) else { return [] }
        switch key {
        case .text(let scalar): insert([scalar])
        case .enter: return finish()
        case .control("a"), .home: cursor = 0
        case .control("e"), .end: cursor = line.count
        case .control("b"), .left: cursor = max(0, cursor - 1)
        case .control("f"), .right: cursor = min(line.count, cursor + 1)
        case .control("h"), .backspace: erase(from: max(0, cursor - 1))
        case .control("d"):
            if line.isEmpty { return [.end] }
            if cursor < line.count { line.remove(at: cursor) }
        case .delete: if cursor < line.count { line.remove(at: cursor) }
        case .control("k"): line.removeSubrange(cursor...)
        case .control("u"): erase(from: 0)
        case .control("w"): erase(from: wordStart)
        case .control("p"), .up: recall(place - 1)
        case .control("n"), .down: recall(place + 1)
        case .control("l"): return [.show("\u{1b}[H\u{1b}[2J" + shown)]
        case .control("c"):
            (line, cursor, place) = ([], 0, history.count)
            return [.show("^C\r\n" + shown)]
        case .tab: return completion()
        case .control: return []
        }
        return [.show(shown)]
    }

    private mutating func insert(_ scalars: [Unicode.Scalar]) {
        guard line.count + scalars.count <= LineEditor.lineLimit else { return }
        line.insert(contentsOf: scalars, at: cursor)
        cursor += scalars.count
    }

    private mutating func erase(from start: Int) {
        line.removeSubrange(start..<cursor)
        cursor = start
    }

    private var wordStart: Int {
        var start = cursor
        while start > 0, line[start - 1] == " " { start -= 1 }
        while start > 0, line[start - 1] != " " { start -= 1 }
        return start
    }

    private mutating func finish() -> [Event] {
        let done = line
        if !done.isEmpty, history.last != done { history.append(done) }
        if history.count > LineEditor.historyLimit { history.removeFirst() }
        (line, cursor, place) = ([], 0, history.count)
        return [.show("\r\n"), .line(text(done[...]))]
    }

    private mutating func recall(_ wanted: Int) {
        guard wanted >= 0, wanted <= history.count else { return }
        if place == history.count { unfinished = line }
        place = wanted
        line = wanted == history.count ? unfinished : history[wanted]
        cursor = line.count
    }

    private mutating func completion() -> [Event] {
        let before = text(line[..<cursor])
        let choices = complete(before)
        guard let first = choices.first else { return [.show("\u{7}")] }
        let word = before.lastIndex(of: " ").map { before[before.index(after: $0)...] } ?? before[...]
        let common = choices.dropFirst().reduce(first) { $0.commonPrefix(with: $1) }
        if common.unicodeScalars.count > word.unicodeScalars.count {
            insert(Array(common.unicodeScalars.dropFirst(word.unicodeScalars.count)))
        }
        if choices.count == 1 {
            insert([" "])
            return [.show(shown)]
        }
        if common.unicodeScalars.count > word.unicodeScalars.count { return [.show(shown)] }
        return [.show("\r\n" + choices.joined(separator: "  ") + "\r\n" + shown)]
    }
}

extension String {
    fileprivate func commonPrefix(with other: String) -> String {
        String(zip(self, other).prefix { $0 == $1 }.map(\.0))
    }
}

/// Keys out of the bytes that a terminal sends (ECMA-48 and xterm's cursor keys).
struct KeyDecoder {
    enum Key: Equatable {
        case text(Unicode.Scalar)
        /// The letter, in lower case.
        case control(Character)
        case enter, tab, backspace, delete, up, down, left, right, home, end
    }

    private var sequence: [UInt8] = []
    private var character: [UInt8] = []
    private var isEscape = false

    mutating func feed(_ byte: UInt8) -> Key? {
        if isEscape { return feedEscape(byte) }
        if byte >= 0x80 { return feedUTF8(byte) }
        character = []
        switch byte {
        case 0x1b:
            isEscape = true
            sequence = []
            return nil
        case 0x0d, 0x0a: return .enter
        case 0x09: return .tab
        case 0x7f: return .backspace
        case 0: return nil
        case 1..<0x20: return .control(Character(Unicode.Scalar(byte | 0x60)))
        default: return .text(Unicode.Scalar(byte))
        }
    }

    private mutating func feedUTF8(_ byte: UInt8) -> Key? {
        character.append(byte)
        let lead = character[0]
        let length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2
        guard lead >= 0xc0, character.count <= length else {
            character = []
            return nil
        }
        guard character.count == length else { return nil }
        defer { character = [] }
        return String(validating: character, as: UTF8.self)?.unicodeScalars.first.map { .text($0) }
    }

    private mutating func feedEscape(_ byte: UInt8) -> Key? {
        if sequence.isEmpty, byte == UInt8(ascii: "[") || byte == UInt8(ascii: "O") {
            sequence = [byte]
            return nil
        }
        guard !sequence.isEmpty else {
            isEscape = false
            return nil
        }
        sequence.append(byte)
        // Parameters go on; a letter or "~" ends, and so does what is too long.
        if !(0x40...0x7e).contains(byte), sequence.count < 16 { return nil }
        isEscape = false
        switch (byte, sequence.dropFirst().first) {
        case (UInt8(ascii: "A"), _): return .up
        case (UInt8(ascii: "B"), _): return .down
        case (UInt8(ascii: "C"), _): return .right
        case (UInt8(ascii: "D"), _): return .left
        case (UInt8(ascii: "H"), _), (UInt8(ascii: "~"), UInt8(ascii: "1")): return .home
        case (UInt8(ascii: "F"), _), (UInt8(ascii: "~"), UInt8(ascii: "4")): return .end
        case (UInt8(ascii: "~"), UInt8(ascii: "3")): return .delete
        default: return nil
        }
    }
}
