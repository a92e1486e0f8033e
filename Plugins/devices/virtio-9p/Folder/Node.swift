import BackendSupport
import CBackendSupport
import Glibc

extension Int32 {
    static let (invalid, badFid, protocolError, unsupported) = (EINVAL, EBADF, EPROTO, EOPNOTSUPP)
    static let (nameTooLong, readOnly, notPermitted, tooMany) = (ENAMETOOLONG, EROFS, EPERM, ENFILE)
    static let (tooBig, exists, isDirectory, notDirectory) = (EMSGSIZE, EEXIST, EISDIR, ENOTDIR)
    static let (noDevice, stale) = (ENXIO, ESTALE)
}

/// What the client knows a file by: the same for all names of a file, another for all other files.
struct QID: Equatable, Sendable {
    var type: UInt8
    /// Another when the contents are.
    var version: UInt32
    var path: UInt64

    static let (directory, link, file) = (0x80 as UInt8, 0x02 as UInt8, 0 as UInt8)
}

/// A file, directory, link or anything else in the folder, held by a descriptor that cannot read or write it (O_PATH): it is this one whatever becomes of
/// its names, and to hold it opens nothing.
final class Node {
    let descriptor: Descriptor

    init(_ descriptor: Descriptor) { self.descriptor = descriptor }

    var status: bh_node {
        get throws(Refusal) {
            var status = bh_node()
            try check(bh_node_status(descriptor.raw, &status))
            return status
        }
    }

    /// What `name` is in this directory.
    func find(_ name: Name) throws(Refusal) -> Node {
        Node(Descriptor(try check(name.withCString { bh_node_find(descriptor.raw, $0) })))
    }

    /// To be read and written. Only a file or a directory is ever opened: a pipe would wait for its other end, and a device would do whatever devices do.
    func open(_ flags: Int32) throws(Refusal) -> Descriptor {
        let status = try status
        guard status.isFile || status.isDirectory else { throw Refusal(.noDevice) }
        return Descriptor(try check(bh_node_open(descriptor.raw, flags)))
    }
}

/// The value of a host call, or the guest is told what failed.
@discardableResult
func check<T: SignedInteger & FixedWidthInteger>(_ result: T) throws(Refusal) -> T {
    guard result >= 0 else { throw Refusal(Int32(truncatingIfNeeded: 0 &- result)) }
    return result
}

extension bh_node {
    private var kind: UInt32 { mode & S_IFMT }
    var isFile: Bool { kind == S_IFREG }
    var isDirectory: Bool { kind == S_IFDIR }
    var isLink: Bool { kind == S_IFLNK }

    func isSame(as other: bh_node) -> Bool { device == other.device && inode == other.inode }
}

/// Makes qids. Inode numbers say nothing without their device, and below a folder there may be several.
struct QIDMaker {
    /// On it qids are inode numbers, as the guest's `ls -i` shows them.
    let homeDevice: UInt64

    func path(device: UInt64, inode: UInt64) -> UInt64 {
        device == homeDevice ? inode : inode ^ Self.scattered(device)
    }

    func qid(_ status: bh_node) -> QID {
        let type = status.isDirectory ? QID.directory : status.isLink ? QID.link : QID.file
        let time = UInt64(bitPattern: status.modified.seconds &* 1_000_000_000 &+ status.modified.nanoseconds)
        return QID(
            type: type, version: UInt32(truncatingIfNeeded: Self.scattered(time ^ status.size &<< 40)),
            path: path(device: status.device, inode: status.inode))
    }

    /// SplitMix64's finalizer: each bit of the result depends on all of the number.
    private static func scattered(_ number: UInt64) -> UInt64 {
        var value = number &+ 0x9E37_79B9_7F4A_7C15
        value = (value ^ value &>> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value &>> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value &>> 31
    }
}
