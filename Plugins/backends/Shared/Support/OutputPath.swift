import Glibc

/// A file that a plugin would make or write, looked at without touching it.
public enum OutputPath {
    /// Throws what making or opening it for writing would throw now.
    public static func check(_ path: String) throws(HostCallError) {
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { throw HostCallError(code: EISDIR) }
            if access(path, W_OK) != 0 { throw HostCallError(code: errno) }
            return
        }
        guard errno == ENOENT else { throw HostCallError(code: errno) }
        try checkDirectory(of: path)
    }

    /// Throws what making a new name beside others would throw now.
    public static func checkDirectory(of path: String) throws(HostCallError) {
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        if access(directory, W_OK | X_OK) != 0 { throw HostCallError(code: errno) }
    }
}
