import BackendSupport
import CBackendSupport
import Glibc

/// A folder of the host's, as one guest uses it: its fids, and an answer for each message. Used by one thread at a time; its calls may block.
///
/// Departures, and who needs them:
/// - Everything belongs to whom the VMM runs as: an owner that cannot be given is not (QEMU's `security_model=none`), since tar and git would fail.
/// - SETUID and SETGID are never set on a file: the guest could make programs that run as this user for any other of the host's.
///
/// Not modelled: authentication, extended attributes, device nodes. Locks are kept by the guest's kernel among its own programs; the host's are not asked.
public final class FolderSession {
    struct Fid {
        var node: Node
        /// Where it was found, and as what; nil: the folder itself.
        var parent: Node?
        var name: Name?
        /// Opened for reading or writing.
        var file: Descriptor?
        var isDirectory = false
        /// The data may be written.
        var mayWrite = false
    }

    public static let longestMessage = 512 << 10
    static let shortestMessage = 4096
    private static let version = Array("9P2000.L".utf8)

    let isReadOnly: Bool
    let root: Node
    let qids: QIDMaker
    /// Fids that the guest may have; each holds up to three descriptors.
    private let most: Int
    var fids: [UInt32: Fid] = [:]
    /// Agreed on with Tversion; 0: nothing is.
    public private(set) var messageSize = 0

    public var fidCount: Int { fids.count }

    /// - Parameter path: a directory, or a link that leads to one.
    public init(path: String, isReadOnly: Bool, mostFids: Int = .max) throws(HostCallError) {
        let folder = try Descriptor(checking: bh_folder_open(path))
        root = Node(folder)
        var status = bh_node()
        try HostCallError.check(bh_node_status(folder.raw, &status))
        qids = QIDMaker(homeDevice: status.device)
        self.isReadOnly = isReadOnly
        // The rest of the process needs descriptors too.
        most = min(mostFids, Int(clamping: bh_descriptor_limit() / 2 / 3), 1 << 15)
    }

    /// As at first.
    public func reset() {
        fids = [:]
        messageSize = 0
    }

    /// After a restore, of a session without fids.
    public func restore(messageSize: Int) { self.messageSize = messageSize }

    // MARK: Messages

    /// - Parameter room: bytes that the answer may have, at least `Message.errorSize`.
    public func answer(_ message: [UInt8], room: Int) -> [UInt8] {
        var header = MessageReader(message[...])
        guard let size = try? header.get32(), let type = try? header.get8(), let tag = try? header.get16() else {
            return Message.failure(Message.noTag, .invalid)
        }
        let answer: [UInt8]
        do throws(Refusal) {
            guard size >= Message.headerSize, size <= message.count else { throw Refusal(.invalid) }
            guard let request = Request(rawValue: type) else { throw Refusal(.unsupported) }
            let fields = MessageReader(message[Message.headerSize..<Int(size)])
            answer = try self.answer(request, fields, tag, size: Int(size), room: room)
        } catch { return Message.failure(tag, error.code) }
        return answer.count <= room ? answer : Message.failure(tag, .tooBig)
    }

    private func answer(
        _ request: Request, _ fields: MessageReader, _ tag: UInt16, size: Int, room: Int
    ) throws(Refusal) -> [UInt8] {
        var fields = fields
        var writer = MessageWriter(request, tag)
        if request == .version {
            try agree(&fields, &writer)
            return writer.finished
        }
        guard messageSize > 0 else { throw Refusal(.protocolError) }
        guard size <= messageSize else { throw Refusal(.tooBig) }
        try perform(request, &fields, &writer, room: min(room, messageSize))
        return writer.finished
    }

    /// Tversion: msize[4] version[s]. A session begins, and what was before it ends.
    private func agree(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let wanted = Int(try fields.get32())
        let version = try fields.text()
        try fields.end()
        guard wanted >= Self.shortestMessage else { throw Refusal(.tooBig) }
        reset()
        let isKnown = version == Self.version
        messageSize = isKnown ? min(wanted, Self.longestMessage) : 0
        writer.put32(UInt32(min(wanted, Self.longestMessage)))
        writer.put(text: isKnown ? Self.version : Array("unknown".utf8))
    }

