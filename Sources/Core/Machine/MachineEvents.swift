// What happens to a machine, for those who watch it, and what they can ask. SAFETY: as in Machine.swift.

public import CBackplane
import CHost

public enum MachineEvent: Sendable, Equatable {
    /// The guest stands still; `resumed` follows, or the end.
    case stopped, resumed
    case reset
    /// An operator asked the guest to power off.
    case powerButton
    case ended(MachineEnd)
    case policiesChanged
    case propertySet(instance: String, name: String)
    case offline(instance: String, reason: String)
    case online(instance: String)
    /// For longer than the watchdog waits: "owes the answer to an access to port 0x2e0".
    case answerOwed(instance: String, what: String)
}

/// A policy in the chain, or any other instance, as it is now.
public struct InstanceSummary: Sendable {
    public var description: InstanceDescription
    /// By position of the class's properties.
    public var values: [Value?]
    public var isOffline: Bool
    /// Why it is off line, in words.
    public var offlineReason: String
    /// Of a policy: place in the chain, from 0.
    public var place: Int?
    /// Of a policy: what it wants to see.
    public var wants: [WantSummary]
}

public struct WantSummary: Sendable, Equatable {
    /// A basic exit reason; 0xffff: all.
    public var reason: UInt16
    public var first: UInt64
    public var last: UInt64
    public var decides: Bool
    public var observes: Bool
}

public enum MachineStatus: String, Sendable { case prelaunch, running, paused, shutdown }

extension Machine {
    func tell(_ event: MachineEvent) { eventHandler?(event) }

    /// `handler` is called with the machine's lock held: it must not block, nor call the machine. nil: nobody.
    public func onEvent(_ handler: (@Sendable (MachineEvent) -> Void)?) {
        lock.held { _ in eventHandler = handler }
    }

    public var runStatus: MachineStatus {
        lock.held { _ in
            if state.end != nil || state.pendingEnd != nil { return .shutdown }
            if !state.isStarted { return .prelaunch }
            return state.pauses.isEmpty ? .running : .paused
        }
    }

    /// Policies in the order of the chain, then the others in the order of the machine file.
    public func instanceSummaries() -> [InstanceSummary] {
        lock.held { _ in
            let others = instances.filter { instance in policies.place(of: instance) == nil }
            return (policies.chain + others).map { instance in
                let place = policies.place(of: instance)
                let own = policies.wants(of: instance).map {
                    WantSummary(
                        reason: $0.reason, first: $0.first, last: $0.last, decides: $0.decides, observes: $0.observes)
                }
                return InstanceSummary(
                    description: instance.description, values: instance.values, isOffline: instance.isOffline,
                    offlineReason: instance.offlineReason, place: place, wants: own)
            }
        }
    }

    public var engineName: String? { lock.held { _ in engine?.name } }
    /// Exits so far that policies or slow paths have numbered, by vCPU; since the last start of the process.
    public var policyExits: [UInt64] { lock.held { _ in vcpus.indices.map { exits.sequences[$0] } } }
    public var resetCount: UInt64 { lock.held { _ in state.resetCount } }
    /// How long vCPU 0 stood still for changes of its policies and the like.
    public var pauseTimes: PauseTimes { lock.held { _ in state.pauseTimes } }
    public var virtualTime: UInt64 { lock.held { _ in clock.now } }
    /// Virtual time that vCPU 0 has slept in HLT, in nanoseconds.
    public var haltedTime: UInt64 {
        lock.held { _ in state.haltedTime &+ (state.haltedSince.map { clock.now &- $0 } ?? 0) }
    }

    /// A method of an instance by its id, with arguments as text.
    public func invoke(_ method: String, _ arguments: [String], on id: String) throws(MethodError) -> MethodResult {
        try lock.held { (_) throws(MethodError) in
            guard state.end == nil, let instance = instance(named: id) else {
                throw MethodError("there is no instance '\(id)'")
            }
            defer { drain() }
            return try instance.invoke(method, arguments)
        }
    }

    // MARK: The CPU and memory, as an operator looks at them

    public func registers(vcpu: Int = 0) throws(MachineError) -> bp_registers {
        var registers = bp_registers()
        try onCPU(vcpu, "reading registers") { (cpu) throws(EngineError) in registers = try cpu.registers() }
        return registers
    }

    /// RAM and ROM by guest-physical address. Throws where any byte is not memory.
    public func readMemory(physical address: UInt64, count: Int) throws(MachineError) -> [UInt8] {
        guard count >= 0, count <= Machine.largestDump else { throw Machine.tooMuch }
        let bytes: [UInt8]? = lock.held { _ in piece(address, count) }
        guard let bytes else { throw MachineError("0x\(String(address, radix: 16)) is not memory") }
        return bytes
    }

    /// By linear address, through the guest's page tables.
    public func readMemory(linear address: UInt64, count: Int, vcpu: Int = 0) throws(MachineError) -> [UInt8] {
        guard count >= 0, count <= Machine.largestDump else { throw Machine.tooMuch }
        var result: [UInt8] = []
        try onCPU(vcpu, "reading memory") { [self] (cpu) in result = readLinear(address, count, cpu) }
        guard result.count == count else {
            throw MachineError("0x\(String(address &+ UInt64(result.count), radix: 16)) is not mapped to memory")
        }
        return result
    }
    private static let largestDump = 64 << 20
    private static let tooMuch = MachineError("at most 64 MiB can be read at once")

    private func piece(_ address: UInt64, _ count: Int) -> [UInt8]? {
        guard state.end == nil else { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        let status = bytes.withUnsafeMutableBytes { copy(address, $0.baseAddress, UInt64(count), toGuest: false) }
        return status == 0 ? bytes : nil
    }
}
