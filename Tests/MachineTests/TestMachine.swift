import Core
import EngineKVM
import EngineSoft
import Foundation
import MachineFile
import PluginKit
import Synchronization
import Testing

/// The plugins of this build, and the test's own, loaded into the test process.
final class TestPlugins: PluginCatalog {
    /// Where the products of this build are.
    static let directory = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let tour = root + "/.build/guests/tour.elf"

    private static let ownLibrary = Library(
        "test", version: "1", summary: "test classes",
        needsMinor: 0,
        classes: [
            RecorderInstance.definition, FaultyDevice.definition, ProbeDevice.definition, TallyDevice.definition,
            WatcherPolicy.definition, SwitcherPolicy.definition, TalkerPolicy.definition, CardDevice.definition,
            StuckDisk.definition,
            WindowDevice.definition, CascadeDevice.definition, PCICard.definition, ScreenCard.definition,
            Viewer.definition, MessageDevice.definition,
        ])
    static let own = Result { () throws(LibraryError) in
        try PluginLibrary(builtIn: ownLibrary.descriptor(hostMajor: 1, hostMinor: 6)!)
    }
    private static let loaded = Mutex<[String: PluginLibrary]>([:])

    static func load(_ path: String) throws(LibraryError) -> PluginLibrary {
        if path == "built in" { return try own.get() }
        if let known = loaded.withLock({ $0[path] }) { return known }
        let library = try PluginLibrary(path: path)
        loaded.withLock { $0[path] = library }
        return library
    }

    func find(_ reference: PluginReference) -> Result<CatalogEntry, CatalogError> {
        let own = try? TestPlugins.own.get().description.classes.first { $0.name == reference.name }
        if let own { return .success(CatalogEntry(libraryPath: "built in", type: own)) }
        let path = "\(TestPlugins.directory)/lib\(reference.name).so"
        do throws(LibraryError) {
            let library = try TestPlugins.load(path)
            return .success(CatalogEntry(libraryPath: path, type: library.description.classes[0]))
        } catch {
            return .failure(.notFound(searched: ["\(path): \(error)"], similar: []))
        }
    }

    var knownClassNames: [String] { [] }
}

/// The engines that a test of whole machines runs on, one after the other.
enum TestEngine: CaseIterable, Sendable {
    case kvm, soft
    /// Whether this is the host in a box (scripts/kvm-box.sh).
    private static let isInBox = getenv("BACKPLANE_BOX") != nil
    /// Those that this host has; in a box KVM alone, since the other is the same outside.
    static let here: [TestEngine] = hasKVM ? (isInBox ? [.kvm] : allCases) : [.soft]
    /// Those on which a debugger's breakpoints work, and its watchpoints (docs/engines.md): not on the KVM of a host in a box, whose processor is TCG's; nor
    /// watchpoints on one that emulates supervisor code.
    static let withBreakpoints: [TestEngine] = hasKVM && !isInBox ? allCases : [.soft]
    static let withWatchpoints: [TestEngine] =
        withBreakpoints.contains(.kvm) && (KVMEngine.supervisorSpeed() ?? 0) >= 200e6 ? allCases : [.soft]
}

/// A machine made from the text of a machine file.
struct TestMachine {
    let machine: Machine
    let log: Mutexed<[String]>

    /// `on` is what it runs on, whatever the file says.
    init(
        _ yaml: String, on kind: TestEngine = .soft, soft: SoftOptions = SoftOptions(), engine: Bool = true,
        console: (any ConsoleProvider)? = nil, seat: GuestSeat? = nil,
        makeEngine: ((EngineRequirements) throws(MachineError) -> any Engine)? = nil
    ) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("bp-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("machine.yaml").path
        try yaml.write(toFile: path, atomically: true, encoding: .utf8)
        let result = loadMachineFile(path: path, catalog: TestPlugins())
        guard var description = result.description else {
            let problems = result.diagnostics.map { $0.rendered(color: false) }
            throw MachineError(problems.joined(separator: "\n"))
        }
        // Where the file says nothing: a callback may take as long as a busy host makes it.
        if !yaml.contains("watchdog:") { description.watchdog = 600_000_000_000 }
        let lines = Mutexed<[String]>([])
        let record: MachineOptions.Log = { level, instance, text in
            let line = "\(level) \(instance ?? "-"): \(text)"
            lines.update { $0.append(line) }
        }
        var options = MachineOptions(
            makeEngine: nil, log: record, logLevel: .debug, manualClock: !engine,
            loadLibrary: { (instance: InstanceDescription) throws(LibraryError) -> PluginLibrary in
                try TestPlugins.load(instance.libraryPath)
            })
        if engine, kind == .kvm { options.makeEngine = TestMachine.makeKVM }
        if engine, kind == .soft { options.makeEngine = { (_) throws(MachineError) in SoftEngine(options: soft) } }
        if let makeEngine { options.makeEngine = makeEngine }
        options.console = console
        options.seat = seat
        machine = try Machine(description, options: options)
        log = lines
    }

    private static func makeKVM(_ requirements: EngineRequirements) throws(MachineError) -> any Engine {
        do throws(EngineError) {
            return try KVMEngine(cpuCount: 1)
        } catch {
            throw MachineError("kvm: \(error)", status: 6)
        }
    }

    /// Starts, and waits for the end on a thread of its own.
    func run() throws -> Task<MachineEnd, Never> {
        try machine.start()
        return Task.detached {
            await withCheckedContinuation { continuation in
                Thread.detachNewThread { continuation.resume(returning: machine.waitForEnd()) }
            }
        }
    }
}

/// How long a test waits for what must come: a guest in a box on a busy host may take minutes for what takes a millisecond elsewhere. Only what never comes is
/// waited for as long.
let patience = Duration.seconds(300)

/// Waits until `condition` holds; false: it never did.
func patiently(_ condition: () throws -> Bool) async rethrows -> Bool {
    let deadline = ContinuousClock.now + patience
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return try condition()
}

final class Mutexed<T: Sendable>: Sendable {
    private let value: Mutex<T>
    init(_ value: T) { self.value = Mutex(value) }
    var current: T { value.withLock { $0 } }
    func update(_ body: (inout sending T) -> Void) { value.withLock { body(&$0) } }
}

/// Why tests that need KVM skip.
let hasKVM: Bool = {
    if case .failure(let error) = KVMEngine.isAvailable() {
        print("machine tests on KVM are skipped: \(error)")
        return false
    }
    return true
}()
