/// CPU state ("vcpu/1"): for loaders in reset, for policies in decide and observe.
public struct CPUAccess {
    let host: Host
    let table: UnsafePointer<bp_vcpu_1>

    public func registers(vcpu: UInt32 = 0) throws(PluginError) -> bp_registers {
        var registers = bp_registers()
        registers.size = UInt32(MemoryLayout<bp_registers>.size)
        try Status(rawValue: table.pointee.get(host.raw, vcpu, &registers)).check("reading registers")
        return registers
    }

    public func setRegisters(_ registers: bp_registers, vcpu: UInt32 = 0) throws(PluginError) {
        var copy = registers
        copy.size = UInt32(MemoryLayout<bp_registers>.size)
        try Status(rawValue: table.pointee.set(host.raw, vcpu, &copy)).check("setting registers")
    }

    private var countsInstructions: Bool { table.has(\.at_retired) }

    /// Instructions that the vCPU has retired; nil: the engine does not count them, or the host is older than ABI 1.3. From reset
    /// on; exact in exits, in reset and in `Instance.instructionsRetired`.
    public func retired(vcpu: UInt32 = 0) -> UInt64? {
        var count: UInt64 = 0
        guard countsInstructions, table.pointee.retired(host.raw, vcpu, &count) == 0 else { return nil }
        return count
    }

    /// `Instance.instructionsRetired` is called once, as soon as the vCPU has retired `count` instructions in all; nil: not any
    /// more. From reset on; one for each vCPU. False: the engine does not count.
    @discardableResult
    public func setAlarm(atRetired count: UInt64?, vcpu: UInt32 = 0) -> Bool {
        guard countsInstructions else { return false }
        return table.pointee.at_retired(
            host.raw, vcpu, count ?? 0, count == nil ? nil : Handlers.retired,
            UnsafeMutableRawPointer(bitPattern: UInt(vcpu)))
            == 0
    }

    /// Guest memory by linear address; nil where any byte is not mapped to RAM.
    public func read(linear address: UInt64, count: Int, vcpu: UInt32 = 0) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: max(0, count))
        let status = bytes.withUnsafeMutableBytes {
            table.pointee.read_linear(host.raw, vcpu, address, $0.baseAddress, UInt64($0.count))
        }
        return status == 0 ? bytes : nil
    }
}

/// Which exits a policy sees ("exit/1").
public struct Exits {
    let host: Host
    let table: UnsafePointer<bp_exit_1>

    public struct Options: OptionSet, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// An engine that cannot deliver it is an error at load.
        public static let required = Options(rawValue: 1)
        /// Calls `Policy.decide`.
        public static let decide = Options(rawValue: 2)
        /// Calls `Policy.observe` with the outcome and its cost.
        public static let observe = Options(rawValue: 4)
        /// I/O and memory: only what no instance claims.
        public static let unclaimed = Options(rawValue: 8)
        /// The policy injects: needs the engine's ability precise-inject.
        public static let precise = Options(rawValue: 16)
        /// The policy needs an engine that counts instructions.
        public static let counted = Options(rawValue: 64)
        /// Of EPT violations: the guest's writes to plain memory in the range too. A host before ABI 1.3 brings none out.
        public static let ramWrites = Options(rawValue: 32)
    }

    public struct Want: Equatable, Sendable { public let id: bp_id }

    /// `reason`: a basic exit reason (`BP_EXIT_IO`...), or `BP_WANT_ALL`.
    @discardableResult
    public func want(
        _ reason: Int, _ range: ClosedRange<UInt64> = 0...UInt64.max, _ options: Options
    ) throws(PluginError) -> Want {
        var want = bp_want()
        want.size = UInt32(MemoryLayout<bp_want>.size)
        want.reason = UInt16(truncatingIfNeeded: reason)
        want.flags = options.rawValue
        want.first = range.lowerBound
        want.last = range.upperBound
        var id: bp_id = 0
        try Status(rawValue: table.pointee.want(host.raw, &want, &id)).check("asking for exits")
        return Want(id: id)
    }

    public func unwant(_ want: Want) { _ = table.pointee.unwant(host.raw, want.id) }

    /// "com1 0x3f8-0x3ff", or nil where nothing is claimed at all.
    public func nearestClaim(space: Int, address: UInt64) -> String? {
        var length: UInt64 = 256
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard table.pointee.nearest_claim(host.raw, UInt32(space), address, buffer.baseAddress, &length) == 0
            else { return nil }
            return String(decoding: UnsafeRawBufferPointer(buffer).prefix(Int(clamping: length)), as: UTF8.self)
        }
    }
}

extension Host {
    public var cpu: CPUAccess {
        get throws(PluginError) { CPUAccess(host: self, table: try required("vcpu/1", as: bp_vcpu_1.self)) }
    }
    public var exits: Exits {
        get throws(PluginError) { Exits(host: self, table: try required("exit/1", as: bp_exit_1.self)) }
    }
}
