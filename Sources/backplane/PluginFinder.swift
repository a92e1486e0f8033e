import Core
import FoundationEssentials
import Glibc
import MachineFile

/// Finds plugin libraries by name: `--plugin-path`, `BACKPLANE_PLUGIN_PATH`, and where the bundled ones are. The machine file's
/// own directory only where the file says `./name`.
final class PluginFinder: PluginCatalog {
    enum Isolation {
        /// Libraries are described in a throw-away child process: a broken one takes nothing down.
        case childProcess
        /// Libraries are loaded here, because the machine will run here.
        case inProcess
    }

    let directories: [String]
    private let isolation: Isolation
    private var described: [String: Result<PluginDescription, LibraryProblem>] = [:]
    private var cache = LibraryCache()
    /// Guests run in this process: a library that is new is described by a child before it is loaded here.
    var guestsRun = false

    init(paths: [String], isolation: Isolation) {
        self.isolation = isolation
        let environment = ProcessInfo.processInfo.environment["BACKPLANE_PLUGIN_PATH"] ?? ""
        let all = paths + environment.split(separator: ":").map(String.init) + [PluginFinder.bundledDirectory]
        var seen: Set<String> = []
        directories = all.map { URL(fileURLWithPath: $0).standardizedFileURL.path }.filter { seen.insert($0).inserted }
    }

    static let executableDirectory: String = {
        let path = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "."
        return URL(fileURLWithPath: path).deletingLastPathComponent().path
    }()

    /// The installed `lib/backplane/plugins`; where there is none, beside the executable, as SwiftPM builds them. Not both: /usr/bin
    /// holds libraries of others, such as ld.so.
    private static let bundledDirectory: String = {
        let installed = executableDirectory + "/../lib/backplane/plugins"
        return FileManager.default.fileExists(atPath: installed) ? installed : executableDirectory
    }()

    // MARK: PluginCatalog

    func find(_ reference: PluginReference) -> Result<CatalogEntry, CatalogError> {
        guard let path = locate(reference) else {
            return .failure(.notFound(searched: directories, similar: []))
        }
        switch description(of: path) {
        case .failure(let problem): return .failure(.broken(path: path, reason: problem.text))
        case .success(let plugin):
            let name = reference.className ?? (reference.relativeTo == nil ? reference.name : nil)
            let type =
                plugin.classes.first { $0.name == name }
                ?? (reference.className == nil && plugin.classes.count == 1 ? plugin.classes.first : nil)
            guard let type else { return .failure(.noSuchClass(path: path, classes: plugin.classes.map(\.name))) }
            return .success(CatalogEntry(libraryPath: path, type: type))
        }
    }

    var knownClassNames: [String] { libraryNames }

    // MARK: Files

    /// `name` may be `pic8259`, `./mine`, `/opt/mine.so`.
    private func locate(_ reference: PluginReference) -> String? {
        if reference.name.contains("/") {
            let base =
                reference.name.hasPrefix("/") ? reference.name : (reference.relativeTo ?? ".") + "/" + reference.name
            return candidates(base).first(where: PluginFinder.isFile)
        }
        for directory in directories {
            if let path = candidates(directory + "/" + reference.name).first(where: PluginFinder.isFile) { return path }
        }
        return nil
    }

    private func candidates(_ base: String) -> [String] {
        let url = URL(fileURLWithPath: base)
        let library = url.deletingLastPathComponent().appendingPathComponent("lib" + url.lastPathComponent + ".so").path
        return base.hasSuffix(".so") ? [url.path] : [library, url.path + ".so"]
    }

    private static func isFile(_ path: String) -> Bool {
        var isDirectory = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && !isDirectory
    }

    /// Every library file of the search path, the first of a name wins.
    var libraryFiles: [(name: String, path: String)] {
        var found: [String: String] = [:]
        for directory in directories {
            let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
            for file in files.sorted() where file.hasSuffix(".so") {
                let name = PluginFinder.pluginName(ofFile: file)
                if found[name] == nil { found[name] = directory + "/" + file }
            }
        }
        return found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private var libraryNames: [String] { libraryFiles.map(\.name) }

    private static func pluginName(ofFile file: String) -> String {
        let stem = String(file.dropLast(3))
        return stem.hasPrefix("lib") ? String(stem.dropFirst(3)) : stem
    }

    // MARK: Descriptions

    struct LibraryProblem: Error { var text: String }

    func description(of path: String) -> Result<PluginDescription, LibraryProblem> {
        // In this process a library that was built anew since is loaded anew.
        if isolation == .inProcess {
            if guestsRun, !cache.isLoaded(path), case .failure(let problem)? = DescribeChild.describe([path])[path] {
                return .failure(problem)
            }
            return load(path).map(\.description)
        }
        if let known = described[path] { return known }
        let result = DescribeChild.describe([path])[path] ?? .failure(.init(text: "no answer"))
        described[path] = result
        return result
    }

    /// Describes many at once: one child for all of them, as long as none is broken.
    func describeAll(_ paths: [String]) {
        guard isolation == .childProcess else { return }
        described.merge(DescribeChild.describe(paths)) { _, new in new }
    }

    func load(_ path: String) -> Result<PluginLibrary, LibraryProblem> {
        do throws(LibraryError) {
            return .success(try cache.library(path))
        } catch {
            return .failure(LibraryProblem(text: error.description))
        }
    }

    /// For `MachineOptions.loadLibrary`.
    func library(for instance: InstanceDescription) throws(LibraryError) -> PluginLibrary {
        try cache.library(instance.libraryPath)
    }
}
