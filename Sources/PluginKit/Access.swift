/// An access to a claim, valid for the call (`bp_access`).
public struct Access {
    // SAFETY: the host's, valid for the duration of the handler; an Access is not kept.
    let raw: UnsafePointer<bp_access>

    /// From the claim's base.
    @inline(__always) public var offset: UInt64 { raw.pointee.offset }
    /// Absolute: a port or a guest-physical address.
    @inline(__always) public var address: UInt64 { raw.pointee.address }
    /// Bytes: 1, 2, 4 or 8, one that the claim takes.
    @inline(__always) public var width: Int { Int(raw.pointee.width) }
    /// What `claim` was given.
    @inline(__always) public var cookie: UInt64 { raw.pointee.cookie }
    /// Without any side effect, as for a debugger.
    @inline(__always) public var isPeek: Bool { raw.pointee.flags & UInt8(BP_ACCESS_PEEK) != 0 }
    @inline(__always) public var isString: Bool { raw.pointee.flags & UInt8(BP_ACCESS_STRING) != 0 }
    public var vcpu: UInt32? { raw.pointee.vcpu == UInt32.max ? nil : raw.pointee.vcpu }
    /// For `IO.complete`; 0: this access cannot be deferred.
    public var token: UInt64 { raw.pointee.token }
}

/// What a read handler answers.
public struct ReadResult: Sendable {
    @usableFromInline let status: Status
    @usableFromInline let value: UInt64

    @usableFromInline init(status: Status, value: UInt64) {
        self.status = status
        self.value = value
    }

    @inline(__always) public static func value(_ value: some FixedWidthInteger) -> ReadResult {
        ReadResult(status: .ok, value: UInt64(truncatingIfNeeded: value))
    }
    /// Reads as all ones.
    @inlinable public static var noRegister: ReadResult { ReadResult(status: .noRegister, value: 0) }
    @inlinable public static var badWidth: ReadResult { ReadResult(status: .badWidth, value: 0) }
    @inlinable public static var deferred: ReadResult { ReadResult(status: .deferred, value: 0) }
    /// Say why with `host.fail` before.
    @inlinable public static var fault: ReadResult { ReadResult(status: .fault, value: 0) }
}
