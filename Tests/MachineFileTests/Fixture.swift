import Core
import Foundation
import MachineFile
import Testing

/// Files in a directory of their own, which goes with this.
final class Fixture {
    let directory: String
    var catalog = FakeCatalog()

    init(_ files: [String: String] = [:]) throws {
        directory = NSTemporaryDirectory() + "machinefile-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for (name, text) in files { try write(name, Array(text.utf8)) }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func path(_ name: String) -> String { directory + "/" + name }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        let url = URL(fileURLWithPath: path(name))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
    }

    func load(_ name: String = "m.yaml", _ options: MachineFileOptions = .init()) -> MachineFileResult {
        loadMachineFile(path: path(name), options: options, catalog: catalog)
    }

    /// `m.yaml:3:5: error: ...`, without the directory.
    func lines(_ result: MachineFileResult) -> [String] {
        result.diagnostics.map { diagnostic in
            text(diagnostic.location) + ": \(diagnostic.severity.rawValue): "
                + diagnostic.message.replacingOccurrences(of: directory + "/", with: "")
        }
    }

    func notes(_ result: MachineFileResult) -> [String] {
        result.diagnostics.flatMap(\.notes).map { note in
            (note.location.map { text($0) + ": " } ?? "")
                + note.text.replacingOccurrences(of: directory + "/", with: "")
        }
    }

    private func text(_ location: Core.SourceLocation) -> String {
        location.description.replacingOccurrences(of: directory + "/", with: "")
    }
}

/// Takes the marks `§` out of a text; gives the places where they stood.
func unmarked(_ marked: String) -> (text: String, places: [String]) {
    var text = ""
    var places: [String] = []
    var (line, column) = (1, 1)
    for scalar in marked.unicodeScalars {
        if scalar == "§" {
            places.append("\(line):\(column)")
            continue
        }
        text.unicodeScalars.append(scalar)
        (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
    }
    return (text, places)
}

/// Loads a machine file in which a `§` stands where each error is expected, and expects exactly these messages.
@discardableResult
func expectErrors(
    _ marked: String, _ messages: String..., notes: [String]? = nil, options: MachineFileOptions = .init(),
    sourceLocation: Testing.SourceLocation = #_sourceLocation
) throws -> MachineFileResult {
    let (text, places) = unmarked(marked)
    try #require(places.count == messages.count, "marks and messages", sourceLocation: sourceLocation)
    let fixture = try Fixture(["m.yaml": text])
    let result = fixture.load("m.yaml", options)
    let expected = zip(places, messages).map { "m.yaml:\($0): error: \($1)" }
    #expect(fixture.lines(result) == expected, sourceLocation: sourceLocation)
    #expect(result.description == nil, sourceLocation: sourceLocation)
    if let notes { #expect(fixture.notes(result) == notes, sourceLocation: sourceLocation) }
    return result
}

/// Loads a machine file that has no errors.
func machine(
    _ text: String, options: MachineFileOptions = .init(), sourceLocation: Testing.SourceLocation = #_sourceLocation
) throws -> MachineDescription {
    let fixture = try Fixture(["m.yaml": text])
    let result = fixture.load("m.yaml", options)
    #expect(fixture.lines(result) == [], sourceLocation: sourceLocation)
    return try #require(result.description, sourceLocation: sourceLocation)
}

extension MachineDescription {
    func instance(_ id: String) throws -> InstanceDescription {
        try #require(instances.first { $0.id == id })
    }

    func value(_ id: String, _ property: String) throws -> Value? {
        let instance = try instance(id)
        let position = try #require(instance.type.properties.firstIndex { $0.name == property })
        return instance.values[position]
    }

    func isGiven(_ id: String, _ property: String) throws -> Bool {
        let instance = try instance(id)
        return instance.isGiven[try #require(instance.type.properties.firstIndex { $0.name == property })]
    }
}

let head = "machine: m\nmemory: 1MiB\n"
