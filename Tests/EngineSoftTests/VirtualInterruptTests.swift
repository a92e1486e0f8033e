// CR4.VME and CR4.PVI: the virtual interrupt flag and the redirection of INT n. Source: SDM volume 3, 20.3 (table 20-2) and 20.4; volume 2, CLI,
// STI, PUSHF, POPF, IRET, INT n.

import Testing

@testable import EngineSoft

private let vme: UInt64 = 1, pvi: UInt64 = 2
private let interrupt: UInt64 = 1 << 9, trap: UInt64 = 1 << 8, iopl3: UInt64 = 3 << 12
private let vif: UInt64 = 1 << 19, vip: UInt64 = 1 << 20

/// What a monitor finds on its stack, EFLAGS without RF.
private struct Frame: Equatable {
    var vector: UInt32
    var code: UInt32?
    var ip: UInt32
    var cs: UInt32
    var flags: UInt64

    init(_ bench: SystemBench) {
        let words = bench.stack(5)
        vector = words[0]
        let hasCode = [8, 10, 11, 12, 13, 14, 17].contains(vector)
        let rest = words.dropFirst(hasCode ? 2 : 1).map { $0 }
        code = hasCode ? words[1] : nil
        (ip, cs, flags) = (
            rest[0], rest[1], UInt64(bench.word(Int(bench.s[Register.rsp]) + (hasCode ? 16 : 12))) & ~0x1_0000
        )
    }
}

struct VirtualInterruptTests {
    /// Code of virtual-8086 mode, ended by HLT, which is #GP(0) there.
    private func run(_ code: [UInt8], flags: UInt64, cr4: UInt64 = vme, _ prepare: (SystemBench) -> Void = { _ in })
        throws
        -> SystemBench
    {
        let bench = try SystemBench(code + [0xf4])
        bench.s.cpu.pointee.cr4 = cr4
        bench.enterVirtual8086(flags: flags)
        prepare(bench)
        bench.runToHalt()
        return bench
    }

    /// Whether the instruction at IP 0 raised #GP(0); else the HLT behind it did.
    private func isRefused(_ bench: SystemBench, length: Int) -> Bool {
        let frame = Frame(bench)
        #expect(frame.vector == 13 && frame.code == 0 && frame.cs == 0x100)
        #expect(frame.ip == 0 || frame.ip == UInt32(length))
        return frame.ip == 0
    }

    // MARK: CLI and STI

    @Test func CLIAndSTIChangeVIFAlone() throws {
        let cli = Frame(try run([0xfa], flags: 2 | interrupt | vif))
        #expect(cli.ip == 1 && cli.flags & (interrupt | vif) == interrupt)
        let sti = Frame(try run([0xfb], flags: 2))
        #expect(sti.ip == 1 && sti.flags & (interrupt | vif) == vif)
    }

    @Test func withIOPL3TheyChangeIF() throws {
        let cli = Frame(try run([0xfa], flags: 2 | interrupt | vif | iopl3))
        #expect(cli.ip == 1 && cli.flags & (interrupt | vif) == vif)
    }

    @Test(arguments: [0xfa, 0xfb] as [UInt8]) func withoutVMETheyAreTheMonitors(code: UInt8) throws {
        #expect(isRefused(try run([code], flags: 2, cr4: pvi), length: 1))
    }

    @Test func STIWithAnInterruptWaitingIsTheMonitors() throws {
        let frame = Frame(try run([0xfb], flags: 2 | vip))
        #expect(frame.ip == 0 && frame.flags & vif == 0)
    }

    // MARK: PUSHF and POPF

    @Test(arguments: [false, true]) func PUSHFShowsVIFAsIFAndIOPL3(isEnabled: Bool) throws {
        let bench = try run([0x9c], flags: 0x47 | (isEnabled ? vif : interrupt))
        #expect(!isRefused(bench, length: 1))
        #expect(bench.word(0x67fe) & 0xffff == (isEnabled ? 0x3247 : 0x3047))
    }

    @Test(arguments: [[0x66, 0x9c], [0x66, 0x9d], [0x66, 0xcf]] as [[UInt8]])
    func operandsOf32BitsAreTheMonitors(code: [UInt8]) throws {
        #expect(isRefused(try run(code, flags: 2), length: 2))
        #expect(isRefused(try run(Array(code.dropFirst()), flags: 2, cr4: 0), length: 1), "and all without VME")
    }

    /// POPF of a word.
    private func pop(_ value: UInt16, flags: UInt64) throws -> (Frame, UInt64) {
        let bench = try run([0x9d], flags: flags) {
            $0.ram.storeBytes(of: value, toByteOffset: 0x6800, as: UInt16.self)
        }
        return (Frame(bench), UInt64(bench.word(Int(bench.s[Register.rsp]) + 20)))
    }

