// Which build of a library file is loaded. A library is never closed, and the loader takes a path that it knows for the build
// that it knows: a new build of the same file is loaded from a private copy.

import Glibc

/// Tells builds of a file apart.
public struct FileIdentity: Sendable, Equatable {
    private var device: UInt64
    private var inode: UInt64
    private var size: Int64
    private var changed: (seconds: Int, nanoseconds: Int)

    public static func == (a: FileIdentity, b: FileIdentity) -> Bool {
        a.device == b.device && a.inode == b.inode && a.size == b.size && a.changed == b.changed
    }

    /// nil: there is no such file.
    public init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        // The inode's own change, which no copy with old times can hide.
        changed = (status.st_ctim.tv_sec, status.st_ctim.tv_nsec)
    }
}

/// The libraries of a process, by path: each in its newest build. Not for use from several threads at once.
public struct LibraryCache {
    private var loaded: [String: (identity: FileIdentity?, library: PluginLibrary)] = [:]

    public init() {}

    /// Whether the build that is there now is loaded.
    public func isLoaded(_ path: String) -> Bool { loaded[path].map { $0.identity == FileIdentity(path) } ?? false }

    /// The build that is there now, which is loaded if it is not yet.
    public mutating func library(_ path: String) throws(LibraryError) -> PluginLibrary {
        let identity = FileIdentity(path)
        guard let known = loaded[path] else {
            let library = try PluginLibrary(path: path)
            loaded[path] = (identity, library)
            return library
        }
        if known.identity == identity { return known.library }
        let library = try PluginLibrary(copyOf: path)
        loaded[path] = (identity, library)
        return library
    }
}

extension PluginLibrary {
    /// Loads what the file holds now, whatever was loaded from it before. `path` stays the file's.
    public convenience init(copyOf path: String) throws(LibraryError) {
        let copy = try PrivateCopy(of: path)
        // The loader needs the file only to map it.
        defer { copy.remove() }
        try self.init(path: path, loading: copy.file)
    }
}

/// A file in a directory of its own, which only this process's user can enter.
private struct PrivateCopy {
    let directory: String
    let file: String

    init(of path: String) throws(LibraryError) {
        let source = open(path, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw LibraryError("it cannot be read: \(String(cString: strerror(errno)))") }
        defer { close(source) }
        var reason = ""
        for parent in PrivateCopy.parents {
            guard let directory = PrivateCopy.makeDirectory(in: parent) else {
                reason = "\(parent): \(String(cString: strerror(errno)))"
                continue
            }
            let name = path.split(separator: "/").last.map(String.init) ?? "plugin.so"
            let file = directory + "/" + name
            if let failure = PrivateCopy.copy(source, to: file) {
                reason = "\(parent): \(failure)"
                unlink(file)
                rmdir(directory)
                continue
            }
            (self.directory, self.file) = (directory, file)
            return
        }
        throw LibraryError("no private copy of it can be made: \(reason)")
    }

    func remove() {
        unlink(file)
        rmdir(directory)
    }

    private static var parents: [String] {
        (getenv("TMPDIR").map { [String(cString: $0)] } ?? []) + ["/tmp", "/var/tmp", "/dev/shm"]
    }

    private static func makeDirectory(in parent: String) -> String? {
        var name = Array("\(parent)/backplane-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { return nil }
        return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The sentence that says what failed, nil: done.
    private static func copy(_ source: Int32, to file: String) -> String? {
        let target = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o500)
        guard target >= 0 else { return String(cString: strerror(errno)) }
        defer { close(target) }
        guard lseek(source, 0, SEEK_SET) == 0 else { return String(cString: strerror(errno)) }
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 1)
        defer { chunk.deallocate() }
        while true {
            let count = read(source, chunk.baseAddress, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return String(cString: strerror(errno)) }
            if count == 0 { return nil }
            var done = 0
            while done < count {
                let written = write(target, chunk.baseAddress! + done, count - done)
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { return String(cString: strerror(errno)) }
                done += written
            }
        }
    }
}
