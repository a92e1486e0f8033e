import BackendSupport
import CBackendSupport
import Glibc

/// What is in files and directories.
extension FolderSession {
    /// Flags of Tlopen and Tlcreate are Linux's own on x86.
    private struct OpenFlags {
        private static let (accessMode, truncate, exclusive) = (3 as UInt32, 0o1000 as UInt32, 0o200 as UInt32)
        /// Those that reach the host: O_TRUNC, O_APPEND, O_DSYNC and O_SYNC. The others are the guest kernel's business.
        private static let kept: UInt32 = 0o1000 | 0o2000 | 0o10000 | 0o4010000
        private let raw: UInt32

        init(_ raw: UInt32) throws(Refusal) {
            guard raw & Self.accessMode != 3 else { throw Refusal(.invalid) }
            self.raw = raw
        }

        var writes: Bool { raw & Self.accessMode != 0 }
        var changes: Bool { writes || raw & Self.truncate != 0 }
        var isExclusive: Bool { raw & Self.exclusive != 0 }
        var host: Int32 { Int32(bitPattern: raw & (Self.accessMode | Self.kept)) }
    }

    /// Tlopen: fid[4] flags[4]
    func open(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let number = try fields.get32()
        let flags = try OpenFlags(try fields.get32())
        try fields.end()
        var fid = try fid(number)
        guard fid.file == nil else { throw Refusal(.badFid) }
        if flags.changes { try changeable() }
        try open(&fid, flags)
        fids[number] = fid
        answer(&writer, try fid.node.status)
    }

    private func open(_ fid: inout Fid, _ flags: OpenFlags) throws(Refusal) {
        let isDirectory = try fid.node.status.isDirectory
        guard !isDirectory || !flags.changes else { throw Refusal(.isDirectory) }
        fid.file = try fid.node.open(isDirectory ? O_RDONLY | O_DIRECTORY : flags.host)
        (fid.isDirectory, fid.mayWrite) = (isDirectory, flags.writes)
    }

    /// qid[13] iounit[4]; 0: as much as fits in a message.
    private func answer(_ writer: inout MessageWriter, _ status: bh_node) {
        writer.put(qids.qid(status))
        writer.put32(0)
    }

    /// Tlcreate: fid[4] name[s] flags[4] mode[4] gid[4]. The fid becomes the file. One that is there is opened only as Tlopen would open it.
    func create(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let number = try fields.get32()
        let name = try fields.name()
        let flags = try OpenFlags(try fields.get32())
        let mode = try fields.get32()
        _ = try fields.get32()
        try fields.end()
        try changeable()
        let directory = try fid(number)
        guard directory.file == nil else { throw Refusal(.badFid) }
        let result = name.withCString {
            bh_file_create(
                directory.node.descriptor.raw, $0, flags.host, Self.permissions(mode, isDirectory: false))
        }
        var fid: Fid
        if result == -EEXIST, !flags.isExclusive {
            fid = Fid(node: try directory.node.find(name), parent: directory.node, name: name)
            try open(&fid, flags)
            guard !fid.isDirectory else { throw Refusal(.isDirectory) }
        } else {
            let file = Descriptor(try check(result))
            fid = Fid(node: Node(file), parent: directory.node, name: name, file: file, mayWrite: flags.writes)
        }
        let status = try fid.node.status
        fids[number] = fid
        answer(&writer, status)
    }

    private func file(_ number: UInt32) throws(Refusal) -> Descriptor {
        let fid = try fid(number)
        guard let file = fid.file else { throw Refusal(.badFid) }
        guard !fid.isDirectory else { throw Refusal(.isDirectory) }
        return file
    }

    private static func place(_ offset: UInt64, _ count: Int) throws(Refusal) -> Int64 {
        guard let place = Int64(exactly: offset), place <= .max - Int64(count) else { throw Refusal(.invalid) }
        return place
    }

    /// Tread: fid[4] offset[8] count[4]
    func read(_ fields: inout MessageReader, _ writer: inout MessageWriter, room: Int) throws(Refusal) {
        let file = try file(try fields.get32())
        let offset = try fields.get64()
        let count = min(Int(try fields.get32()), room - Message.errorSize)
        try fields.end()
        let place = try Self.place(offset, count)
        writer.put32(0)
        try writer.put(upTo: count) { (bytes) throws(Refusal) in
            Int(try check(bh_pread(file.raw, bytes.baseAddress, bytes.count, place)))
        }
        writer.replace32(at: Message.headerSize, UInt32(writer.count - Message.errorSize))
    }

