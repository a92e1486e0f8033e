// Debug events against the exceptions of the instruction that comes next. Source: SDM volume 3, 6.8.3 (MOV SS), 17.2 and 17.3 (debug registers,
// RF, single step).

import Testing

@testable import EngineSoft

/// MOV SS, AX (selector 16) or MOV SS, [0x20000], where DR0 waits for a read; then an instruction that does not just retire.
enum Holder: CaseIterable {
    case singleStep, dataBreakpoint, both

    var steps: Bool { self != .dataBreakpoint }
    var watches: Bool { self != .singleStep }
}

/// What comes behind MOV SS, and what it raises.
struct Next: CustomTestStringConvertible {
    let name: String
    let code: [UInt8]
    let vector: UInt32
    var hasCode = false
    var isFault = true
    var detects = false
    var testDescription: String { name }

    static let all = [
        Next(name: "UD2", code: [0x0f, 0x0b], vector: 6),
        Next(name: "DIV ECX of 0", code: [0xf7, 0xf1], vector: 0),
        Next(name: "MOV DS, a selector beyond the table", code: [0x8e, 0xdb], vector: 13, hasCode: true),
        Next(name: "BOUND", code: [0x62, 0x05, 0, 0, 2, 0], vector: 5),
        Next(name: "MOV EAX, DR6 with GD", code: [0x0f, 0x21, 0xf0], vector: 1, detects: true),
        Next(name: "INT3", code: [0xcc], vector: 3, isFault: false),
        Next(name: "INT 20", code: [0xcd, 20], vector: 20, isFault: false),
        Next(name: "INT1", code: [0xf1], vector: 1, isFault: false),
    ]
}

struct DebugEventTests {
    private static let trapFlag: UInt64 = 0x100
    /// DR6 with nothing in it.
    private static let none: UInt64 = 0xffff_0ff0

    private func bench(_ holder: Holder, _ next: [UInt8], detects: Bool = false) throws -> (SystemBench, Int) {
        let load: [UInt8] = holder.watches ? [0x8e, 0x15, 0, 0, 2, 0] : [0x8e, 0xd0]
        let bench = try SystemBench(load + next + [0x90, 0xf4])
        (bench.s[Register.rax], bench.s[Register.rbx], bench.s[Register.rcx], bench.s[Register.rdx]) = (16, 0x7f8, 0, 0)
        bench.put(0x20000, 16)
        if holder.steps { bench.s.cpu.pointee.systemFlags |= Self.trapFlag }
        if holder.watches { bench.s.debugRegister(0).pointee = 0x20000 }
        // L0, read or write, 2 bytes; GD.
        bench.s.debugRegister(7).pointee = 0x400 | (holder.watches ? 0x7_0001 : 0) | (detects ? 0x2000 : 0)
        bench.cpu.updateMode()
        return (bench, 0x1000 + load.count)
    }

    /// An exception of the next instruction's own ends the hold, and what was held is gone.
    @Test(arguments: Holder.allCases, Next.all.filter(\.isFault))
    func aFaultBehindMOVSSIsAlone(holder: Holder, next: Next) throws {
        let (bench, at) = try bench(holder, next.code, detects: next.detects)
        bench.runToHalt()
        let frame = bench.stack(4)
        #expect(frame[0] == next.vector)
        #expect(frame[next.hasCode ? 2 : 1] == UInt32(at), "at the instruction itself")
        #expect(bench.s.debugRegister(6).pointee == Self.none | (next.detects ? 0x2000 : 0))
    }

    /// INT n and INT1 are no faults: a data breakpoint is reported at the first instruction of their handler (what CVE-2018-8897 was about); TF, which
    /// MOV SS itself does not trap for, is clear there.
    @Test(arguments: Holder.allCases, Next.all.filter { !$0.isFault })
    func aSoftwareInterruptBehindMOVSSComesFirst(holder: Holder, next: Next) throws {
        let (bench, at) = try bench(holder, next.code)
        bench.runToHalt()
        let handler = 0x5000 + next.vector * 16
        let frame = bench.stack(2)
        #expect(frame == (holder.watches ? [1, handler] : [next.vector, UInt32(at + next.code.count)]))
        #expect(bench.s.debugRegister(6).pointee == Self.none | (holder.watches ? 1 : 0))
    }

