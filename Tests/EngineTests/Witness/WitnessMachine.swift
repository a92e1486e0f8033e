// One image of memory and one state of registers, run on an engine until it halts.

import CBackplane
import CHost
import Core
import Glibc
import Testing

/// Where things are in the image; RAM ends at `length`.
enum Image {
    static let length = 0x40000
    static let code = 0x1000, gdt = 0x2000, ldt = 0x2400, idt = 0x3000
    /// Task states: the current one, two of 32 bits, one of 16; in long mode the first has the stacks of 64 bits.
    static let task = 0x4000, otherTask = 0x4100, thirdTask = 0x4200, smallTask = 0x4300
    /// For each vector a handler that pushes its number and halts; behind them, code for transfers.
    static let handlers = 0x5000, arrivals = 0x5800
    static let stack = 0x6f00, innerStack = 0x7f00, userStack = 0x8f00
    static let data = 0x9000
    static let directory = 0x10000, table = 0x11000, longTables = 0x12000
    /// Sixteen pages whose entries have different rights.
    static let rights = 0x20000
}

/// What a run leaves.
struct WitnessEnd {
    enum Kind: Equatable { case halted, shutdown, endless, failed(String) }
    var kind: Kind
    var registers: bp_registers
}

final class WitnessMachine: @unchecked Sendable {
    let exits: TestExits
    let engine: any Engine
    let cpu: any CPU
    /// SAFETY: `Image.length` bytes, for the life of the machine.
    let ram: UnsafeMutableRawPointer
    private let watch: Watch

    init(_ kind: EngineKind) throws {
        ram = .allocate(byteCount: Image.length, alignment: 4096)
        ram.initializeMemory(as: UInt8.self, repeating: 0, count: Image.length)
        exits = try TestExits()
        exits.want([])
        engine = try kind.make()
        try engine.setMemory([.init(address: 0, length: UInt64(Image.length), host: ram, isReadOnly: false)])
        cpu = try engine.makeCPU(exits.vcpu)
        watch = Watch(exits, cpu)
    }

    /// Nothing runs any more.
    func stop() { watch.stop() }

    deinit { ram.deallocate() }

    func powerOn() throws -> bp_registers {
        try cpu.reset()
        return try cpu.registers()
    }

    /// Until HLT, a shutdown, or a quarter of a second.
    func run(_ image: [UInt8], _ state: bp_registers) throws -> WitnessEnd {
        try prepare(image, state)
        return try go()
    }

    func prepare(_ image: [UInt8], _ state: bp_registers) throws {
        ram.copyMemory(from: image, byteCount: image.count)
        codeChanged()
        try cpu.reset()
        try cpu.setRegisters(state)
        try KVMHost.prepareTask(cpu)
    }

    func copyMemory(of other: WitnessMachine) {
        ram.copyMemory(from: other.ram, byteCount: Image.length)
        codeChanged()
    }

    private func codeChanged() {
        exits.vcpu.exits.pageFlags.forEach(PageFlags.code, from: 0, length: UInt64(Image.length)) {
            engine.didWriteCode(page: $0)
        }
    }

    /// From where it is.
    func go() throws -> WitnessEnd {
        exits.clear(ch_leave_bit)
        watch.arm()
        let end = cpu.run()
        watch.disarm()
        let kind: WitnessEnd.Kind
        switch end {
        case .halted: kind = .halted
        case .shutdown: kind = .shutdown
        case .attention, .debug: kind = .endless
        case .failed(let error): kind = .failed(error.description)
        }
        return WitnessEnd(kind: kind, registers: try cpu.registers())
    }

    /// So many, in software. False: something has ended the run before, or at the last one.
    @discardableResult
    func run(instructions: UInt64) throws -> Bool {
        let counted = try #require(cpu as? any CountedCPU)
        exits.clear(ch_leave_bit)
        counted.setDeadline(ch_load64(exits.vcpu.retired) + instructions)
        watch.arm()
        let end = cpu.run()
        watch.disarm()
        counted.setDeadline(.max)
        guard case .attention = end else { return false }
        return true
    }
}

/// Kicks a CPU that has not come back after a quarter of a second.
private final class Watch: @unchecked Sendable {
    private let exits: TestExits
    private let cpu: any CPU
    // SAFETY: shared with the thread, which lives until `stop`.
    private let word = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    private static let over: UInt64 = .max
    private var thread: OnThread?

    init(_ exits: TestExits, _ cpu: any CPU) {
        self.exits = exits
        self.cpu = cpu
        word.initialize(to: 0)
        thread = OnThread { [unowned self] in
            while true {
                usleep(20_000)
                let due = ch_load64(word)
                if due == Watch.over { return true }
                guard due != 0, ch_monotonic() >= due else { continue }
                self.exits.set(ch_leave_bit)
                self.cpu.kick()
            }
        }
    }

    func arm() { ch_store64(word, ch_monotonic() + 250_000_000) }
    func disarm() { ch_store64(word, 0) }

    func stop() {
        ch_store64(word, Watch.over)
        _ = thread?.join()
        thread = nil
        word.deallocate()
    }
}
