import CBackplane
import CHost
import Core
import Testing

@testable import EngineKVM
import EngineSoft

/// Why tests of KVM alone are skipped, if they are.
let kvmIsHere: Bool = if case .success = KVMEngine.isAvailable() { true } else { false }
let needsKVM: Comment = "/dev/kvm is absent or cannot be opened: the KVM engine's tests need it"

/// The engines that a test runs on, one after the other.
enum EngineKind: CaseIterable, Sendable {
    case kvm, soft
    /// Each instruction is a block of its own: what lies at the edges of blocks is met at every instruction.
    case softByInstruction

    /// Those that this host has; in a box KVM alone, since the others are the same outside.
    static let here: [EngineKind] =
        kvmIsHere ? (KVMHost.box == nil ? allCases : [.kvm]) : [.soft, .softByInstruction]

    func make() throws -> any Engine {
        switch self {
        case .kvm: return try KVMEngine(cpuCount: 1)
        case .soft: return SoftEngine()
        case .softByInstruction:
            var options = SoftOptions()
            options.singleStepsAlways = true
            return SoftEngine(options: options)
        }
    }
}

/// 640 KiB of RAM at 0, a guest at 0x1000, and what its exits do as closures. Nothing else answers.
final class GuestBench: @unchecked Sendable {
    enum Mode { case real, protected, long }

    let exits: TestExits
    let engine: any Engine
    let cpu: any CPU
    let ram: UnsafeMutableRawPointer
    static let ramBytes = 0xa0000

    init(_ code: [UInt8], _ mode: Mode, _ kind: EngineKind) throws {
        ram = .allocate(byteCount: Self.ramBytes, alignment: 4096)
        ram.initializeMemory(as: UInt8.self, repeating: 0, count: Self.ramBytes)
        exits = try TestExits()
        engine = try kind.make()
        try engine.setMemory([.init(address: 0, length: UInt64(Self.ramBytes), host: ram, isReadOnly: false)])
        cpu = try engine.makeCPU(exits.vcpu)
        store(code, at: 0x1000)
        var state = try cpu.registers()
        enter(mode, &state)
        state.rip = 0x1000
        try cpu.setRegisters(state)
    }

    deinit { ram.deallocate() }

    /// What only KVM's own tests look into.
    var kvm: KVMCPU {
        get throws { try #require(cpu as? KVMCPU) }
    }

    // MARK: Memory

    func store(_ bytes: [UInt8], at address: Int) {
        ram.advanced(by: address).copyMemory(from: bytes, byteCount: bytes.count)
    }
    func word32(_ address: Int) -> UInt32 { ram.loadUnaligned(fromByteOffset: address, as: UInt32.self) }
    func word64(_ address: Int) -> UInt64 { ram.loadUnaligned(fromByteOffset: address, as: UInt64.self) }
    private func store64(_ value: UInt64, at address: Int) {
        ram.storeBytes(of: value, toByteOffset: address, as: UInt64.self)
    }

    // MARK: Modes

    func enter(_ mode: Mode, _ state: inout bp_registers) {
        func flat(_ selector: UInt16, _ attributes: UInt16) -> bp_segment {
            .init(base: 0, limit: 0xffff_ffff, selector: selector, attributes: attributes)
        }
        if mode == .real {
            state.cs.base = 0
            state.cs.selector = 0
            return
        }
        // GDT at 0x500: null, 32-bit code, data, 64-bit code
        store64(0x00cf_9b00_0000_ffff, at: 0x508)
        store64(0x00cf_9300_0000_ffff, at: 0x510)
        store64(0x00af_9b00_0000_ffff, at: 0x518)
        state.gdtr_base = 0x500
        state.gdtr_limit = 0x1f
        state.cs = mode == .long ? flat(0x18, 0xa09b) : flat(8, 0xc09b)
        state.ds = flat(0x10, 0xc093)
        (state.es, state.ss, state.fs, state.gs) = (state.ds, state.ds, state.ds, state.ds)
        state.cr0 = 0x11
        guard mode == .long else { return }
        // The first GiB as it is, in pages of 2 MiB: PML4 at 0x2000, PDPT at 0x3000, PD at 0x4000
        store64(0x3003, at: 0x2000)
        store64(0x4003, at: 0x3000)
        for page in 0..<512 { store64(UInt64(page) << 21 | 0x83, at: 0x4000 + page * 8) }
        state.cr3 = 0x2000
        state.cr4 = 0x20
        state.efer = 0x500
        state.cr0 = 0x8000_0011
    }

    /// Real mode: every vector goes to `handler`, at 0x5000. (There are KVMs that do not emulate IRET in protected
    /// mode.)
    func installInterrupts(handler: [UInt8]) {
        store(handler, at: 0x5000)
        for vector in 0..<256 { ram.storeBytes(of: 0x5000, toByteOffset: vector * 4, as: UInt32.self) }
    }

    // MARK: Running

    /// Asks for these exits, all addresses, or those given.
    func intercept(_ reasons: Int..., first: UInt64 = 0, last: UInt64 = .max) throws {
        exits.want(reasons)
        try engine.setIntercepts(
            Intercepts(ranges: reasons.map { .init(reason: UInt16($0), first: first, last: last) }))
    }

    /// Runs to a HLT; anything else is a failure.
    func runToHalt() throws {
        let end = cpu.run()
        guard case .halted = end else { throw UnexpectedEnd(end: end) }
    }

    struct UnexpectedEnd: Error, CustomStringConvertible {
        var end: RunEnd
        var description: String { if case .failed(let error) = end { error.description } else { "\(end)" } }
    }
}
