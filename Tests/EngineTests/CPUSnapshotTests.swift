// A CPU's saved state: out of an engine and into it, or into the other one. Source of what is pending: SDM volume 3, 6.7, 6.8.3, 25.4.2, 26.6.

import CBackplane
import CHost
import Testing

@testable import Core

@Suite(.serialized) struct CPUSnapshotTests {
    static let rounds = 40
    /// What KVM has no place for.
    static let notKVMs: Set<String> = ["fpu.instruction_selector", "fpu.data_selector"]

    private static func random(_ mode: SnapshotMode, _ seed: Int, _ machine: WitnessMachine) throws -> CPUSnapshot {
        var random = WitnessRandom(seed: UInt64(seed) &* 7919 &+ 17)
        try machine.cpu.reset()
        return CPUSnapshot.random(mode, powerOn: try machine.cpu.snapshot(), &random)
    }

    /// False: this KVM has no such mode, which a line says.
    private static func has(_ mode: SnapshotMode, _ kind: EngineKind) throws -> Bool {
        guard kind == .kvm else { return true }
        let machine = try WitnessMachine(.kvm)
        defer { machine.stop() }
        do throws(EngineError) {
            try machine.cpu.setRegisters(mode.registers(try machine.cpu.registers()))
            return true
        } catch {
            print("snapshot: this KVM has no mode '\(mode)': \(error)")
            return false
        }
    }

    // MARK: Round trips

    @Test(arguments: EngineKind.here, SnapshotMode.allCases)
    func aSavedStateIsLoadedIntoAnotherCPUAsItWas(kind: EngineKind, mode: SnapshotMode) throws {
        guard try Self.has(mode, kind) else { return }
        let (first, second) = (try WitnessMachine(kind), try WitnessMachine(kind))
        defer {
            first.stop()
            second.stop()
        }
        for seed in 0..<Self.rounds {
            let wanted = CPUStateFormat.encode(try Self.random(mode, seed, first))
            try first.cpu.load(wanted)
            let saved = try first.cpu.save()
            #expect(wanted.differences(to: saved) == [], "\(mode) \(seed), as loaded")
            // The other one was something else before.
            try second.cpu.load(CPUStateFormat.encode(try Self.random(.flat, seed + 1000, second)))
            try second.cpu.load(saved)
            #expect(saved.differences(to: try second.cpu.save()) == [], "\(mode) \(seed), in the other")
        }
    }

    @Test(.enabled(if: kvmIsHere, needsKVM), arguments: SnapshotMode.allCases)
    func aStateGoesFromSoftwareToKVMAndBack(mode: SnapshotMode) throws {
        guard try Self.has(mode, .kvm) else { return }
        let (soft, kvm) = (try WitnessMachine(.soft), try WitnessMachine(.kvm))
        defer {
            soft.stop()
            kvm.stop()
        }
        for seed in 0..<Self.rounds {
            try soft.cpu.load(CPUStateFormat.encode(try Self.random(mode, seed, soft)))
            let there = try soft.cpu.save()
            try kvm.cpu.load(there)
            let between = try kvm.cpu.save()
            #expect(there.differences(to: between, except: Self.notKVMs) == [], "\(mode) \(seed)")
            try soft.cpu.reset()
            try soft.cpu.load(between)
            #expect(there.differences(to: try soft.cpu.save(), except: Self.notKVMs) == [], "\(mode) \(seed)")
        }
    }

    /// Stopped in software after some instructions, saved with its memory, and run to its end by KVM and in software.
    @Test(.enabled(if: kvmIsHere, needsKVM), arguments: WitnessMode.allCases)
    func bothEnginesGoOnAlikeFromTheMiddleOfAProgram(mode: WitnessMode) throws {
        let (soft, kvm) = (try WitnessMachine(.soft), try WitnessMachine(.kvm))
        defer {
            soft.stop()
            kvm.stop()
        }
        guard (try? kvm.cpu.setRegisters(mode.registers(try kvm.cpu.registers()))) != nil else {
            print("snapshot: this KVM has no mode '\(mode)'")
            return
        }
        let image = WitnessImage(mode)
        var comparison = WitnessComparison()
        for number in 0..<100 {
            let one = WitnessCase(mode, image, seed: 0x5eed_0000 &+ UInt64(number))
            try soft.prepare(one.image.bytes, mode.registers(try soft.powerOn()))
            guard try soft.run(instructions: UInt64(number % 5)) else { continue }
            let state = try soft.cpu.save()
            kvm.copyMemory(of: soft)
            do throws(EngineError) { try kvm.cpu.load(state) } catch {
                // Traps behind MOV SS, and what the CPUs do not have in common.
                Issue.record("\(one.description): \(error)")
                continue
            }
            try KVMHost.prepareTask(kvm.cpu)
            let (a, b) = (try kvm.go(), try soft.go())
            comparison.add(one, a, b, kvm, soft)
        }
        let (compared, differences) = (comparison.compared, comparison.differences)
        #expect(differences.isEmpty, "\(differences.count):\n\(differences.prefix(10).joined(separator: "\n"))")
        #expect(compared > 10, "\(mode): only \(compared) could be compared")
    }

