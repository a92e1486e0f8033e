// Dispatch of exits: the hot path. Engines call it on a vCPU's thread, without the machine's lock.
// SAFETY for this file: claims, ports and policies are flat memory owned by the machine, changed only under its lock, which
// engines' calls take; handlers are C functions of instances that live until their claims are gone.

public import CBackplane
import CHost

/// What an access gave, and what the CPU must do about it.
public struct AccessResult: Sendable {
    public enum Control: UInt32, Sendable {
        case resume = 0
        /// Raise an exception at the instruction; only engines that are precise are told so.
        case inject = 1
    }
    public var value: UInt64
    public var control: Control
    public var vector: UInt8
    public var hasErrorCode: Bool
    public var errorCode: UInt32

    @inline(__always)
    public init(value: UInt64) {
        self.value = value
        control = .resume
        vector = 0
        hasErrorCode = false
        errorCode = 0
    }
}

/// What the policies made of an exit that is neither I/O nor memory.
public enum EventResult: Sendable, Equatable {
    /// Nobody answered: the engine does what the CPU does.
    case unhandled
    /// The record holds the result.
    case handled
    case inject(vector: UInt8, errorCode: UInt32?)
}

@inline(__always)
func allOnes(_ width: UInt8) -> UInt64 { UInt64.max &>> (64 &- UInt64(width) &* 8) }

public final class ExitHandler {
    let host: UnsafeMutablePointer<ch_machine>
    var lock: MachineLock { MachineLock(of: host) }
    let ports: PortSpace
    var claims: ClaimTable
    let claimRecords: UnsafeMutablePointer<ClaimRecord>
    var map = AddressMap()
    /// What the core and the engines know of the pages behind the machine's memory.
    public let pageFlags: PageFlags
    /// Some claim of guest-physical space is WHOLE: accesses are looked up before they are split.
    var hasWholeMemoryClaims = false {
        didSet { lastSegment = nil }
    }
    var policies = PolicyTables(policies: [], wants: [])
    /// By vCPU.
    let sequences: UnsafeMutablePointer<UInt64>
    let threads: UnsafeMutablePointer<Int32>
    let tokens: UnsafeMutablePointer<UInt64>
    unowned(unsafe) var machine: Machine
    /// The segment that answered last: MMIO comes in runs.
    var lastSegment: AddressSegment? {
        didSet { rememberClaim() }
    }
    /// Of that segment where a claim answers it: first address, bytes (0: none) and the claim.
    private var recentFirst: UInt64 = 0
    private var recentRoom: UInt64 = 0
    private var recentRecord: UnsafeMutablePointer<ClaimRecord>
    static let maximumCPUs = 64

    init(host: UnsafeMutablePointer<ch_machine>, machine: Machine, pageFlags: PageFlags) {
        self.host = host
        self.pageFlags = pageFlags
        self.machine = machine
        ports = PortSpace()
        claims = ClaimTable()
        claimRecords = claims.records
        recentRecord = claims.records
        sequences = .allocate(capacity: ExitHandler.maximumCPUs)
        sequences.initialize(repeating: 0, count: ExitHandler.maximumCPUs)
        threads = .allocate(capacity: ExitHandler.maximumCPUs)
        threads.initialize(repeating: 0, count: ExitHandler.maximumCPUs)
        tokens = .allocate(capacity: ExitHandler.maximumCPUs)
        // Bits 63:48 hold the vCPU's number plus one, the rest counts.
        for vcpu in 0..<ExitHandler.maximumCPUs { (tokens + vcpu).initialize(to: UInt64(vcpu + 1) << 48 | 1) }
    }

    deinit {
        ports.deallocate()
        claims.deallocate()
        policies.deallocate()
        sequences.deallocate()
        threads.deallocate()
        tokens.deallocate()
    }

    // MARK: Ports

