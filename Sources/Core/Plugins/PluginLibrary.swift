public import CBackplane
import CHost
import Glibc

/// A plugin library in this process. Never closed, unless its descriptor says that it may be.
public final class PluginLibrary: @unchecked Sendable {
    /// Of the file; "built in" for a descriptor of this process (the bench).
    public let path: String
    public let description: PluginDescription
    let plugin: UnsafePointer<bp_plugin>

    /// Loads the library, calls its one symbol and checks what it answers.
    public convenience init(path: String) throws(LibraryError) { try self.init(path: path, loading: path) }

    /// `file`: what is loaded for `path`.
    init(path: String, loading file: String) throws(LibraryError) {
        let answer = try PluginLibrary.withActivity("loading \(path)") { () throws(LibraryError) in
            try PluginLibrary.open(file)(UInt32(BP_ABI_MAJOR), UInt32(BP_ABI_MINOR))
        }
        guard let plugin = answer else {
            throw LibraryError(
                "it cannot work with plugin ABI \(BP_ABI_MAJOR).\(BP_ABI_MINOR), which this Backplane has")
        }
        self.path = path
        self.plugin = plugin
        description = try DescriptorReader(plugin: plugin).read()
    }

    /// A descriptor of this process.
    public init(builtIn plugin: UnsafePointer<bp_plugin>) throws(LibraryError) {
        path = "built in"
        self.plugin = plugin
        description = try DescriptorReader(plugin: plugin).read()
    }

    /// The descriptor of an interface of its own that one of the classes provides.
    public func interface(named name: String) -> UnsafePointer<bp_interface>? {
        for index in 0..<Int(plugin.pointee.class_count) {
            guard let type = plugin.pointee.classes?[index]?.pointee else { continue }
            for position in 0..<Int(type.provided_count) {
                guard let provided = type.provided?[position]?.pointee, let raw = provided.name,
                    String(cString: raw) == name, let descriptor = provided.descriptor
                else { continue }
                return descriptor
            }
        }
        return nil
    }

    func classPointer(named name: String) -> UnsafePointer<bp_class>? {
        for index in 0..<Int(plugin.pointee.class_count) {
            if let type = plugin.pointee.classes?[index], let raw = type.pointee.name, String(cString: raw) == name {
                return type
            }
        }
        return nil
    }

    private static func open(_ path: String) throws(LibraryError) -> bp_plugin_entry_function {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw LibraryError("it cannot be read: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw LibraryError("it is not a file") }
        guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
            throw LibraryError("it is not a loadable library: \(lastLoaderError())")
        }
        guard let symbol = dlsym(handle, "backplane_plugin") else {
            dlclose(handle)
            throw LibraryError("it is not a Backplane plugin: it does not export 'backplane_plugin'")
        }
        // SAFETY: the symbol's type is fixed by plugin.h.
        return unsafeBitCast(symbol, to: bp_plugin_entry_function.self)
    }

    private static func lastLoaderError() -> String { dlerror().map { String(cString: $0) } ?? "unknown error" }

    /// Names what this thread is doing in a crash report.
    private static func withActivity<R>(
        _ text: String, _ body: () throws(LibraryError) -> R
    ) throws(LibraryError) -> R {
        ch_set_activity(text)
        defer { ch_set_activity(nil) }
        return try body()
    }
}

typealias bp_plugin_entry_function = @convention(c) (UInt32, UInt32) -> UnsafePointer<bp_plugin>?
