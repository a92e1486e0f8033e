public import Core

/// What `plugin:` names.
public struct PluginReference: Sendable, Equatable, Hashable {
    /// `pic8259`, or of `LIBRARY/CLASS` the library, or a path as it is written (`./mine`, `../mine`, `/opt/mine.so`), which may
    /// have the class behind it (`./mine.so/class`).
    public var name: String
    /// Of `LIBRARY/CLASS`. nil: the class `name`, or the only class of the library at the path.
    public var className: String?
    /// What a path is relative to: the directory of the file where it is written, "." for the working directory.
    /// nil: `name` is not a relative path.
    public var relativeTo: String?

    /// Where the library is, instead of what it is called.
    public var isPath: Bool { name.contains("/") }

    public init(name: String, className: String? = nil, relativeTo: String? = nil) {
        self.name = name
        self.className = className
        self.relativeTo = relativeTo
    }
}

/// A class that was found, and the library file that holds it.
public struct CatalogEntry: Sendable {
    public var libraryPath: String
    public var type: ClassDescription

    public init(libraryPath: String, type: ClassDescription) {
        self.libraryPath = libraryPath
        self.type = type
    }
}

/// Why a class cannot be had. Texts are for people.
public enum CatalogError: Error, Sendable, Equatable {
    case notFound(searched: [String], similar: [String])
    case broken(path: String, reason: String)
    case noSuchClass(path: String, classes: [String])
}

/// Finds plugins for the machine file. Asked once for each instance: an implementation that reads libraries keeps them.
public protocol PluginCatalog {
    func find(_ reference: PluginReference) -> Result<CatalogEntry, CatalogError>
    /// For suggestions.
    var knownClassNames: [String] { get }
}

extension PluginReference {
    /// Text of `plugin:` taken apart; throws what is wrong with it.
    init(text: String, directory: String) throws(ValueError) {
        guard !text.isEmpty, !text.utf8.contains(0) else { throw ValueError("the plugin's name is empty") }
        if text.hasPrefix("/") {
            self.init(name: text)
        } else if text.hasPrefix("./") || text.hasPrefix("../") {
            self.init(name: text, relativeTo: directory.isEmpty ? "." : directory)
        } else {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard parts.count <= 2, !parts.contains("") else {
                throw ValueError(
                    "\(Printable.quoted(text)) is neither NAME nor LIBRARY/CLASS; a path begins with \"./\" or \"/\"")
            }
            self.init(name: parts[0], className: parts.count == 2 ? parts[1] : nil)
        }
    }
}
