import ArgumentParser
import Glibc

struct PluginNew: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Make the folder of a new plugin: its source, Makefile, tests and README.",
        discussion: "What it makes is a small plugin that works: 'make test' builds and tests it.")

    @Argument(help: "Its name, and the folder's: lower-case letters, digits and hyphens.") var name: String
    @Option(help: "The language of its source.") var language: Scaffold.Language
    @Option(help: "What it is.") var kind: Scaffold.Kind = .device
    @Option(help: "Where to make the folder.", completion: .directory) var directory = "."

    func run() throws {
        if let problem = Scaffold.problem(withName: name, language) {
            complain(problem)
            throw ExitCode(2)
        }
        guard let files = Scaffold(name: name, language: language, kind: kind).files else {
            complain("there is no template of a \(kind.title) in \(language.title) yet: there is one in Swift and in C")
            throw ExitCode(2)
        }
        let folder = "\(directory)/\(name)"
        try Scaffold.write(files, to: folder)
        warnOfNamesake()
        let shown = directory == "." ? name : (directory.hasSuffix("/") ? directory : directory + "/") + name
        print("\(shown): a \(kind.title) in \(language.title)\n\n    cd \(shown)\n    make test")
    }

    /// A plugin of the same name may be meant: `plugin: ./NAME` tells the two apart.
    private func warnOfNamesake() {
        let finder = PluginFinder(paths: [], isolation: .childProcess)
        guard let other = finder.libraryFiles.first(where: { $0.name == name }) else { return }
        complain("there is a plugin '\(name)' already, \(other.path): 'plugin: \(name)' will mean that one")
    }
}

extension Scaffold.Language: ExpressibleByArgument {}
extension Scaffold.Kind: ExpressibleByArgument {}

extension Scaffold {
    /// Makes the folder, which must not exist yet, and the files in it.
    static func write(_ files: [File], to folder: String) throws {
        guard mkdir(folder, 0o777) == 0 else {
            let reason = errno == EEXIST ? "it exists already" : String(cString: strerror(errno))
            complain("\(folder) cannot be made: \(reason)")
            throw ExitCode(2)
        }
        for file in files {
            var parent = folder
            for part in file.path.split(separator: "/").dropLast() {
                parent += "/\(part)"
                mkdir(parent, 0o777)
            }
            let path = "\(folder)/\(file.path)"
            let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
            let isWritten = descriptor >= 0 && writeAll(descriptor, file.text.utf8)
            let code = errno
            if descriptor >= 0 { close(descriptor) }
            guard isWritten else {
                complain("\(path) cannot be written: \(String(cString: strerror(code)))")
                throw ExitCode(2)
            }
        }
    }
}