    // MARK: What is pending

    /// Real mode; each vector's handler pushes its number, twice for that of NMI, and halts.
    private static func machine(_ kind: EngineKind, _ code: [UInt8]) throws -> (WitnessMachine, CPUSnapshot) {
        let machine = try WitnessMachine(kind)
        var image = WitnessImage(.real)
        image.put(Image.code, code)
        try machine.prepare(image.bytes, WitnessMode.real.registers(try machine.powerOn()))
        return (machine, try machine.cpu.snapshot())
    }

    /// A KVM that emulates supervisor code looks for interrupts some instructions later.
    static let prompt = EngineKind.here.filter { $0 != .kvm || KVMHost.runsSupervisorCode }

    private static func handler(_ vector: Int) -> UInt64 { UInt64(Image.handlers + vector * 16 + 3) }

    @Test(arguments: EngineKind.here) func anEventUnderDeliveryComesBeforeTheNextInstruction(kind: EngineKind) throws {
        // inc bx; hlt
        for event in [CPUSnapshot.Event(.external, 0x23), .init(.nmi, 2), .init(.exception, 6)] {
            var (machine, all) = try Self.machine(kind, [0x43, 0xf4])
            defer { machine.stop() }
            all.registers.rflags |= 0x200
            all.registers.general.3 = 7
            all.pending.event = event
            try machine.cpu.load(CPUStateFormat.encode(all))
            let end = try machine.go()
            #expect(end.kind == .halted && end.registers.rip == Self.handler(Int(event.vector) & 31), "\(event)")
            #expect(end.registers.general.3 == 7)
            // IP, CS and FLAGS are below the handler's number.
            let stack = machine.ram.load(fromByteOffset: Image.stack - 6, as: UInt16.self)
            #expect(Int(stack) == Image.code)
            let isBlocked = try machine.cpu.snapshot().pending.isNMIBlocked
            #expect(isBlocked == (event.kind == .nmi))
        }
    }

    @Test(arguments: prompt) func aBlockedNMIWaitsForIRET(kind: EngineKind) throws {
        // inc bx; iret
        var (machine, all) = try Self.machine(kind, [0x43, 0xcf])
        defer { machine.stop() }
        (all.pending.isNMIBlocked, all.pending.isNMIPending) = (true, true)
        all.registers.general.3 = 7
        let frame = UInt64(Image.arrivals) | 2 << 32
        machine.ram.storeBytes(of: frame, toByteOffset: Image.stack, as: UInt64.self)
        try machine.cpu.load(CPUStateFormat.encode(all))
        let end = try machine.go()
        #expect(end.registers.rip == Self.handler(2) && end.registers.general.3 == 8)
    }

    /// SDM volume 3, 6.8.1: the interrupt comes behind the instruction that follows STI.
    @Test(arguments: prompt) func anInterruptWaitsForTheShadowThatWasSaved(kind: EngineKind) throws {
        for (shadow, count) in [(.none, 7), (.sti, 8), (.movSS, 8)] as [(CPUSnapshot.Pending.Shadow, UInt64)] {
            // inc bx; inc bx; hlt
            var (machine, all) = try Self.machine(kind, [0x43, 0x43, 0xf4])
            defer { machine.stop() }
            machine.exits.onAcknowledge = {
                machine.exits.clear(ch_interrupt_bit)
                return 0x24
            }
            all.registers.general.3 = 7
            all.registers.rflags |= 0x200
            all.pending.shadow = shadow
            try machine.cpu.load(CPUStateFormat.encode(all))
            machine.exits.set(ch_interrupt_bit)
            let end = try machine.go()
            #expect(end.registers.rip == Self.handler(4) && end.registers.general.3 == count, "\(shadow)")
        }
    }

