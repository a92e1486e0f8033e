/// Which access widths a claim's handlers take; others are split little-endian by the core.
public struct Widths: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let byte = Widths(rawValue: 1)
    public static let word = Widths(rawValue: 2)
    public static let long = Widths(rawValue: 4)
    public static let quad = Widths(rawValue: 8)
    public static let all: Widths = [.byte, .word, .long, .quad]
}

/// How a claim answers ("io/1" of minor 4): see BP_CLAIM_* in plugin.h.
public struct ClaimFlags: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Only accesses of its widths that lie wholly inside; unsplit, and before all other claims.
    public static let whole = ClaimFlags(rawValue: UInt8(BP_CLAIM_WHOLE))
    /// Reads only, writes only: the other direction falls through.
    public static let reads = ClaimFlags(rawValue: UInt8(BP_CLAIM_READS))
    public static let writes = ClaimFlags(rawValue: UInt8(BP_CLAIM_WRITES))
}

/// What a claim or a mapping answers; the other direction falls through to what lies below.
public struct Directions: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = Directions(rawValue: UInt32(BP_MAP_READ))
    public static let write = Directions(rawValue: UInt32(BP_MAP_WRITE))
    public static let both: Directions = [.read, .write]
}

/// A claim of ports or of guest-physical addresses; released by the host at disconnect if not before.
public struct Claim: Equatable, Sendable {
    public let id: bp_id
}

/// Claims of I/O ports and MMIO ranges ("io/1"). Accesses come to `Device.read` and `Device.write`.
public struct IO {
    let host: Host
    let table: UnsafePointer<bp_io_1>

    /// Claims `count` ports from `base`. `cookie` tells several claims of an instance apart; `name` is for people.
    @discardableResult
    public func claimPorts(
        _ base: UInt16, count: Int, widths: Widths = .byte, cookie: UInt64 = 0, priority: Int32 = 0,
        flags: ClaimFlags = [], bulk: Bool = false, name: StaticString? = nil
    ) throws(PluginError) -> Claim {
        try claim(
            space: BP_SPACE_PORT, base: UInt64(base), length: UInt64(clamping: count), widths: widths, cookie: cookie,
            priority: priority, flags: flags, bulk: bulk, name: name)
    }

    /// Claims guest-physical addresses.
    @discardableResult
    public func claimMemory(
        _ base: UInt64, length: UInt64, widths: Widths = .all, cookie: UInt64 = 0, priority: Int32 = 0,
        flags: ClaimFlags = [], bulk: Bool = false, name: StaticString? = nil
    ) throws(PluginError) -> Claim {
        try claim(
            space: BP_SPACE_MEMORY, base: base, length: length, widths: widths, cookie: cookie, priority: priority,
            flags: flags, bulk: bulk, name: name)
    }

    /// Claims model-specific registers: accesses are 8 bytes wide, `.noRegister` is #GP(0). In connect only; throws where the host is older
    /// than minor 5.
    @discardableResult
    public func claimMSRs(
        _ first: UInt32, count: UInt64 = 1, cookie: UInt64 = 0, priority: Int32 = 0, name: StaticString? = nil
    ) throws(PluginError) -> Claim {
        try claim(
            space: BP_SPACE_MSR, base: UInt64(first), length: count, widths: .quad, cookie: cookie, priority: priority,
            flags: [], bulk: false, name: name)
    }

    private func claim(
        space: Int, base: UInt64, length: UInt64, widths: Widths, cookie: UInt64, priority: Int32,
        flags: ClaimFlags, bulk: Bool, name: StaticString?
    ) throws(PluginError) -> Claim {
        var claim = bp_claim()
        claim.size = UInt32(MemoryLayout<bp_claim>.size)
        claim.space = UInt16(space)
        claim.base = base
        claim.length = length
        claim.widths = widths.rawValue
        claim.cookie = cookie
        claim.priority = priority
        claim.flags = flags.rawValue
        claim.read = Handlers.read
        claim.write = Handlers.write
        if bulk {
            claim.read_bulk = Handlers.readBulk
            claim.write_bulk = Handlers.writeBulk
        }
        if let name { claim.name = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self) }
        var id: bp_id = 0
        try Status(rawValue: table.pointee.claim(host.raw, &claim, &id)).check("claiming")
        return Claim(id: id)
    }

    public func release(_ claim: Claim) { _ = table.pointee.release(host.raw, claim.id) }

    public func move(_ claim: Claim, to base: UInt64) throws(PluginError) {
        try Status(rawValue: table.pointee.move(host.raw, claim.id, base)).check("moving a claim")
    }

    /// Which of its directions the claim answers from now on; none: it is off. Throws where the host is older than minor 4.
    public func direct(_ claim: Claim, _ directions: Directions) throws(PluginError) {
        guard table.has(\.direct) else { throw PluginError("claims cannot be directed: the host is too old") }
        try Status(rawValue: table.pointee.direct(host.raw, claim.id, directions.rawValue)).check("directing a claim")
    }

    /// From any thread: the answer of an access that was deferred. `.stale`: it was cancelled.
    @discardableResult
    public func complete(_ token: UInt64, _ status: Status = .ok, value: UInt64 = 0) -> Status {
        Status(rawValue: table.pointee.complete(host.raw, token, status.rawValue, value))
    }
}

extension Host {
    public var io: IO {
        get throws(PluginError) { IO(host: self, table: try required("io/1", as: bp_io_1.self)) }
    }
}
