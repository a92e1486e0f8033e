// What scripts/bench.py measures inside of a process. Each command prints one JSON object; bench.py makes the table.
//
//     backplane-bench exits MACHINE GUEST SLICES [kvm] [bare]
//     backplane-bench dispatch BATCHES ACCESSES MACHINE...
//     backplane-bench ports BATCHES ACCESSES MACHINE [ACCESS]
//     backplane-bench load MACHINE
//     backplane-bench replace COUNT MACHINE
//     backplane-bench switch COUNT MACHINE...
//
// Plugins come from BACKPLANE_PLUGIN_PATH, or from the directory of this executable.

import Core
import Foundation

/// One sentence for people; ends with status 2.
struct UsageError: Error { var text: String }

@main
enum Main {
    static func main() {
        do {
            try run(Array(CommandLine.arguments.dropFirst()))
        } catch let error as UsageError {
            fail(error.text)
        } catch {
            fail("\(error)")
        }
    }

    private static func run(_ arguments: [String]) throws {
        let rest = Array(arguments.dropFirst())
        switch arguments.first {
        case "exits" where rest.count >= 4:
            try print(Exits(machine: rest[0], guest: rest[1]).run(slices: try count(rest[2]), Set(rest[3...])))
        case "dispatch" where rest.count >= 3:
            try print(Dispatch.run(batches: try count(rest[0]), accesses: try count(rest[1]), files: Array(rest[2...])))
        case "ports" where rest.count == 3 || rest.count == 4:
            try print(
                Ports.run(
                    batches: try count(rest[0]), accesses: try count(rest[1]), file: rest[2],
                    only: rest.count == 4 ? rest[3] : nil))
        case "load" where rest.count == 1:
            try print(Loading.run(file: rest[0]))
        case "replace" where rest.count == 2:
            try print(Replacing.run(file: rest[1], count: try count(rest[0])))
        case "switch" where rest.count >= 3:
            try print(Switching.run(files: Array(rest[1...]), count: try count(rest[0])))
        default:
            throw UsageError(
                text: "usage: backplane-bench exits MACHINE GUEST SLICES [kvm] [bare] | "
                    + "dispatch BATCHES ACCESSES MACHINE... | ports BATCHES ACCESSES MACHINE [ACCESS] | load MACHINE "
                    + "| replace COUNT MACHINE | switch COUNT MACHINE...")
        }
    }

    private static func count(_ text: String) throws -> Int {
        guard let count = Int(text), count > 0 else { throw UsageError(text: "'\(text)' is no number above 0") }
        return count
    }

    private static func print(_ figures: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        FileHandle.standardOutput.write(try encoder.encode(figures) + Data("\n".utf8))
    }

    private static func fail(_ text: String) -> Never {
        complain(text)
        exit(2)
    }
}

func complain(_ text: String) { FileHandle.standardError.write(Data("backplane-bench: \(text)\n".utf8)) }