    public func portRead(_ vcpu: UInt32, port: UInt16, width: UInt8, rip: UInt64) -> AccessResult {
        lock.held(by: threads[Int(vcpu)]) { held in
            let entry = ports.entries[Int(port)]
            let record = claimRecords + Int(entry & 0xffff)
            let offset = UInt64(port) &- record.pointee.base
            guard takes(record, offset, width) else {
                return other(held, vcpu, BP_SPACE_PORT, UInt64(port), width, nil, rip)
            }
            if entry & PortSpace.policyBit != 0 { return decided(held, vcpu, record, port, width, nil, rip) }
            var value: UInt64 = 0
            let status = callReadFirst(record, vcpu, offset, UInt64(port), width, &value)
            if status == 0, host.pointee.has_pending == 0 {
                return AccessResult(value: value & allOnes(width))
            }
            return delivered(
                AccessResult(value: settle(held, status, record, value, vcpu, UInt64(port)) & allOnes(width)))
        }
    }

    public func portWrite(_ vcpu: UInt32, port: UInt16, width: UInt8, value: UInt64, rip: UInt64) -> AccessResult {
        lock.held(by: threads[Int(vcpu)]) { held in
            let entry = ports.entries[Int(port)]
            let record = claimRecords + Int(entry & 0xffff)
            let offset = UInt64(port) &- record.pointee.base
            guard takes(record, offset, width) else {
                return other(held, vcpu, BP_SPACE_PORT, UInt64(port), width, value & allOnes(width), rip)
            }
            if entry & PortSpace.policyBit != 0 {
                return decided(held, vcpu, record, port, width, value & allOnes(width), rip)
            }
            let status = callWriteFirst(record, vcpu, offset, UInt64(port), width, value & allOnes(width))
            if status == 0, host.pointee.has_pending == 0 {
                return AccessResult(value: 0)
            }
            _ = settle(held, status, record, 0, vcpu, UInt64(port))
            return delivered(AccessResult(value: 0))
        }
    }

    // MARK: Guest-physical memory that is not RAM

    /// `width` 1...8, any alignment.
    public func memoryRead(_ vcpu: UInt32, address: UInt64, width: UInt8, rip: UInt64) -> AccessResult {
        lock.held(by: threads[Int(vcpu)]) { held in
            let record = recentRecord
            let offset = address &- recentFirst
            guard policies.reasons >> UInt64(BP_EXIT_EPT_VIOLATION) & 1 == 0, recentRoom > offset,
                recentRoom &- offset >= UInt64(width), record.pointee.widths & width != 0
            else { return other(held, vcpu, BP_SPACE_MEMORY, address, width, nil, rip) }
            var value: UInt64 = 0
            let status = callReadFirst(record, vcpu, address &- record.pointee.base, address, width, &value)
            if status == 0, host.pointee.has_pending == 0 {
                return AccessResult(value: value & allOnes(width))
            }
            return delivered(AccessResult(value: settle(held, status, record, value, vcpu, address) & allOnes(width)))
        }
    }

    public func memoryWrite(_ vcpu: UInt32, address: UInt64, width: UInt8, value: UInt64, rip: UInt64) -> AccessResult {
        lock.held(by: threads[Int(vcpu)]) { held in
            let record = recentRecord
            let offset = address &- recentFirst
            guard policies.reasons >> UInt64(BP_EXIT_EPT_VIOLATION) & 1 == 0, recentRoom > offset,
                recentRoom &- offset >= UInt64(width), record.pointee.widths & width != 0
            else { return other(held, vcpu, BP_SPACE_MEMORY, address, width, value & allOnes(width), rip) }
            let status = callWriteFirst(
                record, vcpu, address &- record.pointee.base, address, width, value & allOnes(width))
            if status == 0, host.pointee.has_pending == 0 {
                return AccessResult(value: 0)
            }
            _ = settle(held, status, record, 0, vcpu, address)
            return delivered(AccessResult(value: 0))
        }
    }

    // MARK: Parts of an access

