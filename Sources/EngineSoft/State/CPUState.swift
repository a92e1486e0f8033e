// What the guest can see of a virtual CPU, and what decides how it goes on: with the general registers and the vectors this is all that a
// snapshot holds. No host pointer, no counter; the offsets are fixed (StateLayoutTests).

/// Places in the register file, as byte offsets from `S`. AH, CH, DH, BH are a byte above AX, CX, DX, BX.
enum Register {
    static let rax: UInt8 = 0, rcx: UInt8 = 8, rdx: UInt8 = 16, rbx: UInt8 = 24
    static let rsp: UInt8 = 32, rbp: UInt8 = 40, rsi: UInt8 = 48, rdi: UInt8 = 56
    /// Always 0: the base or index that an address does not have.
    static let zero: UInt8 = 128
    /// Outside of a block: RIP. Inside: the address of the block's first instruction.
    static let rip: UInt8 = 136
    /// What an address operation leaves for the operation after it.
    static let address: UInt8 = 144
    /// What one operation of an instruction leaves for another, if not an address.
    static let temporary: UInt8 = 152
    /// RSP as POP to memory leaves it.
    static let popped: UInt8 = 160

    static func general(_ number: Int) -> UInt8 { UInt8(truncatingIfNeeded: number &* 8) }
}

/// Indices of segment registers, in the order of the encoding.
enum Segment {
    static let es = 0, cs = 1, ss = 2, ds = 3, fs = 4, gs = 5
    /// Of base 0, checked by nobody: what 64-bit mode and flat segments use, and operands whose address is already linear.
    static let flat = 6
    /// The same for operands of the stack segment: an address that is not canonical, or beyond a flat segment's 4 GiB, is #SS there.
    static let flatStack = 7
    static let ldtr = 6, tr = 7
}

/// A segment register with its hidden part. `attributes` as in a VMCS: type 3:0, S 4, DPL 6:5, P 7, unusable 8, AVL 12, L 13,
/// D/B 14, G 15.
struct SegmentRegister {
    var base: UInt64 = 0
    /// In bytes.
    var limit: UInt32 = 0
    var selector: UInt16 = 0
    var attributes: UInt16 = 0

    var isUsable: Bool { attributes & 0x100 == 0 }
    var type: UInt16 { attributes & 15 }
    var dpl: UInt8 { UInt8(truncatingIfNeeded: attributes >> 5 & 3) }
    var isLong: Bool { attributes & 0x2000 != 0 }
    var isBig: Bool { attributes & 0x4000 != 0 }
}

struct DescriptorTable {
    var base: UInt64 = 0
    var limit: UInt16 = 0
}

/// Which code may run and how it is decoded: part of a block's key. Whatever decides about decoding, but for the bytes, is here.
struct Mode: OptionSet, Hashable {
    let rawValue: UInt32
    static let code32 = Mode(rawValue: 1 << 0)
    static let code64 = Mode(rawValue: 1 << 1)
    /// Stack addresses of 32 bits (SS.B); 64-bit mode has its own.
    static let stack32 = Mode(rawValue: 1 << 2)
    /// ES, CS, SS and DS have base 0, limit 4 GiB and every right: nothing to check. Never in 64-bit mode.
    static let flat = Mode(rawValue: 1 << 3)
    /// CR0.EM or CR0.TS: x87 instructions raise #NM.
    static let x87Blocked = Mode(rawValue: 1 << 4)
    /// CR0.EM set or CR4.OSFXSR clear: SSE instructions raise #UD.
    static let sseUndefined = Mode(rawValue: 1 << 5)
    /// CR0.TS: SSE instructions raise #NM.
    static let sseBlocked = Mode(rawValue: 1 << 6)
    /// CR0.EM: MMX instructions raise #UD.
    static let mmxUndefined = Mode(rawValue: 1 << 7)
    /// CR0.TS and CR0.MP: FWAIT raises #NM.
    static let waitBlocked = Mode(rawValue: 1 << 8)
    /// Alignment is checked: CR0.AM, RFLAGS.AC, CPL 3.
    static let alignment = Mode(rawValue: 1 << 9)
    /// A block of one instruction.
    static let single = Mode(rawValue: 1 << 10)
    /// CR0.PE and not virtual-8086 mode.
    static let protected = Mode(rawValue: 1 << 11)
    /// Data breakpoints are armed: every memory operand is compared.
    static let dataBreakpoints = Mode(rawValue: 1 << 12)
    /// CPL 3: accesses have the rights of user code.
    static let user = Mode(rawValue: 1 << 13)
    /// Supervisor with RFLAGS.AC, where CR4.SMAP distinguishes.
    static let userAccess = Mode(rawValue: 1 << 14)
}

