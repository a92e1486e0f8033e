import Glibc
import Testing

@testable import Control

@Suite struct LogWriterTests {
    @Test func levelsAreNamedAndFiltered() throws {
        let pipe = try Pipe()
        let log = try LogWriter(level: .info, descriptor: pipe.write)
        log.write(.debug, nil, "hidden")
        log.write(.info, nil, "plain")
        log.write(.error, "com1", "broken")
        log.level = .trace
        log.write(.trace, "com1", "seen")
        let machineLog = log.machineLog
        machineLog(.debug, "pic", "by the machine")
        #expect(
            readText(pipe.read, until: "machine\n") == """
                backplane: plain
                backplane: com1: error: broken
                backplane: com1: trace: seen
                backplane: pic: debug: by the machine

                """)
    }

    @Test func aGuestCannotDriveTheTerminalThroughTheLog() {
        #expect(
            LogWriter.lines(.info, "a\u{1b}b", "\u{1b}[2Jtext\ttab\u{7}\u{9b}x\r\nbackplane: forged\r\u{0}é\n")
                == [
                    "backplane: a\\x1bb: \\x1b[2Jtext\ttab\\x07\\x9bx",
                    "backplane: a\\x1bb: backplane: forged\\x0d\\x00é",
                ])
        #expect(LogWriter.lines(.warning, nil, "") == ["backplane: warning: "])
    }

    @Test func linesOfManyThreadsStayWhole() throws {
        let pipe = try Pipe()
        let log = try LogWriter(descriptor: pipe.write)
        var threads: [pthread_t] = []
        for letter in ["a", "b", "c", "d"] {
            threads.append(
                try Threads.start(letter) {
                    for _ in 0..<500 { log.write(.info, nil, String(repeating: letter, count: 100)) }
                })
        }
        let text = String(decoding: readBytes(pipe.read) { $0.count >= 2000 * 112 }, as: UTF8.self)
        threads.forEach { pthread_join($0, nil) }
        let lines = text.split(separator: "\n")
        #expect(lines.count == 2000)
        #expect(lines.allSatisfy { $0.count == 111 && Set($0.dropFirst(11)).count == 1 })
    }

    @Test func aReaderThatStopsHoldsNobodyUpAndTheLossIsTold() throws {
        let pipe = try Pipe()
        let log = try LogWriter(descriptor: pipe.write)
        let start = now()
        for number in 0..<3000 { log.write(.info, nil, "line \(number) " + String(repeating: ".", count: 80)) }
        // Once 200 ms, and not 3000 times.
        #expect(now() - start < 5)
        var text = ""
        _ = eventually {
            text += readRest(pipe.read, seconds: 0.05)
            log.write(.info, nil, "again")
            return text.hasSuffix("again\n")
        }
        #expect(text.contains(" lines of the log were lost here\n"))
        #expect(text.split(separator: "\n").allSatisfy { $0.hasPrefix("backplane: ") })
        #expect(text.hasPrefix("backplane: line 0 .....") && text.contains("\nbackplane: line 500 ....."))
    }

    @Test func theFileGetsTheSameLinesWithTheTime() throws {
        let path = "/tmp/control-log-\(getpid())-\(Int(now() * 1e6)).log"
        defer { unlink(path) }
        let pipe = try Pipe()
        try LogWriter(file: path, descriptor: pipe.write).write(.warning, "hd0", "first")
        try LogWriter(file: path, descriptor: pipe.write).write(.info, nil, "second")
        #expect(readText(pipe.read, until: "second\n") == "backplane: hd0: warning: first\nbackplane: second\n")
        let file = open(path, O_RDONLY)
        defer { close(file) }
        let lines = readText(file, until: "second\n").split(separator: "\n")
        #expect(lines.count == 2)
        let time = #/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /#
        #expect(lines.first?.replacing(time, with: "") == "backplane: hd0: warning: first")
        #expect(lines.last?.replacing(time, with: "") == "backplane: second")
    }

    @Test func aFileThatCannotBeOpenedIsNamed() {
        #expect(throws: ControlError("opening the log file '/nowhere/x.log'", code: ENOENT)) {
            try LogWriter(file: "/nowhere/x.log")
        }
    }
}