    @Test(arguments: EngineKind.here) func haltIsHaltStillAndEndsBehindIt(kind: EngineKind) throws {
        // hlt; inc bx; hlt
        let (machine, _) = try Self.machine(kind, [0xf4, 0x43, 0xf4])
        let (other, _) = try Self.machine(kind, [0xf4, 0x43, 0xf4])
        defer {
            machine.stop()
            other.stop()
        }
        #expect(try machine.go().kind == .halted)
        let saved = try machine.cpu.save()
        #expect(saved.fields["activity"]?.content == .unsigned(1))
        try other.cpu.load(saved)
        guard case .halted(false, let rip) = other.cpu.run(), rip == UInt64(Image.code + 1) else {
            Issue.record("it does not come back as halted")
            return
        }
        #expect(saved.differences(to: try other.cpu.save()) == [])
        let before = try other.cpu.registers().general.3
        #expect(try other.go().registers.general.3 == before + 1)
        #expect(try other.cpu.registers().rip == UInt64(Image.code + 3))
    }

    /// SDM volume 3, 17.3.2: #DB as a trap, BS in DR6.
    @Test(arguments: EngineKind.here) func aDebugTrapThatWaitsIsDelivered(kind: EngineKind) throws {
        var (machine, all) = try Self.machine(kind, [0x43, 0xf4])
        defer { machine.stop() }
        all.pending.debugTraps = 1 << 14
        try machine.cpu.load(CPUStateFormat.encode(all))
        let end = try machine.go()
        #expect(end.registers.rip == Self.handler(1) && end.registers.dr.6 & 0xe00f == 1 << 14)
    }

    // MARK: What is refused

    struct Flaw: Sendable, CustomTestStringConvertible {
        var words: String
        var change: @Sendable (inout [String: StateBuffer.Field]) -> Void
        init(_ words: String, _ change: @escaping @Sendable (inout [String: StateBuffer.Field]) -> Void) {
            (self.words, self.change) = (words, change)
        }
        init(_ words: String, _ name: String, _ value: UInt64) {
            self.init(words) { $0[name] = .init(content: .unsigned(value)) }
        }
        init(_ words: String, _ name: String, _ bytes: [UInt8]) {
            self.init(words) { $0[name] = .init(content: .bytes(bytes)) }
        }
        var testDescription: String { words }
    }

    static let flaws: [Flaw] = [
        .init("'rip' is missing") { $0["rip"] = nil },
        .init("'tsc' is missing") { $0["tsc"] = nil },
        .init("'rax' is no number", "rax", [1, 2]),
        .init("'xmm' has 255 bytes", "xmm", [UInt8](repeating: 0, count: 255)),
        .init("'xmm' is a number", "xmm", 5),
        .init("'fpu.registers' has 0 bytes", "fpu.registers", []),
        .init("'cs.selector' is 0x10000: more than 16 bits", "cs.selector", 0x10000),
        .init("'pi' is unknown", "pi", 3),
        .init("'msr.c0000080' is unknown", "msr.c0000080", 0x500),
        .init("'msr.174' is unknown", "msr.174", 8),
        .init("'activity' is 2", "activity", 2),
        .init("'interrupt_shadow' is 3", "interrupt_shadow", 3),
        .init("'nmi_blocked' is 256", "nmi_blocked", 256),
        .init("'event' is of no kind", "event", 0x8000_0420),
        .init("'event' has bits beside", "event", 0x20),
        .init("'event_error_code' is missing", "event", 0x8000_0b0d),
        .init("event is an interrupt with RFLAGS.IF clear", "event", 0x8000_0020),
        .init("event is an exception of vector 32", "event", 0x8000_0320),
        .init("event of vector 13 lacks its error code", "event", 0x8000_030d),
        .init("event is an NMI of vector 3", "event", 0x8000_0203),
        .init("pending_debug 0x2000 has bits", "pending_debug", 0x2000),
        .init("interrupt_shadow is STI's with RFLAGS.IF clear", "interrupt_shadow", 1),
        .init("fpu.opcode 0x800 has more than 11 bits", "fpu.opcode", 0x800),
        .init("mxcsr 0x10000 has reserved bits", "mxcsr", 0x10000),
        .init("xcr0 0x2 is without x87", "xcr0", 2),
        .init("CR0 0x80000010 has PG without PE", "cr0", 0x8000_0010),
        .init("RFLAGS 0x8002 has reserved bits", "rflags", 0x8002),
        .init("msr.00001234 0x1 is nothing that this CPU can hold", "msr.00001234", 1),
        .init("apic_base", "apic_base", 0xfee0_0800),
    ]

