// An access of generated code that the TLB does not answer: the TLB is filled as the interpreter does it, with its faults, and the access tried
// again; what never gets into the TLB - devices, pages with code, two pages - is the interpreter's.

/// Which access it was.
struct MissedAccess: RawRepresentable {
    let rawValue: UInt32
    init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `operation`: that which does it, by its place in the block; `size` in bytes.
    init(operation: Int, size: Int, isWrite: Bool) {
        rawValue = UInt32(truncatingIfNeeded: operation) | UInt32(size) << 16 | (isWrite ? 1 << 24 : 0)
    }

    var operation: Int { Int(rawValue & 0xffff) }
    var size: Int { Int(rawValue >> 16 & 0xff) }
    var isWrite: Bool { rawValue >> 24 != 0 }
}

/// nil: the access will find its page now; else where the interpreter goes on, with `handler`.
let accessMissed: @convention(c) (S, UInt64, UInt32) -> P? = { s, linear, word in
    let access = MissedAccess(rawValue: word)
    let block = s.run.pointee.block.unsafelyUnwrapped
    let operation = block.operations + access.operation
    return s.fill(linear, access, UnsafeRawPointer(operation), block)
}

extension UnsafeMutableRawPointer {
    fileprivate func fill(_ linear: UInt64, _ access: MissedAccess, _ p: P, _ block: UnsafeMutablePointer<Block>) -> P?
    {
        settleFlags(self)
        let isInside = linear & 0xfff &+ UInt64(access.size) <= 4096
        if isInside, run.pointee.linearMask != .max || SoftMemory.isCanonical(linear) {
            mayExit(p)
            let isTranslated = run.pointee.owner._withUnsafeGuaranteedRef {
                $0.memory.fill(self, linear, access.isWrite ? .write : .read)
            }
            guard isTranslated else { return abort(self, p) }
            let entry = tlbEntry(linear)
            let tag = access.isWrite ? entry.pointee.write : entry.pointee.read
            if tag == linear & ~0xfff, block.pointee.isValid { return nil }
        }
        return interpret(access, block)
    }

    /// The instruction's first operation, since one before may have made the address.
    private func interpret(_ access: MissedAccess, _ block: UnsafeMutablePointer<Block>) -> P {
        let number = block.operations[access.operation].number
        var first = access.operation
        while first > 1, block.operations[first - 1].number == number { first -= 1 }
        let operation = block.operations + first
        let isEntry = first == 1 && block.pointee.isValid
        run.pointee.handler = isEntry ? block.pointee.firstRun : operation.pointee.run
        return UnsafeRawPointer(operation)
    }
}
