import CBackendSupport
import Glibc

/// What is known of a node, and what of it can be changed.
extension FolderSession {
    /// Tstatfs: fid[4]
    func statfs(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let node = try node(try fields.get32())
        try fields.end()
        var system = bh_file_system()
        try check(bh_node_file_system(node.descriptor.raw, &system))
        writer.put32(0x0102_1997)  // V9FS_MAGIC
        writer.put32(UInt32(clamping: system.block_size))
        for number in [
            system.blocks, system.free, system.available, system.files, system.free_files, system.identity,
        ] { writer.put64(number) }
        writer.put32(UInt32(clamping: system.longest_name))
    }

    /// Tgetattr: fid[4] request_mask[8]. All of the basic ones are given, whatever was asked for.
    func getattr(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let node = try node(try fields.get32())
        _ = try fields.get64()
        try fields.end()
        let status = try node.status
        writer.put64(0x7FF)
        writer.put(qids.qid(status))
        writer.put32(status.mode)
        writer.put32(status.user)
        writer.put32(status.group)
        for number in [status.links, status.special, status.size, status.block_size, status.blocks] {
            writer.put64(number)
        }
        for time in [status.accessed, status.modified, status.changed, bh_time()] {
            writer.put64(UInt64(bitPattern: time.seconds))
            writer.put64(UInt64(bitPattern: time.nanoseconds))
        }
        writer.put64(0)  // gen
        writer.put64(0)  // data_version
    }

    private enum Valid {
        static let (mode, user, group, size) = (1 as UInt32, 2 as UInt32, 4 as UInt32, 8 as UInt32)
        static let (accessed, modified) = (0x10 as UInt32, 0x20 as UInt32)
        /// The time is in the message; else it is the present.
        static let (accessedSet, modifiedSet) = (0x80 as UInt32, 0x100 as UInt32)
    }

    /// Tsetattr: fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8]
    func setattr(_ fields: inout MessageReader) throws(Refusal) {
        let fid = try fid(try fields.get32())
        let valid = try fields.get32()
        let (mode, user, group) = (try fields.get32(), try fields.get32(), try fields.get32())
        let size = try fields.get64()
        let accessed = try time(&fields, isSet: valid & Valid.accessedSet != 0)
        let modified = try time(&fields, isSet: valid & Valid.modifiedSet != 0)
        try fields.end()
        try changeable()
        let node = fid.node
        let status = try node.status
        if valid & Valid.mode != 0 { try set(mode: mode, of: node, status) }
        if valid & (Valid.user | Valid.group) != 0 {
            let result = bh_node_set_owner(
                node.descriptor.raw, valid & Valid.user != 0 ? user : .max, valid & Valid.group != 0 ? group : .max)
            if result != -EPERM { try check(result) }
        }
        if valid & Valid.size != 0 {
            guard status.isFile else { throw Refusal(status.isDirectory ? .isDirectory : .invalid) }
            if let file = fid.file, fid.mayWrite {
                try check(bh_file_set_size(file.raw, size))
            } else {
                try check(bh_node_set_size(node.descriptor.raw, size))
            }
        }
        if valid & (Valid.accessed | Valid.modified) != 0 {
            try set(
                accessed: valid & Valid.accessed != 0 ? accessed : nil,
                modified: valid & Valid.modified != 0 ? modified : nil, of: node)
        }
    }

    private func time(_ fields: inout MessageReader, isSet: Bool) throws(Refusal) -> bh_time {
        let seconds = Int64(bitPattern: try fields.get64())
        let nanoseconds = try fields.get64()
        guard isSet else { return bh_time(seconds: 0, nanoseconds: Int64(BH_NOW)) }
        guard nanoseconds < 1_000_000_000 else { throw Refusal(.invalid) }
        return bh_time(seconds: seconds, nanoseconds: Int64(nanoseconds))
    }

    private func set(accessed: bh_time?, modified: bh_time?, of node: Node) throws(Refusal) {
        var (first, second) = (accessed ?? bh_time(), modified ?? bh_time())
        let raw = node.descriptor.raw
        // SAFETY: both are of this function, and NULL where nothing is to be set.
        let result = withUnsafeMutablePointer(to: &first) { first in
            withUnsafeMutablePointer(to: &second) { second in
                bh_node_set_times(raw, accessed == nil ? nil : first, modified == nil ? nil : second)
            }
        }
        try check(result)
    }

    private func set(mode: UInt32, of node: Node, _ status: bh_node) throws(Refusal) {
        guard !status.isLink else { throw Refusal(.unsupported) }
        try check(bh_node_set_mode(node.descriptor.raw, Self.permissions(mode, isDirectory: status.isDirectory)))
    }

    /// Without what lets a program run as somebody else.
    static func permissions(_ mode: UInt32, isDirectory: Bool) -> UInt32 { mode & (isDirectory ? 0o3777 : 0o1777) }

    /// Treadlink: fid[4]
    func readlink(_ fields: inout MessageReader, _ writer: inout MessageWriter) throws(Refusal) {
        let node = try node(try fields.get32())
        try fields.end()
        guard try node.status.isLink else { throw Refusal(.invalid) }
        var target = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = try check(
            target.withUnsafeMutableBufferPointer {
                bh_node_target(node.descriptor.raw, $0.baseAddress, $0.count)
            })
        writer.put(text: target.prefix(Int(count)).map { UInt8(bitPattern: $0) })
    }
}
