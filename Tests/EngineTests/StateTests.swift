import CBackplane
import CHost
import Core
import Testing

@testable import EngineKVM

struct StateTests {
    // MARK: Reset

    /// SDM volume 3, table 11-1.
    @Test(arguments: EngineKind.here) func resetIsTheStateOfThePowerOnTable(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.memory64, .long, engine)
        try bench.runToHalt()
        try bench.cpu.reset()
        let state = try bench.cpu.registers()
        #expect(state.cs.selector == 0xf000 && state.cs.base == 0xffff_0000 && state.cs.limit == 0xffff)
        #expect(state.rip == 0xfff0 && state.rflags == 2)
        #expect(state.cr0 == 0x6000_0010 && state.cr3 == 0 && state.cr4 == 0 && state.efer == 0)
        #expect(state.ds.base == 0 && state.ds.limit == 0xffff && state.ss.attributes & 0xff == 0x93)
        #expect(state.idtr_limit == 0xffff && state.gdtr_limit == 0xffff)
        #expect(state.dr.6 == 0xffff_0ff0 && state.dr.7 == 0x400)
        #expect(state.general.0 == 0 && state.general.2 >> 8 & 15 >= 6)
    }

    @Test(arguments: EngineKind.here) func guestStartsAgainAfterAResetOutOfLongMode(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.memory64, .long, engine)
        let rom = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { rom.deallocate() }
        rom.initializeMemory(as: UInt8.self, repeating: 0x90, count: 4096)
        rom.storeBytes(of: 0xf4, toByteOffset: 0xff5, as: UInt8.self)
        let ram = MappedMemory(address: 0, length: UInt64(GuestBench.ramBytes), host: bench.ram, isReadOnly: false)
        try bench.engine.setMemory([ram, .init(address: 0xffff_f000, length: 4096, host: rom, isReadOnly: true)])
        for _ in 0..<3 {
            try bench.runToHalt()
            try bench.cpu.reset()
            guard case .halted(false, 0xfff6) = bench.cpu.run() else {
                Issue.record("not halted in the ROM")
                return
            }
            var state = try bench.cpu.registers()
            bench.enter(.long, &state)
            state.rip = 0x1000
            try bench.cpu.setRegisters(state)
        }
    }

    // MARK: Registers

    @Test(arguments: [GuestBench.Mode.real, .protected, .long], EngineKind.here) func registersComeBackAsSet(
        mode: GuestBench.Mode, engine: EngineKind
    ) throws {
        let bench = try GuestBench([0xf4], mode, engine)
        var state = try bench.cpu.registers()
        state.general = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
        state.rflags = 0x8d7
        state.cr2 = 0x1234_5000
        state.cr8 = 5
        state.fs.base = 0x12_3450
        state.dr.0 = 0x4000
        state.dr.7 = 0x401
        state.idtr_base = 0x7000
        try bench.cpu.setRegisters(state)
        let back = try bench.cpu.registers()
        let differences = withUnsafeBytes(of: state) { a in
            withUnsafeBytes(of: back) { b in (0..<a.count).filter { a[$0] != b[$0] } }
        }
        #expect(differences == [])
    }

    @Test(arguments: EngineKind.here) func registersOfARunningGuestAreAcceptedAgain(engine: EngineKind) throws {
        for (guest, mode) in [
            (Guests.ports16, GuestBench.Mode.real), (Guests.memory32, .protected), (Guests.memory64, .long),
        ] {
            let bench = try GuestBench(guest, mode, engine)
            try bench.runToHalt()
            try bench.cpu.setRegisters(bench.cpu.registers())
        }
    }

    /// A state that KVM alone would refuse is an error too, and leaves the old one.
    @Test(arguments: EngineKind.here) func stateThatNoCPUHasIsRefused(engine: EngineKind) throws {
        let bench = try GuestBench([0xf4], .protected, engine)
        var state = try bench.cpu.registers()
        state.cr0 = 0x8000_0010
        #expect(throws: EngineError.self) { try bench.cpu.setRegisters(state) }
        #expect(try bench.cpu.registers().cr0 == 0x11)
    }

    /// Noise never traps: refused or taken, and then the CPU still runs or says why not.
    @Test(arguments: EngineKind.here) func noiseInRegistersIsRefusedOrTaken(engine: EngineKind) throws {
        let bench = try GuestBench([0xf4], .protected, engine)
        let good = try bench.cpu.registers()
        var random = SystemRandomNumberGenerator()
        var refused = 0
        for round in 0..<2000 {
            var state = good
            withUnsafeMutableBytes(of: &state) { bytes in
                let fields = round % 2 == 0 ? 1 : 64
                for _ in 0..<fields {
                    bytes[Int.random(in: 8..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
            }
            // There is a KVM (PVM) that cannot hold CR0.PG outside of long mode, and is broken by the attempt.
            if engine == .kvm { state.cr0 &= ~0x8000_0000 }
            do {
                try bench.cpu.setRegisters(state)
            } catch {
                refused += 1
            }
            try bench.cpu.setRegisters(good)
            let end = bench.cpu.run()
            guard case .halted = end else {
                Issue.record("\(end) after \(state.text)")
                return
            }
        }
        #expect(refused > 500)
    }

    // MARK: Address translation

    @Test(arguments: EngineKind.here) func translationFollowsTheGuestsTables(engine: EngineKind) throws {
        let bench = try GuestBench([0xf4], .long, engine)
        bench.ram.storeBytes(of: 0x20_0083, toByteOffset: 0x4000 + 8, as: UInt64.self)
        bench.ram.storeBytes(of: 0, toByteOffset: 0x4000 + 16, as: UInt64.self)
        #expect(try bench.cpu.translate(0x1234) == 0x1234)
        #expect(try bench.cpu.translate(0x20_0010) == 0x20_0010)
        #expect(try bench.cpu.translate(0x40_0000) == nil)
    }

}
