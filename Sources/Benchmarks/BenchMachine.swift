import CHost
import Core
import Foundation
import MachineFile
import PluginKit

/// The plugins of this build, and the benchmarks' own classes. Keeps how long each library took to load.
final class BenchCatalog: PluginCatalog {
    static let directory =
        ProcessInfo.processInfo.environment["BACKPLANE_PLUGIN_PATH"]
        ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path

    private static let ownClasses = Library(
        "bench", version: "1", summary: "the benchmarks' own classes",
        needsMinor: 0,
        classes: [
            Mark.definition, Onlooker.definition, Stamp.definition, CounterDevice.definition, CountingPolicy.definition,
            Heartbeat.definition,
        ])

    let own: PluginLibrary
    private var libraries: [String: PluginLibrary] = [:]
    /// By path: dlopen, the one symbol and the check of its descriptor, in nanoseconds.
    private(set) var loadTimes: [String: UInt64] = [:]

    init() throws {
        let descriptor = BenchCatalog.ownClasses.descriptor(hostMajor: UInt32(BP_ABI_MAJOR), hostMinor: 0)
        own = try PluginLibrary(builtIn: descriptor!)
    }

    func load(_ path: String) throws(LibraryError) -> PluginLibrary {
        if path == own.path { return own }
        if let known = libraries[path] { return known }
        let begin = ch_monotonic()
        let library = try PluginLibrary(path: path)
        loadTimes[path] = ch_monotonic() - begin
        libraries[path] = library
        return library
    }

    // MARK: PluginCatalog

    func find(_ reference: PluginReference) -> Result<CatalogEntry, CatalogError> {
        if let type = own.description.classes.first(where: { $0.name == reference.name }) {
            return .success(CatalogEntry(libraryPath: own.path, type: type))
        }
        let path = "\(BenchCatalog.directory)/lib\(reference.name).so"
        do throws(LibraryError) {
            return .success(CatalogEntry(libraryPath: path, type: try load(path).description.classes[0]))
        } catch {
            return .failure(.broken(path: path, reason: "\(error)"))
        }
    }

    var knownClassNames: [String] { [] }

    // MARK: Machines

    func description(ofFile path: String) throws -> MachineDescription {
        let result = loadMachineFile(path: path, catalog: self)
        guard let description = result.description else {
            throw UsageError(text: result.diagnostics.map { $0.rendered(color: false) }.joined(separator: "\n"))
        }
        return description
    }

    func machine(
        _ description: MachineDescription, manualClock: Bool = false, seat: GuestSeat? = nil,
        engine: ((EngineRequirements) throws(MachineError) -> any Engine)?
    ) throws(MachineError) -> Machine {
        var options = MachineOptions(
            makeEngine: engine, log: { _, id, text in complain("\(id ?? "machine"): \(text)") },
            logLevel: .warning, console: NoConsole(), manualClock: manualClock,
            loadLibrary: { [self] (instance) throws(LibraryError) in try load(instance.libraryPath) })
        options.seat = seat
        return try Machine(description, options: options)
    }
}

/// A terminal on which nobody types.
private final class NoConsole: ConsoleProvider {
    func open(_ client: ConsoleClient) {}
    func write(_ client: ConsoleClient, _ bytes: UnsafeRawBufferPointer) {}
    func ready(_ client: ConsoleClient, room: UInt64) {}
    func close(_ client: ConsoleClient) {}
}