    @Test func POPFLoadsVIFAndNeitherIFNorIOPL() throws {
        let (enabled, pointer) = try pop(0x7ed7, flags: 2)
        #expect(enabled.ip == 1 && enabled.flags == 0x2_4cd7 | vif && pointer == 0x802)
        let (disabled, _) = try pop(0x0002, flags: 2 | vif | interrupt | 0x4cd5)
        #expect(disabled.ip == 1 && disabled.flags == 0x2_0202)
    }

    @Test func POPFOfTFOrOfIFWithVIPIsTheMonitors() throws {
        for (value, flags) in [(0x102, 2), (0x202, 2 | vip)] as [(UInt16, UInt64)] {
            let (frame, pointer) = try pop(value, flags: flags)
            #expect(frame.ip == 0 && frame.flags == flags | 1 << 17 && pointer == 0x800, "and nothing has changed")
        }
        #expect(try pop(0x0002, flags: 2 | vip).0.ip == 1, "VIP holds nobody who leaves interrupts disabled")
    }

    // MARK: IRET

    /// IRET to 200:34, where HLT is.
    private func iret(_ flags: UInt16, from old: UInt64) throws -> Frame {
        Frame(
            try run([0xcf], flags: old) {
                $0.put(0x6800, UInt64(flags) << 32 | 0x200_0034)
                $0.put(0x2034, 0xf4)
                // The GDT begins at 0x2000.
                $0.s.cpu.pointee.gdt.limit = 0x2f
            })
    }

    @Test func IRETLoadsVIFAndNeitherIFNorIOPL() throws {
        let frame = try iret(0x7ed7, from: 2)
        #expect(frame.ip == 0x34 && frame.cs == 0x200 && frame.flags == 0x2_4cd7 | vif)
        let real = try iret(0x0202, from: 2 | iopl3 | vif)
        #expect(real.ip == 0x34 && real.flags == 0x2_3202 | vif, "with IOPL 3 it is IF")
    }

    @Test(arguments: [(0x102, 2), (0x202, 2 | vip)] as [(UInt16, UInt64)])
    func IRETOfTFOrOfIFWithVIPIsTheMonitors(value: UInt16, old: UInt64) throws {
        let frame = try iret(value, from: old)
        #expect(frame.ip == 0 && frame.cs == 0x100 && frame.flags == old | 1 << 17)
    }

    /// IRETD at ring 0 loads VIF and VIP, at ring 3 it does not, and POPFD nowhere.
    @Test(arguments: [0, 3], [0xcf, 0x9d] as [UInt8]) func onlyRing0sIRETLoadsVIFAndVIP(ring: Int, code: UInt8) throws {
        let bench = try SystemBench([code, 0xf4])
        bench.put(0x2020, 0x00cf_fb00_0000_ffff)
        bench.put(0x2028, 0x00cf_f300_0000_ffff)
        if ring == 3 { bench.enterUserMode() }
        let flags: UInt64 = 2 | vif | vip
        bench.put(0x7000, code == 0xcf ? (ring == 3 ? 0x23 : 8) << 32 | 0x1001 : flags)
        bench.put(0x7008, flags)
        bench.runToHalt()
        let loads = ring == 0 && code == 0xcf
        let now = ring == 0 ? bench.s.cpu.rflags : UInt64(bench.stack(5)[4])
        #expect(now & (vif | vip) == (loads ? vif | vip : 0))
    }

    // MARK: INT n (table 20-2)

    /// INT 0x15 with its bit in the redirection map clear or set; the 8086 program's handler, at 200:34, and gate 0x15's, at 0x5150, both halt.
    private func int(_ code: [UInt8] = [0xcd, 0x15], flags: UInt64, cr4: UInt64 = vme, bit: Bool, map: UInt16 = 0x88)
        throws
        -> SystemBench
    {
        try run(code, flags: flags, cr4: cr4) { bench in
            bench.s.segment(Segment.tr).pointee.limit = 0xff
            bench.ram.storeBytes(of: map, toByteOffset: 0x4066, as: UInt16.self)
            for vector in [3, 0x15] {
                bench.ram.storeBytes(
                    of: bit ? 0xff : ~(1 << UInt8(vector & 7)), toByteOffset: 0x4068 + vector / 8, as: UInt8.self)
                bench.put(vector * 4, 0x200_0034)
                // Gates that ring 3 may use.
                bench.put(0x3000 + vector * 8, 0xee00_0008_0000 | UInt64(0x5000 + vector * 16))
            }
            bench.put(0x2034, 0xf4)
            bench.s.cpu.pointee.gdt.limit = 0x2f
        }
    }