    /// Twrite: fid[4] offset[8] count[4] data[count]
    func write(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let number = try fields.get32()
        let file = try file(number)
        let offset = try fields.get64()
        let count = Int(try fields.get32())
        let data = fields.rest()
        guard data.count == count else { throw Refusal(.invalid) }
        guard try fid(number).mayWrite else { throw Refusal(.badFid) }
        let place = try Self.place(offset, count)
        let written = try check(data.withUnsafeBytes { bh_pwrite(file.raw, $0.baseAddress, $0.count, place) })
        writer.put32(UInt32(written))
    }

    /// Tfsync: fid[4] datasync[4]
    func fsync(_ fields: inout MessageReader) throws(Refusal) {
        let fid = try fid(try fields.get32())
        let dataOnly = try fields.get32()
        try fields.end()
        guard let file = fid.file else { throw Refusal(.badFid) }
        try check(bh_fsync(file.raw, dataOnly != 0 ? 1 : 0))
    }

    /// Treaddir: fid[4] offset[8] count[4]. An entry is qid[13] offset[8] type[1] name[s], its offset where the next one is found.
    func readdir(_ fields: inout MessageReader, _ writer: inout MessageWriter, room: Int) throws(Refusal) {
        let fid = try fid(try fields.get32())
        let offset = Int64(bitPattern: try fields.get64())
        let count = min(Int(try fields.get32()), room - Message.errorSize)
        try fields.end()
        guard let directory = fid.file, fid.isDirectory else { throw Refusal(.badFid) }
        let device = try fid.node.status.device
        // SAFETY: of this function.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(min(count, 32 << 10), 512), alignment: 8)
        defer { buffer.deallocate() }
        let end = Int(try check(bh_entries(directory.raw, offset, buffer.baseAddress, buffer.count)))
        writer.put32(0)
        var hasLeftOut = false
        DirectoryEntry.each(in: UnsafeRawBufferPointer(rebasing: buffer[..<end])) { entry in
            guard writer.count - Message.errorSize + 24 + entry.name.count <= count else {
                hasLeftOut = true
                return false
            }
            writer.put(
                QID(type: entry.qidType, version: 0, path: qids.path(device: device, inode: entry.inode)))
            writer.put64(UInt64(bitPattern: entry.next))
            writer.put8(entry.type)
            writer.put(text: entry.name)
            return true
        }
        let length = writer.count - Message.errorSize
        // No entry would mean that there are no more.
        guard length > 0 || !hasLeftOut else { throw Refusal(.invalid) }
        writer.replace32(at: Message.headerSize, UInt32(length))
    }

    // MARK: Locks: the guest's kernel keeps them among its own programs, and is told that they are free here

    private func lockedFile(_ fields: inout MessageReader) throws(Refusal) {
        let fid = try fid(try fields.get32())
        guard fid.file != nil else { throw Refusal(.badFid) }
    }

    /// Tlock: fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]; the answer is a status, of which 0 is success.
    func lock(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        try lockedFile(&fields)
        let (type, flags) = (try fields.get8(), try fields.get32())
        _ = (try fields.get64(), try fields.get64(), try fields.get32(), try fields.text())
        try fields.end()
        guard type <= 2, flags & ~3 == 0 else { throw Refusal(.invalid) }
        writer.put8(0)
    }

    /// Tgetlock: fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]; the answer is the same with type 2, unlocked.
    func getlock(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        try lockedFile(&fields)
        guard try fields.get8() <= 2 else { throw Refusal(.invalid) }
        let (start, length, process) = (try fields.get64(), try fields.get64(), try fields.get32())
        let client = try fields.text()
        try fields.end()
        writer.put8(2)
        writer.put64(start)
        writer.put64(length)
        writer.put32(process)
        writer.put(text: client)
    }
}

/// A linux_dirent64: inode[8] offset of the next[8] length[2] type[1] and a name with a NUL.
struct DirectoryEntry {
    var inode: UInt64
    var next: Int64
    var type: UInt8
    var name: [UInt8]

    /// Without a look at it: DT_DIR, DT_LNK or anything else.
    var qidType: UInt8 { type == 4 ? QID.directory : type == 10 ? QID.link : QID.file }

    /// Until `body` says that it is enough.
    static func each(in bytes: UnsafeRawBufferPointer, _ body: (DirectoryEntry) -> Bool) {
        var start = 0
        while start + 19 < bytes.count {
            let length = Int(bytes.loadUnaligned(fromByteOffset: start + 16, as: UInt16.self))
            guard length > 19, length <= bytes.count - start else { return }
            let entry = DirectoryEntry(
                inode: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self),
                next: bytes.loadUnaligned(fromByteOffset: start + 8, as: Int64.self), type: bytes[start + 18],
                name: [UInt8](bytes[start + 19..<start + length].prefix { $0 != 0 }))
            guard body(entry) else { return }
            start += length
        }
    }
}
