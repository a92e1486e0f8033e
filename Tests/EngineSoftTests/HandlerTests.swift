// What the compiler made of the handlers: nothing of ARC or of allocation, and jumps where the source says "next".

import Foundation
import Testing

@Suite struct HandlerTests {
    /// A handler's code, by symbol.
    struct Routine {
        var file: String
        var name: String
        var lines: [Substring] = []
        func contains(_ text: String) -> Bool { lines.contains { $0.contains(text) } }
    }

    /// Where ordinary instructions' handlers are; those of system instructions may call methods.
    static let files = [
        "Bits", "BlockBuilder", "Emit", "Emit+Control", "Emit+Rare", "Forms", "Handlers.generated", "Jumps",
        "Miscellaneous",
        "MultiplyDivide", "NearControl", "Stack", "Strings",
    ]
    static let directory =
        URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/EngineSoft.build"

    static let routines: [Routine] = {
        let paths = files.map { "'\(directory)/\($0).swift.o'" }.joined(separator: " ")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = [
            "-c",
            "tool=$(command -v llvm-objdump || command -v objdump) && exec $tool -dr --no-show-raw-insn \(paths) 2>/dev/null",
        ]
        let pipe = Pipe()
        process.standardOutput = pipe
        guard (try? process.run()) != nil else { return [] }
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return parse(text)
    }()

    /// A closure of type (S, P) -> P, as it stands or as C calls it.
    private static func isHandler(_ name: Substring) -> Bool {
        guard let range = name.range(of: "SVSv_SVtcfU") else { return false }
        let rest = name[range.upperBound...].drop { $0.isNumber }
        return ["_", "_To", "_Tm", "_ToTm"].contains(String(rest))
    }

    private static func parse(_ text: String) -> [Routine] {
        var routines: [Routine] = []
        var file = ""
        var isInside = false
        for line in text.split(separator: "\n") {
            if let path = line.split(separator: ":").first, line.contains("file format") {
                file = URL(fileURLWithPath: String(path)).lastPathComponent
                isInside = false
            } else if line.hasSuffix(">:") {
                let name = line.drop { $0 != "<" }.dropFirst().dropLast(2)
                isInside = isHandler(name)
                if isInside { routines.append(Routine(file: file, name: String(name))) }
            } else if isInside {
                routines[routines.count - 1].lines.append(line)
            }
        }
        return routines
    }

    @Test func handlersOfOrdinaryInstructionsHoldNoReferencesAndAllocateNothing() throws {
        try #require(Self.routines.count > 300, "no objdump, or no objects in \(Self.directory)")
        let banned = [
            "swift_retain", "swift_release", "swift_bridgeObject", "swift_alloc", "swift_dealloc", "malloc",
            "swift_beginAccess",
        ]
        // OUTS and INS go out to the core by way of the CPU object: no path of ordinary instructions.
        for routine in Self.routines where !routine.name.contains("outString") && !routine.name.contains("inString") {
            for name in banned where routine.contains(name) {
                Issue.record("\(routine.file) \(routine.name) refers to \(name)")
            }
        }
    }

    @Test func handlersGoOnByJumpsAndNeverByCalls() throws {
        try #require(Self.routines.count > 300, "no objdump, or no objects in \(Self.directory)")
        var jumps = 0
        for routine in Self.routines {
            // An indirect call could only be that of the next operation.
            if let line = routine.lines.first(where: { $0.contains("call") && $0.contains("*") }) {
                Issue.record("\(routine.file) \(routine.name) calls: \(line)")
            }
            if routine.lines.contains(where: { $0.contains("jmp") && $0.contains("*") }) { jumps += 1 }
        }
        #expect(jumps > 300, "of \(Self.routines.count) handlers \(jumps) jump to the next")
    }
}