    /// Methods 5 and 6.
    @Test(arguments: [false, true]) func aClearBitGoesToTheProgramsHandler(hasIOPL3: Bool) throws {
        let flags = 0x47 | interrupt | (hasIOPL3 ? iopl3 : 0)
        let bench = try int(flags: flags | vif, bit: false)
        let frame = Frame(bench)
        #expect(frame.ip == 0x34 && frame.cs == 0x200)
        let cleared = hasIOPL3 ? interrupt : vif
        #expect(frame.flags == (flags | vif | 1 << 17) & ~cleared)
        #expect([0x67fa, 0x67fc, 0x67fe].map { bench.word($0) & 0xffff } == [2, 0x100, 0x3247], "IP, CS, FLAGS")
        #expect(bench.word(Int(bench.s[Register.rsp]) + 20) == 0x7fa)
    }

    /// VIF clear shows as IF clear, whatever IF is.
    @Test func theProgramsStackHasVIFAsIF() throws {
        #expect(try int(flags: 0x47 | interrupt, bit: false).word(0x67fe) & 0xffff == 0x3047)
    }

    /// Methods 1 to 4.
    @Test(arguments: [(vme, false), (0, false), (vme, true), (0, true)] as [(UInt64, Bool)])
    func aSetBitOrNoVMEIsAsBefore(cr4: UInt64, hasIOPL3: Bool) throws {
        let frame = Frame(try int(flags: 2 | (hasIOPL3 ? iopl3 : 0), cr4: cr4, bit: cr4 != 0))
        if hasIOPL3 {
            #expect(frame.vector == 0x15 && frame.ip == 2 && frame.cs == 0x100)
        } else {
            #expect(frame.vector == 13 && frame.code == 0 && frame.ip == 0)
        }
    }

    @Test(arguments: [0x11, 0x120] as [UInt16]) func aMapBeyondTheTSSIsGP(map: UInt16) throws {
        let frame = Frame(try int(flags: 2 | iopl3, bit: false, map: map))
        #expect(frame.vector == 13 && frame.code == 0 && frame.ip == 0)
    }

    /// INT3 is no INT n; INT 3 of two bytes is.
    @Test func INT3IsNeverRedirected() throws {
        #expect(Frame(try int([0xcc], flags: 2, bit: false)).vector == 3)
        #expect(Frame(try int([0xcd, 3], flags: 2, bit: false)).ip == 0x34)
    }

    /// TF traps behind no INT n, and the program's handler begins with it clear.
    @Test func TFIsClearInTheProgramsHandler() throws {
        let bench = try int(flags: 2 | trap, bit: false)
        let frame = Frame(bench)
        #expect(frame.vector == 13 && frame.ip == 0x34 && frame.flags & trap == 0)
        #expect(bench.word(0x67fe) & 0x100 == 0x100)
    }

    // MARK: Ring 3 of protected mode

    private func user(_ code: UInt8, flags: UInt64, cr4: UInt64, ring: UInt8 = 3) throws -> Frame {
        let bench = try SystemBench([code, 0xf4])
        bench.s.cpu.pointee.cr4 = cr4
        bench.enterUserMode()
        if ring != 3 {
            bench.s.cpu.pointee.cpl = ring
            bench.s.segment(Segment.cs).pointee.selector = 0x20 | UInt16(ring)
            bench.s.segment(Segment.cs).pointee.attributes &= ~0x60 | UInt16(ring) << 5
        }
        bench.s.cpu.rflags = flags
        bench.cpu.updateMode()
        bench.runToHalt()
        return Frame(bench)
    }

    @Test func PVIGivesRing3VIF() throws {
        let cli = try user(0xfa, flags: 2 | interrupt | vif, cr4: pvi)
        #expect(cli.ip == 0x1001 && cli.flags & (interrupt | vif) == interrupt)
        let sti = try user(0xfb, flags: 2, cr4: pvi)
        #expect(sti.ip == 0x1001 && sti.flags & (interrupt | vif) == vif)
        #expect(try user(0xfb, flags: 2 | vip, cr4: pvi).ip == 0x1000)
        let real = try user(0xfb, flags: 2 | iopl3 | vip, cr4: pvi)
        #expect(
            real.ip == 0x1001 && real.flags & (interrupt | vif) == interrupt,
            "with IOPL 3 it is IF, and VIP holds nobody")
    }

    @Test func withoutPVIAndInRing1TheyAreRefused() throws {
        for code in [0xfa, 0xfb] as [UInt8] {
            #expect(try user(code, flags: 2, cr4: vme).ip == 0x1000)
            #expect(try user(code, flags: 2, cr4: pvi, ring: 1).ip == 0x1000)
        }
    }

    /// PUSHF shows the flags as they are.
    @Test func PVIIsNothingToPUSHF() throws {
        let bench = try SystemBench([0x9c, 0xf4])
        bench.s.cpu.pointee.cr4 = pvi
        bench.enterUserMode()
        bench.s.cpu.rflags = 2 | interrupt
        bench.runToHalt()
        #expect(bench.word(0x6ffc) == 0x202)
    }
}
