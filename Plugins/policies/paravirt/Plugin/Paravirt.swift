import HypercallInterface
import PluginKit

/// A hypercall interface for guests that know that they are one. `Hypercall` lists the calls. The last result belongs to a
/// snapshot.
final class Paravirt: Instance {
    static let definition = ClassDefinition.policy(
        "paravirt", summary: "hypercalls: console, clock, power off; KVM's clock for Linux",
        properties: [
            Property(
                "port", .port, default: "0x4250", bounds: 0...0xfff8,
                doc: "a hypercall by OUT of its number, eight ports for the result; 0: none"),
            Property(
                "vmcall", .bool, default: "off", doc: "hypercalls by VMCALL too, with the number and the result in RAX"),
            Property(
                "kvm-clock", .bool, default: "off",
                doc: "KVM's signature and clock, so that Linux uses them; needs an engine that delivers CPUID"),
        ],
        slots: [Slot("console", "stream/1", optional: true, doc: "where the guest's text goes; without it to the log")],
        methods: [Method("calls", result: .u64, doc: "hypercalls so far", function: callsMethod)],
        make: { (host, values) in Paravirt(host, values) })

    private let port: UInt16
    private let takesVMCALL: Bool
    private let isKVMClock: Bool
    private var console = StreamPeer.unwired
    private var line: [UInt8] = []
    fileprivate private(set) var calls: UInt64 = 0
    private var result: UInt64 = 0
    private var version: UInt32 = 0

    init(_ host: Host, _ values: Values) {
        port = values.port("port")
        takesVMCALL = values.bool("vmcall")
        isKVMClock = values.bool("kvm-clock")
        super.init(host)
    }

    override func connect() throws(PluginError) {
        let exits = try host.exits
        console = try host.stream("console")
        if port != 0 { try exits.want(BP_EXIT_IO, UInt64(port)...UInt64(port) + 7, [.decide, .required]) }
        if takesVMCALL { try exits.want(BP_EXIT_VMCALL, 0...UInt64.max, [.decide, .required]) }
        guard isKVMClock else { return }
        try exits.want(BP_EXIT_CPUID, KVMClock.leaves, [.decide, .required])
        try exits.want(BP_EXIT_WRMSR, KVMClock.wallClockMSR...KVMClock.systemTimeMSR, [.decide, .required])
        try exits.want(BP_EXIT_RDMSR, KVMClock.wallClockMSR...KVMClock.systemTimeMSR, [.decide, .required])
    }

    override func reset(warm: Bool) {
        result = 0
        line = []
    }

    override func decide(_ exit: inout bp_exit) -> Verdict {
        if exit.asksPower { return .continue }
        switch Int(exit.reason) {
        case BP_EXIT_IO: return accessPort(&exit)
        case BP_EXIT_VMCALL: return makeCall(exit)
        case BP_EXIT_CPUID:
            let leaf = KVMClock.leaf(exit.address)
            exit.value = UInt64(leaf.0)
            (exit.extra.1, exit.extra.2, exit.extra.3) = (UInt64(leaf.1), UInt64(leaf.2), UInt64(leaf.3))
            return .handled
        case BP_EXIT_WRMSR:
            setClock(exit.address, exit.value)
            return .handled
        case BP_EXIT_RDMSR:
            exit.value = 0
            return .handled
        default: return .continue
        }
    }

    // MARK: Hypercalls

    private func accessPort(_ exit: inout bp_exit) -> Verdict {
        let offset = exit.address &- UInt64(port)
        if exit.isWrite {
            guard offset == 0, let registers = try? host.cpu.registers(vcpu: exit.vcpu) else { return .handled }
            result = call(exit.value, registers, exit.vcpu)
        } else {
            exit.value = offset < 8 ? result >> (offset &* 8) : .max
        }
        return .handled
    }

    private func makeCall(_ exit: bp_exit) -> Verdict {
        guard let cpu = try? host.cpu, var registers = try? cpu.registers(vcpu: exit.vcpu) else { return .continue }
        registers.general.0 = call(registers.general.0, registers, exit.vcpu)
        try? cpu.setRegisters(registers, vcpu: exit.vcpu)
        return .handled
    }

    private func call(_ number: UInt64, _ registers: bp_registers, _ vcpu: UInt32) -> UInt64 {
        calls += 1
        switch Hypercall(rawValue: number) {
        case .identify: return Hypercall.identity
        case .write: return write(at: registers.general.3, count: registers.general.1, vcpu)
        case .clock: return (try? host.clock.now) ?? Hypercall.failure
        case .wallClock: return (try? host.world.wallClock.seconds).map { UInt64(bitPattern: $0) } ?? Hypercall.failure
        case .powerOff:
            let code = registers.general.3
            if code == 0 {
                (try? host.machine)?.powerOff()
            } else {
                (try? host.machine)?.stop(status: UInt32(truncatingIfNeeded: code & 0x7f) << 1 | 1)
            }
            return 0
        case nil: return Hypercall.failure
        }
    }

    private func write(at address: UInt64, count: UInt64, _ vcpu: UInt32) -> UInt64 {
        guard count <= Hypercall.longestWrite,
            let bytes = try? host.cpu.read(linear: address, count: Int(count), vcpu: vcpu)
        else { return Hypercall.failure }
        if console.isWired {
            bytes.withUnsafeBytes { console.write($0) }
        } else {
            for byte in bytes { put(byte) }
        }
        return count
    }

    /// Lines of the log, of at most 1024 bytes.
    private func put(_ byte: UInt8) {
        if byte != 0x0a { line.append(byte) }
        guard byte == 0x0a || line.count >= 1024 else { return }
        host.log(.info, String(decoding: line, as: UTF8.self))
        line = []
    }

    override func disconnect() { if !line.isEmpty { put(0x0a) } }

    // MARK: KVM's clock

    private func setClock(_ msr: UInt64, _ value: UInt64) {
        version &+= 2
        guard let memory = try? host.memory, let now = try? host.clock.now else { return }
        if msr == KVMClock.systemTimeMSR {
            guard let address = KVMClock.address(value) else { return }
            _ = memory.write(address, KVMClock.timeInfo(version: version, tsc: 0, now: 0))
        } else if let world = try? host.world {
            // The guest adds the system time: what it wants is UTC at the virtual time 0.
            let utc = world.wallClock
            let (total, overflow) = utc.seconds.multipliedReportingOverflow(by: 1_000_000_000)
            let begin = overflow ? 0 : max(0, total &+ Int64(utc.nanoseconds) &- Int64(clamping: now))
            _ = memory.write(
                value,
                KVMClock.wallClock(
                    version: version, seconds: UInt32(truncatingIfNeeded: begin / 1_000_000_000),
                    nanoseconds: UInt32(truncatingIfNeeded: begin % 1_000_000_000)))
        }
    }

    // MARK: Snapshot

    override func save(to state: StateWriter) throws(PluginError) { state.put("result", result) }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        result = try state.get("result")
    }
}

private let callsMethod: @convention(c) (UnsafeMutableRawPointer?) -> UInt64 = { instance($0, as: Paravirt.self).calls }

let library = Library(
    "paravirt", version: "1.0", summary: "hypercalls", needsMinor: 0, classes: [Paravirt.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