struct CPUState {
    // MARK: Lazy flags (Flags.swift)
    var result: UInt64 = 1
    var carries: UInt64 = 0
    var aux: UInt64 = 0
    /// RFLAGS without CF, PF, AF, ZF, SF and OF.
    var systemFlags: UInt64 = 2

    // MARK: Registers
    var segments:
        (
            es: SegmentRegister, cs: SegmentRegister, ss: SegmentRegister, ds: SegmentRegister, fs: SegmentRegister,
            gs: SegmentRegister, ldtr: SegmentRegister, tr: SegmentRegister
        ) = (.init(), .init(), .init(), .init(), .init(), .init(), .init(), .init())
    var gdt = DescriptorTable()
    var idt = DescriptorTable()
    var cr0: UInt64 = CR0.cd | CR0.nw | CR0.et
    var cr2: UInt64 = 0
    var cr3: UInt64 = 0
    var cr4: UInt64 = 0
    var cr8: UInt64 = 0
    var efer: UInt64 = 0
    var xcr0: UInt64 = 1
    var dr: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
        0, 0, 0, 0, 0, 0, DR6.fixed, DR7.fixed
    )
    /// PAE's four page-directory-pointer entries, loaded with CR3.
    var pageDirectoryPointers: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    // MARK: x87 and SSE control
    var mxcsr: UInt32 = 0x1f80
    var x87 = X87Control()

    // MARK: Events
    /// DR6 bits that wait to be reported as #DB once the instruction has retired.
    var pendingDebug: UInt64 = 0
    var cpl: UInt8 = 0
    /// No interrupt is taken before the next instruction has retired (STI, MOV SS, POP SS).
    var inShadow = false
    /// The shadow is of MOV SS or POP SS: debug traps are held too.
    var isStackShadow = false
    var inNMI = false
    /// The repeated string instruction that ran last has done a round, and RIP is still at it.
    var didRound = false

    // MARK: Last, since it grows
    var msrs = ModelSpecificRegisters()
}

/// MSRs with a place of their own.
struct ModelSpecificRegisters {
    var star: UInt64 = 0
    var lstar: UInt64 = 0
    var cstar: UInt64 = 0
    var syscallMask: UInt64 = 0
    var kernelGSBase: UInt64 = 0
    var sysenterCS: UInt64 = 0
    var sysenterESP: UInt64 = 0
    var sysenterEIP: UInt64 = 0
    var tscAux: UInt64 = 0
    /// Added to the clock's ticks.
    var tscOffset: UInt64 = 0
    var pat: UInt64 = 0x0007_0406_0007_0406
    var miscEnable = MiscEnable.fastStrings | MiscEnable.readOnly
    /// IA32_APIC_BASE as last written to the device that answers it: its bit 11 is CPUID's APIC bit.
    var apicBase: UInt64 = 0xfee0_0900
}

/// x87 registers but for the stack itself. `tag`: a bit set for each physical register that is not empty.
struct X87Control {
    var control: UInt16 = 0x40
    var status: UInt16 = 0
    var notEmpty: UInt8 = 0xff
    var opcode: UInt16 = 0
    var instructionPointer: UInt64 = 0
    var dataPointer: UInt64 = 0
    var instructionSelector: UInt16 = 0
    var dataSelector: UInt16 = 0
    /// The tail of `struct ch_x87`, which C writes as a whole.
    var padding: UInt32 = 0
}
