// Where everything lies in a CPU's memory. Handlers, CHost's and generated code have these numbers inside; who changes one changes them all.

import CHost
import Testing

@testable import EngineSoft

struct StateLayoutTests {
    private func run<T>(_ path: KeyPath<RunState, T>) -> Int {
        256 + MemoryLayout<RunState>.offset(of: path)!
    }
    private func state<T>(_ path: KeyPath<CPUState, T>) -> Int {
        768 + MemoryLayout<CPUState>.offset(of: path)!
    }

    @Test func piecesLieWhereTheyAreDocumented() {
        #expect(Layout.run == 256 && Layout.state == 768)
        #expect(Layout.vectors == 2048 && Layout.x87 == 3072 && Layout.vectorTemporary == 3200)
        #expect(Layout.comparedFlags == 3264 && Layout.raisedVector == 3272 && Layout.x87Shadow == 3296)
        #expect(Layout.image == 3328 && Layout.tlb == 4096)
        #expect(Layout.sites == 4096 + 3 * 32768 && Layout.size == 4096 + 3 * 32768 + 16 * 32)
    }

    @Test func piecesDoNotOverlap() {
        #expect(256 + MemoryLayout<RunState>.size <= 768)
        #expect(768 + MemoryLayout<CPUState>.size <= 2048)
        #expect(3296 + MemoryLayout<ch_x87>.size <= 3328)
        #expect(3328 + 576 <= 4096)
        #expect(MemoryLayout<LoopSite>.stride == 32 && LoopSite.count == 16)
        #expect(MemoryLayout<TLBEntry>.stride == 32 && TLBEntry.count == 1024 && Privilege.count == 3)
    }

    @Test func generalRegistersAreTheFirst128BytesInTheOrderOfTheEncoding() {
        let numbers = [
            Register.rax, Register.rcx, Register.rdx, Register.rbx, Register.rsp, Register.rbp,
            Register.rsi,
            Register.rdi,
        ]
        #expect(numbers == [0, 8, 16, 24, 32, 40, 48, 56])
        #expect(Register.general(15) == 120)
        #expect(
            Register.zero == 128 && Register.rip == 136 && Register.address == 144
                && Register.temporary == 152)
        #expect(Register.popped == 160 && Register.integerTemporary == 176)
    }

    @Test func whatBlocksReadIsAtTheBeginningOfTheRunState() {
        #expect(run(\.attention) == 256 && run(\.attentionMask) == 264 && run(\.blockCount) == 268)
        #expect(run(\.executed) == 272 && run(\.deadline) == 280 && run(\.block) == 288)
        #expect(
            run(\.jumpKey) == 296 && run(\.jumpCache) == 304 && run(\.linearMask) == 312
                && run(\.tlb) == 320)
        #expect(run(\.segmentBase) == 328 && run(\.loaded) == 392 && run(\.loadedHigh) == 400)
        #expect(run(\.mode) == 408 && run(\.stop) == 412)
    }

    @Test func architecturalStateHasFixedPlaces() {
        #expect(state(\.result) == 768 && state(\.carries) == 776 && state(\.aux) == 784)
        #expect(
            state(\.systemFlags) == 792 && state(\.segments) == 800
                && MemoryLayout<SegmentRegister>.stride == 16)
        #expect(state(\.gdt) == 928 && state(\.idt) == 944)
        #expect(
            state(\.cr0) == 960 && state(\.cr2) == 968 && state(\.cr3) == 976 && state(\.cr4) == 984)
        #expect(
            state(\.cr8) == 992 && state(\.efer) == 1000 && state(\.xcr0) == 1008 && state(\.dr) == 1016)
        #expect(
            state(\.pageDirectoryPointers) == 1080 && state(\.mxcsr) == 1112
                && state(\.x87) == 1120 && state(\.pendingDebug) == 1152)
        #expect(state(\.cpl) == 1160 && state(\.inShadow) == 1161 && state(\.didRound) == 1164)
        // Behind all else, since it grows.
        #expect(state(\.msrs) == 1168)
    }

    @Test func theVectorUnitsStateIsWhereCHostHasIt() {
        #expect(CH_RAX == 0 && CH_RCX == 8 && CH_RDX == 16)
        #expect(CH_MXCSR == 1112 && CH_X87 == 1120 && MemoryLayout<X87Control>.size == 32)
        #expect(MemoryLayout<X87Control>.size == MemoryLayout<ch_x87>.size)
        #expect(
            VectorRegister.xmm(15) == 60 && VectorRegister.mmx(7) == 71 && VectorRegister.temporary == 72)
    }

    @Test func aSegmentRegisterIsSixteenBytes() {
        #expect(MemoryLayout<SegmentRegister>.offset(of: \.base) == 0)
        #expect(MemoryLayout<SegmentRegister>.offset(of: \.limit) == 8)
        #expect(MemoryLayout<SegmentRegister>.offset(of: \.selector) == 12)
        #expect(MemoryLayout<SegmentRegister>.offset(of: \.attributes) == 14)
    }
}
