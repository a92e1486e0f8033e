import BackendSupport
import CBackendSupport
import Glibc

/// The master of a pseudo-terminal, and the symbolic link to its slave. Source: pty(7), tty_ioctl(4).
///
/// While nobody has the slave open, the master reports a hangup all the time, and reads fail with EIO: it must not be
/// waited for then. `opens` becomes readable whenever somebody opens the slave; `isOpen` tells.
public final class PseudoTerminal {
    /// A sentence.
    public struct OpenError: Error { public var text: String }

    public let master: Descriptor
    /// The path of the slave: "/dev/pts/3".
    public let slave: String
    /// nil: the host has no inotify left, and `isOpen` must be asked now and then.
    public let opens: Descriptor?
    private let link: String?

    public init(link: String?) throws(OpenError) {
        var name = [CChar](repeating: 0, count: 256)
        do throws(HostCallError) {
            master = try Descriptor(checking: bh_pty_open(&name, name.count))
            slave = PseudoTerminal.text(name)
            // First, so that nothing but the users of the slave is seen by `opens`.
            try HostCallError.check(bh_pty_prepare(slave))
        } catch {
            throw OpenError(text: "a pseudo-terminal cannot be opened: " + error.text)
        }
        opens = try? Descriptor(checking: bh_watch_opens(slave))
        if let link { try PseudoTerminal.makeLink(link, to: slave) }
        self.link = link
    }

    deinit {
        // Another machine may have put its own in place since.
        if let link, PseudoTerminal.target(of: link) == slave { unlink(link) }
    }

    /// Somebody has the slave open, or has left something to read.
    public var isOpen: Bool {
        let events = bh_poll(master.raw, Int16(POLLIN), 0)
        return events >= 0 && (events & Int32(POLLIN) != 0 || events & Int32(POLLHUP) == 0)
    }

    /// Takes back what the last user of the slave set.
    public func setRaw() { _ = bh_tty_raw(master.raw) }

    /// To be called when `opens` is readable.
    public func acknowledgeOpens() {
        guard let opens else { return }
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            while case .bytes = opens.read(into: buffer) {}
        }
    }

    // MARK: The link

    private static func makeLink(_ link: String, to slave: String) throws(OpenError) {
        let result = bh_symlink(slave, link)
        if result == 0 { return }
        guard result == -EEXIST else { throw cannot(link, result) }
        // One that an earlier run left. Anything else belongs to somebody.
        guard let old = target(of: link), old.hasPrefix("/dev/pts/") else {
            throw OpenError(text: "'\(link)' is there already, and is not a link to a pseudo-terminal")
        }
        let fresh = "\(link).\(getpid())"
        let made = bh_symlink(slave, fresh)
        guard made == 0 else { throw cannot(link, made) }
        let renamed = bh_rename(fresh, link)
        guard renamed == 0 else {
            unlink(fresh)
            throw cannot(link, renamed)
        }
    }

    private static func cannot(_ link: String, _ result: Int32) -> OpenError {
        OpenError(text: "the link '\(link)' cannot be made: " + HostCallError.text(of: -result))
    }

    /// nil: no link.
    static func target(of link: String) -> String? {
        var path = [CChar](repeating: 0, count: 4096)
        return bh_read_link(link, &path, path.count) == 0 ? text(path) : nil
    }

    private static func text(_ name: [CChar]) -> String {
        String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
