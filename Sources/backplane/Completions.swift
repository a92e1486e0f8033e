import ArgumentParser
import Core
import FoundationEssentials

/// What the shells offer for a word: their scripts call the program for it.
extension CompletionKind {
    static let engine = CompletionKind.list(EngineChoice.allCases.map(\.rawValue))
    static let logLevel = CompletionKind.list(LogLevel.allCases.map { "\($0)" })

    /// Plugins by name; behind a slash the folders and libraries there.
    static let plugin = CompletionKind.custom { _, _, word in
        word.contains("/") ? PluginFinder.librariesAndFolders(in: word) : finder().libraryFiles.map(\.name)
    }

    /// Exit policies, as `--policy` names them.
    static let policy = CompletionKind.custom { _, _, _ in
        let finder = finder()
        let files = finder.libraryFiles
        finder.describeAll(files.map(\.path))
        return files.flatMap { file -> [String] in
            let classes = (try? finder.description(of: file.path).get())?.classes ?? []
            let policies = classes.filter { $0.kind == .policy }
            return policies.map { $0.name == file.name ? $0.name : "\(file.name)/\($0.name)" }
        }
    }

    private static func finder() -> PluginFinder { PluginFinder(paths: [], isolation: .childProcess) }
}

extension PluginFinder {
    /// Those of the folder that the word names up to its last slash, written as the word is.
    fileprivate static func librariesAndFolders(in word: String) -> [String] {
        let folder = String(word[...(word.lastIndex(of: "/") ?? word.startIndex)])
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return files.sorted().compactMap { file in
            var isFolder = false
            guard FileManager.default.fileExists(atPath: folder + file, isDirectory: &isFolder) else { return nil }
            return isFolder ? "\(folder)\(file)/" : file.hasSuffix(".so") ? folder + file : nil
        }
    }
}
