import BackendSupport
import CBackendSupport
import Glibc

/// A sentence for the user.
public struct NBDError: Error, Equatable {
    public var text: String
    public init(_ text: String) { self.text = text }
}

/// What an image's bytes are.
public enum ImageFormat: String, Sendable {
    case raw, qcow2

    /// The first bytes of a qcow2 image ("qcow2 image format", header).
    static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xfb]

    /// By the first bytes of a file, which says nothing certain of a raw one: whoever has written it may have put anything there.
    public static func guess(_ path: String) throws(NBDError) -> ImageFormat {
        var bytes = [UInt8](repeating: 0, count: magic.count)
        do throws(HostCallError) {
            let file = try Descriptor.open(path, O_RDONLY | O_NONBLOCK)
            let kind = Int(try file.status().kind)
            guard kind == BH_REGULAR || kind == BH_BLOCK_DEVICE else { throw HostCallError(code: ENOTBLK) }
            let count = try HostCallError.check(bh_pread(file.raw, &bytes, bytes.count, 0))
            return count == bytes.count && bytes == magic ? .qcow2 : .raw
        } catch {
            switch error.code {
            case ENOENT: throw NBDError("there is no file '\(path)': `qemu-img create` makes images")
            case ENOTBLK, ENXIO: throw NBDError("'\(path)' is neither a regular file nor a block device")
            default: throw NBDError("'\(path)' cannot be read: " + error.text)
            }
        }
    }
}

/// Where a disk is.
public struct NBDSource: Equatable, Sendable {
    public enum Place: Equatable, Sendable {
        case uri(String)
        /// Behind a `qemu-nbd` of its own. The path is absolute.
        case image(path: String, format: ImageFormat)
    }

    public var place: Place
    public var isReadOnly: Bool
    /// The format was not named, and nothing says that the image is other than raw: the guest must not make it so.
    public var isGuessedRaw = false

    public init(_ place: Place, isReadOnly: Bool = false) {
        self.place = place
        self.isReadOnly = isReadOnly
    }

    /// - Parameter format: nil: by the file's first bytes.
    public init(image: String, format: ImageFormat?, isReadOnly: Bool) throws(NBDError) {
        let guess = try ImageFormat.guess(image)
        let path = image.hasPrefix("/") ? image : NBDSource.currentFolder + "/" + image
        self.init(.image(path: path, format: format ?? guess), isReadOnly: isReadOnly)
        isGuessedRaw = format == nil && guess == .raw
    }

    /// - Parameter export: a name that the server knows; nil: what the URI says.
    public init(uri: String, export: String?, isReadOnly: Bool) throws(NBDError) {
        let parts = try NBDSource.split(uri)
        guard let export else {
            self.init(.uri(uri), isReadOnly: isReadOnly)
            return
        }
        guard parts.path.isEmpty || parts.path == "/" else {
            throw NBDError("export: the URI names an export itself, '\(parts.path.dropFirst())'")
        }
        self.init(.uri(parts.head + "/" + NBDSource.escaped(export) + parts.query), isReadOnly: isReadOnly)
    }

    /// As messages call it.
    public var name: String {
        switch place {
        case .uri(let uri): uri
        case .image(let path, _): path
        }
    }

    /// Keeps other machines from an image that this one writes, or from writing one that this one reads. qemu-nbd does not: it lets two of its kind
    /// write one raw image.
    func lock() throws(NBDError) -> FileLock? {
        guard case .image(let path, _) = place else { return nil }
        let file: Descriptor
        do throws(HostCallError) {
            file = try Descriptor.open(path, (isReadOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK)
        } catch {
            throw NBDError("'\(path)' cannot be opened\(isReadOnly ? "" : " for writing"): " + error.text)
        }
        let result = bh_lock_first(file.raw, isReadOnly ? 0 : 1)
        guard result == -EAGAIN || result == -EACCES else { return FileLock(of: file) }
        throw NBDError(
            bh_is_write_locked(file.raw) != 0
                ? "'\(path)' is in use by another writer"
                : "'\(path)' is in use by a reader, and cannot be opened for writing meanwhile")
    }

    // MARK: URIs (the NBD URI specification)

    private static let schemes = ["nbd", "nbds", "nbd+unix", "nbds+unix"]

    private static func split(_ uri: String) throws(NBDError) -> (head: String, path: String, query: String) {
        guard let colon = uri.utf8.firstIndex(of: UInt8(ascii: ":")), uri[colon...].hasPrefix("://"),
            schemes.contains(String(uri[..<colon]))
        else {
            throw NBDError("uri: '\(uri)' is none of nbd://HOST:PORT/EXPORT and nbd+unix:///EXPORT?socket=PATH")
        }
        guard !uri.utf8.contains(0) else { throw NBDError("uri: it has a byte of zero") }
        let authority = uri.index(colon, offsetBy: 3)
        let query = uri[authority...].firstIndex(of: "?") ?? uri.endIndex
        let path = uri[authority..<query].firstIndex(of: "/") ?? query
        return (String(uri[..<path]), String(uri[path..<query]), String(uri[query...]))
    }

    private static func escaped(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var result: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                result.append(byte)
            default: result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static var currentFolder: String {
        guard let raw = getcwd(nil, 0) else { return "" }
        defer { free(raw) }
        return String(cString: raw)
    }
}
