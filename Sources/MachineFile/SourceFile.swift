import Glibc

/// A machine file as it was read: bounded, valid UTF-8, without a byte order mark.
final class SourceFile {
    /// As it is shown and opened: relative to the working directory, or absolute.
    let path: String
    /// What relative paths in it are relative to. A pipe has no place of its own: the working directory.
    let directory: String
    let bytes: [UInt8]
    private lazy var index = LineIndex(bytes)

    static let maximumBytes = 1 << 20

    enum Failure: Error {
        /// Of the file as a whole.
        case unreadable(String)
        case content(Mark, String)
    }

    init(path: String) throws(Failure) {
        self.path = path
        directory = FileKind(path) == .pipe ? "" : FilePath.directory(of: path)
        var bytes = try SourceFile.read(path)
        if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
            throw .content(Mark(line: 1, column: 1), "the file is UTF-16; machine files are UTF-8")
        }
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { bytes.removeFirst(3) }
        self.bytes = bytes
        if let offset = SourceFile.invalidOffset(bytes) {
            throw .content(LineIndex.place(ofByte: offset, in: bytes), "the file is not valid UTF-8 from here on")
        }
    }

    /// Where the text ends.
    private(set) lazy var end: Mark = {
        let last = index.lines.last ?? 0..<0
        return Mark(line: max(1, index.lines.count), column: LineIndex.scalars(bytes[last]) + 1)
    }()

    /// The part of a line around a column, and the caret's position in it, from 0.
    func excerpt(at mark: Mark) -> Diagnostic.Excerpt? {
        guard index.lines.indices.contains(mark.line - 1) else { return nil }
        let line = bytes[index.lines[mark.line - 1]]
        let before = 60
        let isShort = line.count <= 160
        let skipped = isShort ? 0 : max(0, mark.column - 1 - before)
        let rest = line[LineIndex.position(ofScalar: skipped, in: line)...]
        let window = rest[..<LineIndex.position(ofScalar: isShort ? line.count : 2 * before, in: rest)]
        let text =
            (skipped > 0 ? "..." : "")
            + String(decoding: window, as: UTF8.self).unicodeScalars.map(Printable.character).joined()
            + (window.endIndex < line.endIndex ? "..." : "")
        return .init(text: text, caret: mark.column - 1 - skipped + (skipped > 0 ? 3 : 0))
    }

    // MARK: Reading

    private static func read(_ path: String) throws(Failure) -> [UInt8] {
        guard !path.isEmpty, !path.utf8.contains(0) else { throw .unreadable("this is not a file name") }
        let kind = FileKind(path)
        switch kind {
        case .missing: throw .unreadable("no such file")
        case .directory: throw .unreadable("this is a directory, not a machine file")
        case .other: throw .unreadable("this is a device or a socket, not a machine file")
        case .regular, .pipe, .unknown: break
        }
        // Only a pipe is waited for.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (kind == .pipe ? 0 : O_NONBLOCK))
        guard descriptor >= 0 else { throw .unreadable(reason(errno)) }
        defer { close(descriptor) }
        // The path may lead elsewhere by now.
        guard FileKind(of: descriptor) == (kind == .pipe ? .pipe : .regular), !isKernels(descriptor) else {
            throw .unreadable(notPlain)
        }
        return try contents(of: descriptor)
    }

    private static func contents(of descriptor: Int32) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while bytes.count <= maximumBytes {
            // SAFETY: the array's own storage, for the call.
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            if count > 0 {
                bytes += chunk[..<count]
            } else if errno != EINTR {
                throw .unreadable(reason(errno))
            }
        }
        throw .unreadable("the file is too large: a machine file has at most 1MiB")
    }

    /// A regular file to stat(2) that the kernel makes up: reading it may wait (/proc/kmsg) or change something.
    private static func isKernels(_ descriptor: Int32) -> Bool {
        // SAFETY: the structs are ours for the calls.
        var (file, root, mount) = (stat(), stat(), stat())
        guard unsafe fstat(descriptor, &file) == 0, unsafe stat("/", &root) == 0 else { return false }
        return ["/proc", "/sys", "/sys/kernel/debug", "/sys/kernel/tracing"].contains { (path: String) in
            // Where nothing is mounted, it is a directory like others.
            unsafe stat(path, &mount) == 0 && mount.st_dev != root.st_dev && mount.st_dev == file.st_dev
        }
    }

    private static let notPlain = "this is not a plain file"

    private static func reason(_ code: Int32) -> String {
        if code == EAGAIN { return notPlain }
        // SAFETY: the C library's text, copied before the next call.
        return code == EACCES ? "permission denied" : "cannot be read: " + (unsafe String(cString: strerror(code)))
    }

    private static func invalidOffset(_ bytes: [UInt8]) -> Int? {
        guard String(validating: bytes, as: UTF8.self) == nil else { return nil }
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var offset = 0
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): offset += UTF8.width(scalar)
            case .emptyInput: return nil
            case .error: return offset
            }
        }
    }
}
