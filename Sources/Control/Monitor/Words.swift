/// For those who make a command line of words.
public enum MonitorWords {
    public static func quoted(_ word: String) -> String { Words.quoted(word) }
}

/// A command line taken apart: words between spaces, or in double quotes, where `\"` and `\\` stand for a quote and a
/// backslash.
enum Words {
    static func split(_ line: String) throws(CommandError) -> [String] {
        var words: [String] = []
        var word: String.UnicodeScalarView?
        var isQuoted = false
        var isEscaped = false
        for scalar in line.unicodeScalars {
            if isEscaped {
                guard scalar == "\"" || scalar == "\\" else {
                    throw CommandError("only \\\" and \\\\ are known after a backslash in quotes")
                }
                word?.append(scalar)
                isEscaped = false
            } else if isQuoted {
                if scalar == "\"" {
                    isQuoted = false
                } else if scalar == "\\" {
                    isEscaped = true
                } else {
                    word?.append(scalar)
                }
            } else if scalar == "\"" {
                isQuoted = true
                word = word ?? .init()
            } else if scalar == " " || scalar == "\t" || scalar == "\n" || scalar == "\r" {
                if let done = word { words.append(String(done)) }
                word = nil
            } else {
                word = word ?? .init()
                word?.append(scalar)
            }
        }
        if isQuoted { throw CommandError("a quote is not closed") }
        if let word { words.append(String(word)) }
        return words
    }

    /// One word that `split` gives back as it was.
    static func quoted(_ word: String) -> String {
        let isPlain = !word.isEmpty && word.unicodeScalars.allSatisfy { !" \t\r\n\"".unicodeScalars.contains($0) }
        if isPlain { return word }
        return "\"" + word.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
    }
}