    /// The common case: a width that the handler takes, all of it inside the claim, and nothing lies over it.
    @inline(__always)
    func takes(_ record: UnsafeMutablePointer<ClaimRecord>, _ offset: UInt64, _ width: UInt8) -> Bool {
        record.pointee.widths & width != 0 && !record.pointee.isCovered
            && offset &+ UInt64(width) <= record.pointee.length
    }

    /// What is not the common case.
    @inline(never)
    private func other(
        _ held: borrowing HeldLock, _ vcpu: UInt32, _ space: Int, _ address: UInt64, _ width: UInt8, _ value: UInt64?,
        _ rip: UInt64
    ) -> AccessResult {
        // A byte that nobody answers and nobody wants to see (a delay by port 0x80).
        if space == BP_SPACE_PORT, width == 1, ports.entries[Int(address & 0xffff)] == 0 {
            return AccessResult(value: 0xff)
        }
        return delivered(access(held, vcpu, space, address, width, value, rip, flags: 0))
    }

    // MARK: Interrupts and other exits

    /// The INTA cycle; nil where the pin has dropped meanwhile.
    public func acknowledgeInterrupt(_ vcpu: UInt32) -> UInt8? {
        lock.held(by: threads[Int(vcpu)]) { _ in
            let vector = machine.acknowledge(vcpu)
            drainIfNeeded()
            return vector
        }
    }

    /// Virtual nanoseconds since power-on.
    public var virtualTime: UInt64 { machine.clock.now }

    /// A line in the machine's log.
    public func log(_ level: LogLevel, _ text: String) { machine.log(level, nil, text) }

    /// An exit other than I/O and memory. The engine fills in reason, vcpu, rip, address, value, extra and flags.
    public func event(_ exit: inout bp_exit) -> EventResult {
        lock.held(by: threads[Int(exit.vcpu)]) { held in
            let isMSR = exit.reason == UInt16(BP_EXIT_RDMSR) || exit.reason == UInt16(BP_EXIT_WRMSR)
            let result = isMSR ? accessMSR(held, &exit) : ask(held, &exit)
            drainIfNeeded()
            return result
        }
    }

    /// An MSR: the policies, then the instance that claims it; what nobody answers is the CPU's.
    @inline(never)
    private func accessMSR(_ held: borrowing HeldLock, _ exit: inout bp_exit) -> EventResult {
        let isWrite = exit.reason == UInt16(BP_EXIT_WRMSR)
        guard claims.answering(BP_SPACE_MSR, exit.address, isWrite: isWrite) != 0 else { return ask(held, &exit) }
        exit.flags &= ~UInt16(BP_EXITF_UNCLAIMED)
        let answer = ask(held, &exit)
        guard answer == .unhandled else { return answer }
        // The policies' callbacks may have put the claimer off line.
        let number = claims.answering(BP_SPACE_MSR, exit.address, isWrite: isWrite)
        guard number != 0 else { return .unhandled }
        let record = claimRecords + number
        let offset = exit.address &- record.pointee.base
        var value = exit.value
        let status =
            isWrite
            ? callWrite(record, exit.vcpu, offset, exit.address, 8, value)
            : callRead(record, exit.vcpu, offset, exit.address, 8, &value)
        if Int(status) == BP_NO_REGISTER || Int(status) == BP_BAD_WIDTH { return .inject(vector: 13, errorCode: 0) }
        exit.value = settle(held, status, record, value, exit.vcpu, exit.address)
        return .handled
    }

    // MARK: Calling handlers

    /// What a handler is told of a vCPU's access.
    @inline(__always)
    private func call(
        _ record: UnsafeMutablePointer<ClaimRecord>, _ vcpu: UInt32, _ offset: UInt64, _ address: UInt64,
        _ width: UInt8
    ) -> bp_access {
        bp_access(
            size: UInt32(MemoryLayout<bp_access>.size), width: width, flags: 0, space: record.pointee.space,
            vcpu: vcpu, requester: 0, offset: offset, address: address, cookie: record.pointee.cookie,
            token: tokens[Int(vcpu)])
    }

