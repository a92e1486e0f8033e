import Glibc

/// What stands at a path, links followed.
enum FileKind {
    case missing, regular, directory, pipe, other
    /// It cannot be asked: opening it will say why.
    case unknown

    init(_ path: String) {
        var info = stat()
        // SAFETY: the path is NUL-terminated by the bridge, and the struct is ours for the call.
        guard unsafe stat(path, &info) == 0 else {
            self = errno == ENOENT || errno == ENOTDIR ? .missing : .unknown
            return
        }
        self.init(info)
    }

    /// Of an open file.
    init(of descriptor: Int32) {
        var info = stat()
        // SAFETY: the struct is ours for the call.
        self = unsafe fstat(descriptor, &info) == 0 ? FileKind(info) : .unknown
    }

    private init(_ info: stat) {
        switch info.st_mode & S_IFMT {
        case S_IFREG: self = .regular
        case S_IFDIR: self = .directory
        case S_IFIFO: self = .pipe
        default: self = .other
        }
    }
}