    private func perform(
        _ request: Request, _ fields: inout MessageReader, _ writer: inout MessageWriter, room: Int
    ) throws(Refusal) {
        switch request {
        case .attach: try attach(&fields, &writer)
        case .walk: try walk(&fields, &writer)
        case .clunk: try clunk(&fields)
        case .statfs: try statfs(&fields, &writer)
        case .getattr: try getattr(&fields, &writer)
        case .setattr: try setattr(&fields)
        case .readlink: try readlink(&fields, &writer)
        case .lopen: try open(&fields, &writer)
        case .lcreate: try create(&fields, &writer)
        case .read: try read(&fields, &writer, room: room)
        case .write: try write(&fields, &writer)
        case .readdir: try readdir(&fields, &writer, room: room)
        case .fsync: try fsync(&fields)
        case .lock: try lock(&fields, &writer)
        case .getlock: try getlock(&fields, &writer)
        case .mkdir, .symlink, .mknod: try make(request, &fields, &writer)
        case .link: try link(&fields)
        case .rename: try rename(&fields)
        case .renameat: try renameat(&fields)
        case .unlinkat: try unlinkat(&fields)
        case .remove: try remove(&fields)
        // Requests are answered in their order: what it names has been.
        case .flush:
            _ = try fields.get16()
            try fields.end()
        case .auth, .xattrwalk, .xattrcreate: throw Refusal(.unsupported)
        case .version: throw Refusal(.protocolError)
        }
    }

    // MARK: Fids

    func fid(_ number: UInt32) throws(Refusal) -> Fid {
        guard let fid = fids[number] else { throw Refusal(.badFid) }
        return fid
    }

    func node(_ number: UInt32) throws(Refusal) -> Node { try fid(number).node }

    /// A fid that is not in use yet.
    func add(_ number: UInt32, _ fid: Fid) throws(Refusal) {
        guard number != Message.noFid, fids[number] == nil else { throw Refusal(.badFid) }
        guard fids.count < most else { throw Refusal(.tooMany) }
        fids[number] = fid
    }

    func changeable() throws(Refusal) { if isReadOnly { throw Refusal(.readOnly) } }

    /// Tattach: fid[4] afid[4] uname[s] aname[s] n_uname[4]
    private func attach(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let number = try fields.get32()
        let authentication = try fields.get32()
        _ = try fields.text()
        let place = try fields.text()
        _ = try fields.get32()
        try fields.end()
        guard authentication == Message.noFid else { throw Refusal(.badFid) }
        guard place.isEmpty || place == [UInt8(ascii: "/")] else { throw Refusal(ENOENT) }
        let status = try root.status
        try add(number, Fid(node: root))
        writer.put(qids.qid(status))
    }

    /// Twalk: fid[4] newfid[4] nwname[2] nwname*(wname[s]). One component at a time; how far it came is told by the number of qids.
    private func walk(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let (from, to) = (try fields.get32(), try fields.get32())
        let count = Int(try fields.get16())
        guard count <= 16 else { throw Refusal(.invalid) }
        var names: [Name] = []
        for _ in 0..<count { names.append(try fields.name()) }
        try fields.end()
        var fid = try fid(from)
        guard from == to ? fid.file == nil : fids[to] == nil && to != Message.noFid else { throw Refusal(.badFid) }
        guard from == to || fids.count < most else { throw Refusal(.tooMany) }
        fid = Fid(node: fid.node, parent: fid.parent, name: fid.name)
        var found: [QID] = []
        for name in names {
            do throws(Refusal) {
                let node = try fid.node.find(name)
                found.append(qids.qid(try node.status))
                fid = Fid(node: node, parent: fid.node, name: name)
            } catch {
                guard !found.isEmpty else { throw error }
                break
            }
        }
        if found.count == names.count { fids[to] = fid }
        writer.put16(UInt16(found.count))
        for qid in found { writer.put(qid) }
    }

    /// Tclunk: fid[4]
    private func clunk(_ fields: inout MessageReader) throws(Refusal) {
        let number = try fields.get32()
        try fields.end()
        guard fids.removeValue(forKey: number) != nil else { throw Refusal(.badFid) }
    }
}