    @inline(__always)
    func callRead(
        _ record: UnsafeMutablePointer<ClaimRecord>, _ vcpu: UInt32, _ offset: UInt64, _ address: UInt64,
        _ width: UInt8, _ value: inout UInt64
    ) -> bp_status {
        var call = call(record, vcpu, offset, address, width)
        let node = record.pointee.node.unsafelyUnwrapped
        let frame = ch_enter(host, node, ch_activity_read, address)
        let status = record.pointee.read(record.pointee.instance, &call, &value)
        ch_leave(host, node, frame)
        return status
    }

    @inline(__always)
    func callWrite(
        _ record: UnsafeMutablePointer<ClaimRecord>, _ vcpu: UInt32, _ offset: UInt64, _ address: UInt64,
        _ width: UInt8, _ value: UInt64
    ) -> bp_status {
        var call = call(record, vcpu, offset, address, width)
        let node = record.pointee.node.unsafelyUnwrapped
        let frame = ch_enter(host, node, ch_activity_write, address)
        let status = record.pointee.write(record.pointee.instance, &call, value)
        ch_leave(host, node, frame)
        return status
    }

    /// As `callRead`, where no callback is on the stack.
    @inline(__always)
    func callReadFirst(
        _ record: UnsafeMutablePointer<ClaimRecord>, _ vcpu: UInt32, _ offset: UInt64, _ address: UInt64,
        _ width: UInt8, _ value: inout UInt64
    ) -> bp_status {
        var call = call(record, vcpu, offset, address, width)
        let node = record.pointee.node.unsafelyUnwrapped
        ch_enter_first(host, node, ch_activity_read, address)
        let status = record.pointee.read(record.pointee.instance, &call, &value)
        ch_leave_first(host, node)
        return status
    }

    @inline(__always)
    func callWriteFirst(
        _ record: UnsafeMutablePointer<ClaimRecord>, _ vcpu: UInt32, _ offset: UInt64, _ address: UInt64,
        _ width: UInt8, _ value: UInt64
    ) -> bp_status {
        var call = call(record, vcpu, offset, address, width)
        let node = record.pointee.node.unsafelyUnwrapped
        ch_enter_first(host, node, ch_activity_write, address)
        let status = record.pointee.write(record.pointee.instance, &call, value)
        ch_leave_first(host, node)
        return status
    }

    private func rememberClaim() {
        recentRoom = 0
        guard let segment = lastSegment, case .claim(let number) = segment.read, segment.write == segment.read,
            !hasWholeMemoryClaims
        else { return }
        (recentFirst, recentRecord) = (segment.first, claimRecords + number)
        recentRoom = (segment.last &- segment.first) == .max ? .max : segment.last &- segment.first &+ 1
    }

    /// Makes a value of a status: waits for a deferred answer, reports a fault, gives all ones for what is not there.
    @inline(never)
    func settle(
        _ held: borrowing HeldLock, _ status: bp_status, _ record: UnsafeMutablePointer<ClaimRecord>, _ value: UInt64,
        _ vcpu: UInt32, _ address: UInt64
    ) -> UInt64 {
        switch Int(status) {
        case BP_OK: return value
        case BP_NO_REGISTER, BP_BAD_WIDTH: return .max
        case BP_DEFERRED:
            return machine.waitForDeferred(held, vcpu, record, address)
        default:
            if let node = record.pointee.node { machine.fault(node, status: status) }
            return .max
        }
    }

    /// Ends a slow access: what waits is delivered.
    @inline(never)
    func delivered(_ result: AccessResult) -> AccessResult {
        drainIfNeeded()
        return result
    }

    @inline(__always)
    func drainIfNeeded() {
        if host.pointee.has_pending != 0 { machine.drain() }
    }
}
