import Foundation
import Testing

/// The tour guest in a child.
enum Tour {
    static let prompt = "tour> "

    static func arguments(_ more: [String] = [], file: String = Program.tourMachine) -> [String] {
        ["run", file, "--set", "guest=\(Program.tour)"] + more
    }

    /// Started, with pipes.
    static func start(
        _ more: [String] = [], file: String = Program.tourMachine, environment: [String: String] = [:]
    ) throws -> Child {
        try Child(arguments(more, file: file), input: .pipe, environment: environment)
    }

    /// Runs it to the prompt, types one line after the other, each at a prompt, and powers it off.
    static func session(
        _ lines: [String] = [], _ more: [String] = [], file: String = Program.tourMachine,
        environment: [String: String] = [:]
    ) async throws -> Child.Ended {
        let child = try start(more, file: file, environment: environment)
        for (number, line) in (lines + ["off"]).enumerated() {
            guard await child.shows(prompt, times: number + 1) else { break }
            child.type(line + "\r")
        }
        return await child.end()
    }

    /// The tour with its disk in a host file.
    static func withDisk(_ image: String, mode: String = "read-write", in folder: Folder) throws -> String {
        try folder.write(
            "disk.yaml",
            """
            extends: \(Program.tourMachine)
            backends:
              - { id: disk, plugin: raw-file, path: "\(image)", mode: \(mode), size: ~ }
            """)
    }
}