    @Test(arguments: EngineKind.here, flaws) func whatNoCPUCanHoldIsNamedAndChangesNothing(
        kind: EngineKind, flaw: Flaw
    ) throws {
        let machine = try WitnessMachine(kind)
        defer { machine.stop() }
        try machine.cpu.setRegisters(WitnessMode.flat.registers(try machine.powerOn()))
        let before = try machine.cpu.save()
        var fields = before.fields
        fields["rbx"] = .init(content: .unsigned(0x1234_5678))
        fields["lstar"] = .init(content: .unsigned(0x4321))
        flaw.change(&fields)
        do throws(EngineError) {
            try machine.cpu.load(StateBuffer(version: before.version, fields: fields))
            Issue.record("it is taken")
        } catch {
            #expect(error.description.contains(flaw.words), "\(error)")
        }
        #expect(before.differences(to: try machine.cpu.save()) == [])
    }

    @Test func anotherVersionIsRefusedAndAnOptionalFieldPassedOver() throws {
        let machine = try WitnessMachine(.soft)
        defer { machine.stop() }
        let good = try machine.cpu.save()
        #expect(throws: EngineError.self) {
            try machine.cpu.load(StateBuffer(version: good.version + 1, fields: good.fields))
        }
        var fields = good.fields
        fields["later"] = .init(content: .unsigned(1), isOptional: true)
        try machine.cpu.load(StateBuffer(version: good.version, fields: fields))
        #expect(good.differences(to: try machine.cpu.save()) == [])
    }

    /// Each field in turn is noise: refused without a change, or taken, and then what is saved is legal and the CPU runs or says why not.
    @Test(arguments: EngineKind.here, [SnapshotMode.real, .flat, .long, .virtual8086])
    func hostileFieldsAreRefusedOrLegal(kind: EngineKind, mode: SnapshotMode) throws {
        guard try Self.has(mode, kind) else { return }
        let machine = try WitnessMachine(kind)
        defer { machine.stop() }
        var random = WitnessRandom(seed: WitnessTests.seed &+ 99)
        let good = CPUStateFormat.encode(try Self.random(mode, 1, machine))
        var (refused, taken) = (0, 0)
        for round in 0..<(kind == .kvm ? 600 : 4000) {
            try machine.prepare(WitnessImage(mode.witness).bytes, WitnessMode.real.registers(try machine.powerOn()))
            try machine.cpu.load(good)
            let before = try machine.cpu.save()
            var fields = good.fields
            for _ in 0..<(round % 3 == 0 ? 4 : 1) { Self.spoil(&fields, &random) }
            // There is a KVM (PVM) that cannot hold CR0.PG outside of long mode, and is broken by the attempt.
            if kind == .kvm { fields["cr0"] = good.fields["cr0"] }
            do throws(EngineError) {
                try machine.cpu.load(StateBuffer(version: good.version, fields: fields))
            } catch {
                refused += 1
                #expect(before.differences(to: try machine.cpu.save()) == [], "\(error)")
                continue
            }
            taken += 1
            let all = try CPUStateFormat.decode(try machine.cpu.save())
            #expect(all.brokenRule == nil)
            if kind == .kvm { continue }
            try machine.run(instructions: 50)
        }
        #expect(refused > 100 && taken > 50, "\(refused) refused, \(taken) taken")
    }

    private static func spoil(_ fields: inout [String: StateBuffer.Field], _ random: inout WitnessRandom) {
        let name = random.pick(fields.keys.sorted())
        if random.chance(5) { return fields[name] = nil }
        switch fields[name]?.content {
        case .unsigned(let value)?:
            let noise = random.next()
            let new = random.pick([
                noise, noise >> 32, noise >> 48, noise >> 60, value ^ 1 << (noise & 63), value ^ 1 << (noise & 15),
                .max, 0, 1 << 31,
            ])
            fields[name] = .init(content: .unsigned(new))
        case .bytes(var bytes)?:
            if random.chance(20) {
                bytes = random.chance(50) ? [] : bytes + [1]
            } else if !bytes.isEmpty {
                bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            fields[name] = .init(content: .bytes(bytes))
        case nil: break
        }
    }
}
