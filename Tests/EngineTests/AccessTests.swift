import CBackplane
import Core
import Testing

@testable import EngineKVM

struct AccessTests {
    @Test(arguments: EngineKind.here) func portsAreReadAndWrittenAtEachWidth(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.ports16, .real, engine)
        var writes: [[UInt64]] = []
        var reads: [[UInt64]] = []
        bench.exits.onPortWrite = { writes.append([UInt64($0), UInt64($1), $2]) }
        bench.exits.onPortRead = {
            reads.append([UInt64($0), UInt64($1)])
            return 0xa1b2_c3d4_e5f6_0718
        }
        try bench.runToHalt()
        #expect(writes == [[0x340, 1, 0x44], [0x340, 2, 0x3344], [0x340, 4, 0x1122_3344], [0x80, 1, 0x18]])
        #expect(reads == [[0x340, 1], [0x340, 2], [0x340, 4]])
        #expect([bench.word32(0x700), bench.word32(0x704), bench.word32(0x708)] == [0x18, 0x0718, 0xe5f6_0718])
    }

    @Test(arguments: EngineKind.here) func stringInstructionsMoveEveryElementInOrder(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.strings16, .real, engine)
        bench.store([1, 2, 3, 4, 5, 6], at: 0x700)
        var written: [UInt8] = []
        var next: UInt16 = 0
        bench.exits.onPortWrite = { _, width, value in
            for byte in 0..<UInt64(width) { written.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
        }
        bench.exits.onPortRead = { _, _ in
            defer { next += 1 }
            return UInt64(0x8000 | next)
        }
        try bench.runToHalt()
        #expect(written == [1, 2, 3, 4, 5, 6])
        #expect(next == 256)
        let words = (0..<256).map { bench.ram.loadUnaligned(fromByteOffset: 0x800 + 2 * $0, as: UInt16.self) }
        #expect(words == (0..<256).map { 0x8000 | UInt16($0) })
    }

    /// What a sector costs: KVM hands over chunks, and the engine passes them on whole.
    @Test(arguments: EngineKind.here) func stringInputComesInChunks(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.strings16, .real, engine)
        var chunks: [Int] = []
        bench.exits.onPortReadString = { _, _, count, bytes in
            chunks.append(count)
            bytes.initializeMemory(as: UInt8.self, repeating: 0x5a, count: count * 2)
        }
        try bench.runToHalt()
        #expect(chunks.reduce(0, +) == 256)
        #expect(chunks.count <= 16)
        #expect(bench.word64(0x800) == 0x5a5a_5a5a_5a5a_5a5a && bench.word64(0x9f8) == 0x5a5a_5a5a_5a5a_5a5a)
    }

    @Test(arguments: EngineKind.here) func memoryWithoutRAMIsReadAndWrittenAtEachWidth(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.memory32, .protected, engine)
        bench.store([0x34, 0x12], at: 0x9fffe)
        var writes: [[UInt64]] = []
        bench.exits.onMemoryWrite = { writes.append([$0, UInt64($1), $2]) }
        bench.exits.onMemoryRead = { address, width in
            address == 0xd0010 ? 0x7f : address == 0xa0000 ? 0x5678 : 0xa1b2_c3d4
        }
        try bench.runToHalt()
        #expect(
            writes == [
                [0xd0000, 1, 0x44], [0xd0002, 2, 0x3344], [0xd0004, 4, 0x1122_3344], [0xd0010, 1, 0x80],
            ])
        #expect(bench.word32(0x700) == 0xa1b2_c3d4)
        #expect(bench.word32(0x704) == 0x5678_1234)
    }

    @Test(arguments: EngineKind.here) func eightBytesAreOneAccessInLongMode(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.memory64, .long, engine)
        var writes: [[UInt64]] = []
        bench.exits.onMemoryWrite = { writes.append([$0, UInt64($1), $2]) }
        bench.exits.onMemoryRead = { _, width in width == 8 ? 0x0123_4567_89ab_cdef : 0 }
        try bench.runToHalt()
        #expect(writes == [[0xd0000, 8, 0x1122_3344_5566_7788]])
        #expect(bench.word64(0x700) == 0x0123_4567_89ab_cdef)
    }

    /// The page directory's fourth entry, of 2 MiB at 6 MiB, leads elsewhere time and again; INVLPG names another page of the 512.
    @Test(arguments: SoftExitTests.engines) func devicesAreFoundByTheTranslationOfTheMoment(engine: EngineKind) throws {
        func access(_ opcode: UInt8, _ linear: UInt32) -> [UInt8] {
            [opcode, 0x04, 0x25] + withUnsafeBytes(of: linear.littleEndian) { Array($0) }
        }
        func lead(to entry: UInt32) -> [UInt8] {
            access(0xc7, 0x4018) + withUnsafeBytes(of: entry.littleEndian) { Array($0) }
        }
        let invlpg: [UInt8] = [0x0f, 0x01, 0x3c, 0x25, 0, 0x10, 0x60, 0]
        let reloadCR3: [UInt8] = [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]
        let (write, read): (UInt8, UInt8) = (0x88, 0x8a)
        var code = access(write, 0x60_0010) + access(write, 0x60_0011) + access(read, 0x60_0012)
        code += lead(to: 0x80_0083) + invlpg + access(write, 0x60_0013) + access(read, 0x60_0014)
        code += lead(to: 0xa0_0083) + reloadCR3 + access(read, 0x60_0015) + access(write, 0x60_0016)
        // To RAM, and from it.
        code += lead(to: 0x83) + invlpg + access(write, 0x60_0700) + access(read, 0x60_0701)
        code += lead(to: 0xc0_0083) + invlpg + access(read, 0x60_0702) + access(write, 0x60_0703)
        let bench = try GuestBench(code + [0xf4], .long, engine)
        bench.store([0x11, 0x22], at: 0x700)
        var (writes, reads): ([UInt64], [UInt64]) = ([], [])
        bench.exits.onMemoryWrite = { address, _, _ in writes.append(address) }
        bench.exits.onMemoryRead = { address, _ in
            reads.append(address)
            return 0x5a
        }
        try bench.runToHalt()
        #expect(writes == [0x60_0010, 0x60_0011, 0x80_0013, 0xa0_0016, 0xc0_0703])
        #expect(reads == [0x60_0012, 0x80_0014, 0xa0_0015, 0xc0_0702])
        #expect(bench.word32(0x700) & 0xffff == 0x225a)
    }

    @Test(arguments: EngineKind.here) func writesToROMComeOutAndChangeNothing(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.rom32, .protected, engine)
        let rom = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { rom.deallocate() }
        rom.initializeMemory(as: UInt8.self, repeating: 0xc3, count: 4096)
        let ram = MappedMemory(address: 0, length: UInt64(GuestBench.ramBytes), host: bench.ram, isReadOnly: false)
        try bench.engine.setMemory([ram, .init(address: 0xe0000, length: 4096, host: rom, isReadOnly: true)])
        var writes: [[UInt64]] = []
        bench.exits.onMemoryWrite = { writes.append([$0, UInt64($1), $2]) }
        try bench.runToHalt()
        #expect(writes == [[0xe0000, 4, 0x1234_5678]])
        #expect(bench.word32(0x700) == 0xc3c3_c3c3 && bench.word32(0x704) == 0xc3c3_c3c3)
    }

    /// IN leaves RIP at the instruction until KVM has finished it.
    @Test(arguments: EngineKind.here) func runLeavesBetweenInstructions(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.input32, .protected, engine)
        bench.exits.onPortRead = { [exits = bench.exits] _, _ in
            exits.set(ch_leave_bit)
            return 0x42
        }
        guard case .attention = bench.cpu.run() else { return #expect(Bool(false), "not at the port") }
        try bench.cpu.completePending()
        let state = try bench.cpu.registers()
        #expect(state.rip == 0x1004)
        #expect(state.general.0 == 0x42)
        bench.exits.clear(ch_leave_bit)
        try bench.runToHalt()
        #expect(bench.word32(0x700) == 0x42)
    }

    /// The second half of a read-modify-write is delivered before the run ends, when nobody holds the machine's lock.
    @Test(arguments: EngineKind.here) func runLeavesAfterTheWriteOfAReadModifyWrite(engine: EngineKind) throws {
        // addb $1, 0xd0000; hlt
        let bench = try GuestBench([0x80, 0x05, 0x00, 0x00, 0x0d, 0x00, 0x01, 0xf4], .protected, engine)
        var writes: [UInt64] = []
        bench.exits.onMemoryRead = { [exits = bench.exits] _, _ in
            exits.set(ch_leave_bit)
            return 0x41
        }
        bench.exits.onMemoryWrite = { _, _, value in writes.append(value) }
        guard case .attention = bench.cpu.run() else { return #expect(Bool(false), "not at the load") }
        #expect(writes == [0x42])
        #expect(try bench.cpu.registers().rip == 0x1007)
    }

    /// A policy that changes registers while IN is half done changes these registers, and nothing of the IN.
    @Test(arguments: EngineKind.here) func registersSetInAnExitSurviveTheInstruction(engine: EngineKind) throws {
        let bench = try GuestBench(Guests.input32, .protected, engine)
        bench.exits.onPortRead = { [unowned bench] _, _ in
            do {
                var state = try bench.cpu.registers()
                state.general.3 = 0x1234_5678
                try bench.cpu.setRegisters(state)
                #expect(try bench.cpu.registers().general.3 == 0x1234_5678)
            } catch { Issue.record(error) }
            return 0x42
        }
        try bench.runToHalt()
        let state = try bench.cpu.registers()
        #expect(state.general.3 == 0x1234_5678)
        #expect(state.general.0 == 0x42)
        #expect(bench.word32(0x700) == 0x42)
    }
}
