import CBackendSupport
import Glibc

/// Names that come, move and go.
extension FolderSession {
    /// Tmkdir: dfid[4] name[s] mode[4] gid[4]; Tsymlink: fid[4] name[s] symtgt[s] gid[4]; Tmknod: dfid[4] name[s] mode[4] major[4] minor[4] gid[4].
    /// The answer is what was made.
    func make(_ request: Request, _ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let directory = try node(try fields.get32())
        let name = try fields.name()
        let target = request == .symlink ? try fields.text() : []
        let mode = request == .symlink ? 0 : try fields.get32()
        if request == .mknod { _ = (try fields.get32(), try fields.get32()) }
        _ = try fields.get32()
        try fields.end()
        try changeable()
        let raw = directory.descriptor.raw
        let permissions = Self.permissions(mode, isDirectory: request == .mkdir)
        switch request {
        case .mkdir: try check(name.withCString { bh_directory_create(raw, $0, permissions) })
        case .symlink:
            try check(name.withCString { name in withTerminated(target) { bh_link_create(raw, name, $0) } })
        default: try check(name.withCString { bh_special_create(raw, $0, mode & S_IFMT | permissions) })
        }
        let node = try directory.find(name)
        // This process's umask is none of the guest's.
        if request != .symlink { try check(bh_node_set_mode(node.descriptor.raw, permissions)) }
        writer.put(qids.qid(try node.status))
    }

    /// Tlink: dfid[4] fid[4] name[s]
    func link(_ fields: inout MessageReader) throws(Refusal) {
        let directory = try node(try fields.get32())
        let node = try node(try fields.get32())
        let name = try fields.name()
        try fields.end()
        try changeable()
        try check(name.withCString { bh_node_name(node.descriptor.raw, directory.descriptor.raw, $0) })
    }

    /// Trename: fid[4] dfid[4] name[s], of clients that do not know Trenameat.
    func rename(_ fields: inout MessageReader) throws(Refusal) {
        let number = try fields.get32()
        let directory = try node(try fields.get32())
        let name = try fields.name()
        try fields.end()
        try changeable()
        let fid = try fid(number)
        let place = try self.place(of: fid)
        try move(place.directory, place.name, directory, name)
        fids[number]?.parent = directory
        fids[number]?.name = name
    }

    /// Trenameat: olddirfid[4] oldname[s] newdirfid[4] newname[s]
    func renameat(_ fields: inout MessageReader) throws(Refusal) {
        let from = try node(try fields.get32())
        let old = try fields.name()
        let to = try node(try fields.get32())
        let new = try fields.name()
        try fields.end()
        try changeable()
        try move(from, old, to, new)
    }

    private func move(_ from: Node, _ old: Name, _ to: Node, _ new: Name) throws(Refusal) {
        try check(
            old.withCString { old in
                new.withCString { bh_name_move(from.descriptor.raw, old, to.descriptor.raw, $0) }
            })
    }

    /// Tunlinkat: dirfd[4] name[s] flags[4], of which AT_REMOVEDIR counts.
    func unlinkat(_ fields: inout MessageReader) throws(Refusal) {
        let directory = try node(try fields.get32())
        let name = try fields.name()
        let flags = try fields.get32()
        try fields.end()
        guard flags & ~0x200 == 0 else { throw Refusal(.invalid) }
        try changeable()
        try remove(directory, name, isDirectory: flags != 0)
    }

    /// Tremove: fid[4], which is gone whatever comes of it.
    func remove(_ fields: inout MessageReader) throws(Refusal) {
        let number = try fields.get32()
        try fields.end()
        let fid = try fid(number)
        fids[number] = nil
        try changeable()
        let place = try self.place(of: fid)
        try remove(place.directory, place.name, isDirectory: try fid.node.status.isDirectory)
    }

    private func remove(_ directory: Node, _ name: Name, isDirectory: Bool) throws(Refusal) {
        try check(name.withCString { bh_name_remove(directory.descriptor.raw, $0, isDirectory ? 1 : 0) })
    }

    /// Where the fid was found, if it is still there.
    private func place(of fid: Fid) throws(Refusal) -> (directory: Node, name: Name) {
        guard let directory = fid.parent, let name = fid.name else { throw Refusal(EBUSY) }
        guard try directory.find(name).status.isSame(as: try fid.node.status) else { throw Refusal(.stale) }
        return (directory, name)
    }
}