    /// NOP behind MOV SS: one trap for all, behind the NOP.
    @Test(arguments: Holder.allCases) func anInstructionBehindMOVSSBringsWhatWasHeld(holder: Holder) throws {
        let (bench, at) = try bench(holder, [0x90])
        bench.runToHalt()
        #expect(bench.stack(2) == [1, UInt32(at + 1)])
        #expect(
            bench.s.debugRegister(6).pointee == Self.none | (holder.watches ? 1 : 0) | (holder.steps ? 0x4000 : 0))
    }

    /// MOV SS, AX twice: the second holds nothing.
    @Test func ofTwoLoadsOfSSTheFirstHolds() throws {
        let (bench, at) = try bench(.singleStep, [0x8e, 0xd0])
        bench.runToHalt()
        #expect(bench.stack(2) == [1, UInt32(at + 2)], "a trap behind the second")
    }

    /// MOV SS, AX or POP SS, NOP, NOP: a breakpoint on the first NOP does not fire, one on the second does.
    @Test(arguments: [false, true], [0, 1]) func theInstructionBehindALoadOfSSHasNoBreakpoint(pops: Bool, number: Int)
        throws
    {
        let load: [UInt8] = pops ? [0x17] : [0x8e, 0xd0]
        let bench = try SystemBench(load + [0x90, 0x90, 0xf4])
        bench.s[Register.rax] = 16
        bench.put(0x7000, 16)
        let address = UInt64(0x1000 + load.count + number)
        bench.s.debugRegister(0).pointee = address
        bench.s.debugRegister(7).pointee = 0x401
        bench.cpu.updateMode()
        bench.runToHalt()
        if number == 0 {
            #expect(bench.s.rip == 0x1000 + UInt64(load.count + 3), "no event")
        } else {
            #expect(bench.stack(2) == [1, UInt32(address)])
        }
    }

    // MARK: RF on the handler's stack (17.3.1.1)

    struct Pushed: CustomTestStringConvertible {
        let name: String
        let code: [UInt8]
        var dr7: UInt64 = 0x400
        var flags: UInt64 = 2
        let isSet: Bool
        var testDescription: String { name }

        static let all = [
            Pushed(name: "#UD", code: [0x0f, 0x0b], isSet: true),
            Pushed(name: "general detect", code: [0x0f, 0x21, 0xf0], dr7: 0x2400, isSet: true),
            Pushed(name: "instruction breakpoint", code: [0x90], dr7: 0x401, isSet: false),
            Pushed(name: "single step", code: [0x90], flags: 0x102, isSet: false),
            Pushed(name: "INT3", code: [0xcc], isSet: false),
            Pushed(name: "INT1", code: [0xf1], isSet: false),
            Pushed(name: "a round of REP STOSB, not the last", code: [0xf3, 0xaa], flags: 0x102, isSet: true),
            Pushed(name: "STOSB", code: [0xaa], flags: 0x102, isSet: false),
        ]
    }

    @Test(arguments: Pushed.all) func resumeFlagOnTheStack(event: Pushed) throws {
        let bench = try SystemBench(event.code + [0xf4])
        (bench.s[Register.rcx], bench.s[Register.rdi]) = (3, 0x20000)
        bench.s.debugRegister(0).pointee = 0x1000
        bench.s.debugRegister(7).pointee = event.dr7
        bench.s.cpu.rflags = event.flags
        bench.cpu.updateMode()
        bench.runToHalt()
        #expect(bench.stack(4)[3] & 0x1_0000 == (event.isSet ? 0x1_0000 : 0))
    }

    // MARK: What else pends

    /// HLT with TF: the trap comes behind it, and the CPU does not stay halted.
    @Test func aTrapBehindHLTEndsIt() throws {
        let bench = try SystemBench([0xf4, 0x90])
        bench.s.cpu.pointee.systemFlags |= Self.trapFlag
        bench.runToHalt()
        #expect(bench.stack(2) == [1, 0x1001])
        #expect(bench.s.debugRegister(6).pointee == Self.none | 0x4000)
    }

    /// Stack accesses of instructions that check their segments by themselves hit data breakpoints as those of PUSH and POP do: DR0 waits for
    /// 4 bytes at 0x6ffc (pushes) or 0x7000 (pops).
    @Test(
        arguments: [
            ([0x9c], 0x6ffc), ([0x1e], 0x6ffc), ([0x0f, 0xa0], 0x6ffc), ([0x9a, 7, 0x10, 0, 0, 8, 0], 0x6ffc),
            ([0x60], 0x6ffc), ([0xc8, 0, 0, 0], 0x6ffc), ([0x68, 0, 0, 0, 0], 0x6ffc), ([0x9d], 0x7000),
            ([0x1f], 0x7000),
            ([0x17, 0x90], 0x7000), ([0xcb], 0x7000), ([0xcf], 0x7000), ([0x61], 0x7000), ([0xc3], 0x7000),
        ] as [([UInt8], UInt64)])
    func everyStackAccessHitsDataBreakpoints(code: [UInt8], address: UInt64) throws {
        let bench = try SystemBench(code + [0xf4])
        // For returns EIP 0x1010, CS 8, EFLAGS 2; POP DS and POP SS take 16 of it.
        bench.ram.storeBytes(
            of: code[0] == 0x1f || code[0] == 0x17 ? 16 : code[0] == 0x9d ? 2 : 0x1010, toByteOffset: 0x7000,
            as: UInt32.self)
        bench.put(0x7004, 0x2_0000_0008)
        bench.s.debugRegister(0).pointee = address
        bench.s.debugRegister(7).pointee = 0xf_0401
        bench.cpu.updateMode()
        bench.runToHalt()
        #expect(bench.stack(1) == [1])
        #expect(bench.s.debugRegister(6).pointee == Self.none | 1)
    }

    /// PUSHFQ of 64-bit mode, which has a way of its own.
    @Test func PUSHFQHitsADataBreakpoint() throws {
        let bench = try SystemBench([0x9c, 0xf4])
        bench.enterLongMode()
        bench.s.debugRegister(0).pointee = 0x6ff8
        bench.s.debugRegister(7).pointee = 0xb_0401
        bench.cpu.updateMode()
        _ = bench.cpu.run()
        #expect(bench.s.debugRegister(6).pointee == Self.none | 1)
    }

    /// I/O breakpoints (17.2.4): DR7.R/W0 = 2 with CR4.DE; OUT 0x80, AL; IN AL, DX; OUTSB; REP INSB.
    @Test(
        arguments: [[0xe6, 0x80], [0xec], [0x6e], [0xf3, 0x6c], [0xe7, 0x7e]] as [[UInt8]], [true, false])
    func portsHaveBreakpointsWithDE(code: [UInt8], isEnabled: Bool) throws {
        let bench = try SystemBench(code + [0xf4])
        (bench.s[Register.rdx], bench.s[Register.rcx], bench.s[Register.rdi], bench.s[Register.rsi]) = (
            0x80, 1, 0x20000, 0x20000
        )
        bench.s.cpu.pointee.cr4 = isEnabled ? 8 : 0
        bench.s.debugRegister(0).pointee = 0x80
        bench.s.debugRegister(7).pointee = 0x2_0401
        bench.cpu.updateMode()
        bench.runToHalt()
        if isEnabled {
            #expect(bench.stack(2) == [1, UInt32(0x1000 + code.count)])
            #expect(bench.s.debugRegister(6).pointee == Self.none | 1)
        } else {
            #expect(bench.s.rip == UInt64(0x1001 + code.count))
        }
    }
}
