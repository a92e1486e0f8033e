/// The pages of devices that were read and written last, since the TLB holds none: what their walks have found, as long as a TLB could have it.
struct DevicePages {
    private var (read, written) = (Page(), Page())

    /// nil: it is another page, or for another privilege.
    @inline(__always)
    func find(_ linear: UInt64, _ kind: AccessKind, _ privilege: Privilege) -> UInt64? {
        (kind == .write ? written : read).find(linear, privilege)
    }

    /// A walk for a read or a write has come to `physical`, where no plain memory answers it.
    mutating func note(_ linear: UInt64, _ physical: UInt64, _ kind: AccessKind, _ privilege: Privilege) {
        let page = Page(linear, physical, privilege)
        if kind == .write { written = page } else { read = page }
    }

    /// A walk has come to `physical`: what the page was for another kind of access may be older.
    mutating func forgetOlder(than physical: UInt64, _ linear: UInt64) {
        if read.isOlder(than: physical, linear) || written.isOlder(than: physical, linear) { forget() }
    }

    mutating func forget() { (read, written) = (Page(), Page()) }

    private struct Page {
        /// No page's, to begin with.
        private var linear: UInt64 = 1
        private var physical: UInt64 = 0
        private var privilege = Privilege.supervisor

        init() {}

        init(_ linear: UInt64, _ physical: UInt64, _ privilege: Privilege) {
            (self.linear, self.physical, self.privilege) = (linear & ~0xfff, physical & ~0xfff, privilege)
        }

        @inline(__always)
        func find(_ linear: UInt64, _ privilege: Privilege) -> UInt64? {
            self.linear == linear & ~0xfff && self.privilege == privilege ? physical | linear & 0xfff : nil
        }

        func isOlder(than physical: UInt64, _ linear: UInt64) -> Bool {
            self.linear == linear & ~0xfff && self.physical != physical & ~0xfff
        }
    }
}
