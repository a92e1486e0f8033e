// What the CPU reads as a block, before anything is made of it.

import Core
import Testing

@testable import EngineSoft

struct BlockSourceTests {
    private func read(_ bench: SystemBench, _ address: UInt64, _ mode: Mode? = nil) throws -> BlockSource {
        try #require(
            bench.cpu.read(linear: address, physical: address, mode: mode ?? bench.s.run.pointee.mode))
    }

    @Test func aBlockEndsBehindItsJump() throws {
        // xchg eax, eax; inc eax; jmp +0; nop
        let source = try read(SystemBench([0x90, 0x40, 0xeb, 0x00, 0x90]), 0x1000)
        #expect(source.instructions.map(\.mnemonic) == [.xchg, .inc, .jmp])
        #expect(source.instructions.map(\.length) == [1, 1, 2])
        #expect(source.length == 4 && source.isEnded && source.secondPage == nil)
    }

    @Test func aBlockEndsWithItsPageAndHasSixtyFourInstructionsAtMost() throws {
        let bench = try SystemBench([UInt8](repeating: 0x90, count: 4096))
        #expect(try read(bench, 0x1ffd).instructions.count == 3)
        #expect(try read(bench, 0x1000).instructions.count == 64)
        #expect(try read(bench, 0x1000, bench.s.run.pointee.mode.union(.single)).instructions.count == 1)
    }

    @Test func anInstructionAcrossPagesIsABlockOfItsOwn() throws {
        // At 0x1ffe nop, then mov eax, imm32 over the edge.
        let bench = try SystemBench([UInt8](repeating: 0x90, count: 4095) + [0xb8, 1, 2, 3, 4, 0x90])
        let before = try read(bench, 0x1ffe)
        #expect(before.instructions.count == 1 && before.length == 1 && !before.isEnded && before.secondPage == nil)
        let across = try read(bench, 0x1fff)
        #expect(across.instructions.map(\.immediate) == [0x0403_0201])
        #expect(across.length == 5 && across.secondPage == 0x2000)
    }

    @Test func whatCannotBeDecodedIsTheLastInstruction() throws {
        let undefined = try read(SystemBench([0x90, 0x0f, 0x0b, 0x90]), 0x1000)
        // UD2 decodes, and ends its block; 0f ff does in this table too. 0f 04 is nothing.
        #expect(undefined.instructions.last?.mnemonic == .ud2)
        let nothing = try read(SystemBench([0x90, 0x0f, 0x04, 0x90]), 0x1000)
        #expect(nothing.instructions.map(\.outcome) == [.instruction, .undefined] && nothing.isEnded)
        let long = try read(SystemBench([0x90] + [UInt8](repeating: 0x66, count: 15) + [0x90]), 0x1000)
        #expect(long.instructions.map(\.outcome) == [.instruction, .tooLong] && long.length == 16)
    }

    @Test func aBreakpointIsAlwaysAtABlocksFirstInstruction() throws {
        let bench = try SystemBench([UInt8](repeating: 0x90, count: 16) + [0xf4])
        #expect(try !read(bench, 0x1000).mayStop)
        var control = DebugControl()
        control.breakpoints = [0x1004]
        try bench.cpu.setDebug(control)
        let before = try read(bench, 0x1000)
        #expect(before.instructions.count == 4 && !before.mayStop)
        let at = try read(bench, 0x1004)
        #expect(at.instructions.count == 13 && at.mayStop)
    }

    @Test func namesOfOneKindOfOperationDoNotOverlap() {
        var op = Op(run: enterBlock)
        op.size = 8
        op.form = [.memory, .repne, .address32]
        op.bitChange = .complement
        op.fixedBit = 63
        #expect(op.size == 8 && op.isMemory && op.addressSize == 4 && op.form.contains(.repne))
        #expect(op.bitChange == .complement && op.fixedBit == 63)
        op.fixedBit = nil
        op.bitChange = .set
        #expect(op.fixedBit == nil && op.bitChange == .set && op.size == 8)
        op = Op(run: enterBlock)
        (op.function, op.lastOpcode, op.condition) = (0xffff, 0x7ff, 11)
        #expect((op.function, op.lastOpcode, op.condition) == (0xffff, 0x7ff, 11))
        op = Op(run: enterBlock)
        (op.imm64, op.fusedTarget, op.fusedBehind) = (.max, -5, 0xffff)
        #expect(op.imm64 == .max && op.fusedTarget == -5 && op.fusedBehind == 0xffff)
        op = Op(run: enterBlock)
        op.fixedCount = 0
        #expect(op.fixedCount == 0)
    }

    @Test func anOperationHas32BytesAsCHostReadsThem() {
        #expect(MemoryLayout<Op>.size == 32 && MemoryLayout<Op>.stride == Op.stride)
        #expect(MemoryLayout<Op>.offset(of: \.imm) == 8 && MemoryLayout<Op>.offset(of: \.dst) == 16)
        #expect(MemoryLayout<Op>.offset(of: \.offset) == 24 && MemoryLayout<Op>.offset(of: \.large) == 28)
    }
}
