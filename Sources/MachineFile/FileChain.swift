import Core
import Glibc

/// A machine file and those that it extends, read and composed, the machine file first.
struct FileChain {
    static let maximumLength = 16

    private(set) var roots: [YAMLNode] = []
    private var paths: [String] = []
    private var identities: [String] = []
    private let parameters: Parameters
    private let reporter: Reporter

    /// nil: a file of the chain cannot be read; that is reported. Declares the parameters of each file on the way, so
    /// that `extends` may use them.
    static func load(_ path: String, root: YAMLNode, parameters: Parameters, reporter: Reporter) -> [YAMLNode]? {
        var chain = FileChain(parameters: parameters, reporter: reporter)
        chain.paths.append(path)
        chain.identities.append(FileChain.identity(path))
        chain.roots.append(root)
        var last = root
        while true {
            switch chain.target(of: last) {
            case .success(nil): return chain.roots
            case .success(let (path, location)?):
                chain.paths.append(path)
                chain.identities.append(FileChain.identity(path))
                guard let root = FileChain.read(path, .extended(location), reporter) else { return nil }
                chain.roots.append(root)
                last = root
            case .failure: return nil
            }
        }
    }

    /// What leads to a file.
    enum Origin {
        case commandLine
        case extended(SourceLocation?)
        /// It is a guest of a host file.
        case guest(SourceLocation)
    }

    private init(parameters: Parameters, reporter: Reporter) {
        self.parameters = parameters
        self.reporter = reporter
    }

    // MARK: One file

    /// Reads and composes one file. Only a mapping is answered.
    static func read(_ path: String, _ origin: Origin, _ reporter: Reporter) -> YAMLNode? {
        do throws(SourceFile.Failure) {
            if case .guest = origin, FileKind(path) == .pipe {
                throw .unreadable("this is a pipe; only a file named by the command may be one")
            }
            let source = try SourceFile(path: path)
            reporter.add(source)
            return compose(source, reporter)
        } catch {
            report(error, of: path, origin, reporter)
            return nil
        }
    }

    private static func report(
        _ failure: SourceFile.Failure, of path: String, _ origin: Origin, _ reporter: Reporter
    ) {
        switch failure {
        case .content(let mark, let reason):
            reporter.error(SourceLocation(file: path, line: mark.line, column: mark.column), reason)
        case .unreadable(let reason):
            let text = reason + (reason == "no such file" ? FileChain.suggestion(for: path) : "")
            switch origin {
            case .extended(let location?):
                reporter.error(location, "\(Printable.quoted(path: path)) cannot be extended: \(text)")
            case .guest(let location):
                reporter.error(location, "\(Printable.quoted(path: path)) cannot be a guest: \(text)")
            case .commandLine, .extended(nil):
                reporter.error(SourceLocation(file: path, line: 0, column: 0), text)
            }
        }
    }

    private static func compose(_ source: SourceFile, _ reporter: Reporter) -> YAMLNode? {
        do throws(SyntaxError) {
            let root = try YAMLComposer.compose(source, reporter: reporter)
            guard root.mapping != nil else {
                let found = root.isNull ? "holds nothing" : "is \(root.kindName)"
                reporter.error(root.location, "a machine file is a mapping (\"machine: name\" ...), and this \(found)")
                return nil
            }
            return root
        } catch {
            func location(_ mark: Mark) -> SourceLocation {
                SourceLocation(file: source.path, line: mark.line, column: mark.column)
            }
            let notes = error.context.map { [Diagnostic.Note($0.text + " that begins here", at: location($0.mark))] }
            reporter.error(location(error.mark), error.message, notes: notes ?? [])
            return nil
        }
    }

    // MARK: The next file

    private struct Stop: Error {}

    private mutating func target(
        of root: YAMLNode
    ) -> Result<(path: String, location: SourceLocation?)?, Stop> {
        guard let mapping = root.mapping else { return .failure(Stop()) }
        if let declared = mapping.value("parameters") { parameters.declare(declared) }
        guard let extends = mapping.value("extends") else { return .success(nil) }
        guard let scalar = extends.scalar else {
            reporter.error(extends.location, "\"extends\" names one file, and this is \(extends.kindName)")
            return .failure(Stop())
        }
        guard let text = parameters.substituted(scalar, at: extends.location) else { return .failure(Stop()) }
        let path = FilePath.join(text.directory, text.text)
        return isAllowed(path, extends.location) ? .success((path, extends.location)) : .failure(Stop())
    }

    private func isAllowed(_ path: String, _ location: SourceLocation) -> Bool {
        if let first = identities.firstIndex(of: FileChain.identity(path)) {
            let loop = (paths[first...] + [path]).map(Printable.text).joined(separator: " -> ")
            reporter.error(location, "a machine file cannot extend itself: \(loop)")
            return false
        }
        guard paths.count < FileChain.maximumLength else {
            reporter.error(location, "machine files extend one another at most \(FileChain.maximumLength) deep")
            return false
        }
        // It would be waited for; only the machine file itself may be one (`<(generate-machine)`).
        if FileKind(path) == .pipe {
            reporter.error(location, "\(Printable.quoted(path: path)) is a pipe; only files can be extended")
            return false
        }
        return true
    }

    /// The same for every way to write one file's path.
    private static func identity(_ path: String) -> String {
        // SAFETY: the path is NUL-terminated by the bridge; what realpath allocates is freed here.
        guard let real = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(real) }
        return unsafe String(cString: real)
    }

    /// A machine file of that directory with nearly that name.
    private static func suggestion(for path: String) -> String {
        let directory = FilePath.directory(of: path)
        let names = names(in: directory.isEmpty ? "." : directory)
        let files = names.filter { name in [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) } }.sorted()
        let name = String(path.split(separator: "/").last ?? "")
        return DidYouMean.hint(for: name, in: files)
    }

    private static func names(in directory: String) -> [String] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        // SAFETY: an entry lives until the next readdir, and its name is NUL-terminated.
        while let entry = unsafe readdir(stream), names.count < 65536 {
            names.append(
                unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                    unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
                })
        }
        return names
    }
}
