// The state of one virtual CPU: one flat piece of memory behind one pointer, which every handler gets as `S`.
// SAFETY for the module: `S` is allocated by SoftCPU with `Layout.size` bytes, aligned to 64, and lives as long as it. Offsets of
// registers come from the decoder, which makes only those of `Register`.

import CBackplane
import Core

/// The CPU's memory. Byte offsets 0 to 191 hold the register file, then `CPUState`, then x87 and SSE.
typealias S = UnsafeMutableRawPointer

enum Layout {
    static let state = 256
    static let vectors = 2048  // XMM0-15, 16 bytes each
    static let x87 = 2304  // R0-R7 (physical), 16 bytes each, the value in the low 10
    static let size = 4096
}

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

/// Why the block loop came back.
enum Stop: UInt8 {
    /// To look at attention, budget and the next block.
    case none
    /// `fault` waits to be delivered; RIP is at the instruction.
    case fault
    /// `runEnd` of the SoftCPU says more: HLT, shutdown, debug event.
    case end
}

/// An exception that an instruction raised. `code` counts where the vector has an error code.
struct Fault {
    var vector: UInt8 = 0
    var hasCode = false
    var code: UInt32 = 0
    /// #GP(0) of a linear address that is not canonical.
    var isAddress = false
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
}

struct CPUState {
    // MARK: Lazy flags (Flags.swift)
    var result: UInt64 = 1
    var carries: UInt64 = 0
    var aux: UInt64 = 0

    // MARK: What every block and memory access reads
    /// All ones in long mode, 0xffffffff otherwise: linear addresses wrap.
    var linearMask: UInt64 = 0xffff_ffff
    /// SAFETY: TLB entries of the privilege in force, owned by the SoftCPU.
    var tlb: UnsafeMutableRawPointer
    /// SAFETY: VCPU.attention.
    var attention: UnsafePointer<UInt32>
    /// Bits of the attention word that end a block now; INTR counts only while the guest can take it.
    var attentionMask: UInt32 = 0
    /// Instructions of the running block.
    var blockCount: UInt32 = 0
    /// Retired instructions; inside a block, as if all of it had retired.
    var executed: UInt64 = 0
    /// `executed` must not go beyond.
    var deadline: UInt64 = noDeadline
    /// Where the number of retired instructions is published for the core (`publishCount`).
    /// SAFETY: VCPU.retired.
    var retired: UnsafeMutablePointer<UInt64>
    /// SAFETY: the block that was entered last; lives until the arena is emptied, which only the run loop does.
    var block: UnsafeMutablePointer<Block>?
    /// A chain slot that waits for the block at `chainTarget`, if that comes next: an interrupt may come between.
    var chain: UnsafeMutablePointer<ChainSlot>?
    var chainTarget: UInt64 = 0
    /// Generation of fetch translations, mode and privilege: what a cross-page chain and the jump cache were made under.
    var jumpKey: UInt64 = 0
    /// SAFETY: owned by the SoftCPU.
    var jumpCache: UnsafeMutablePointer<JumpEntry>
    /// ES CS SS DS FS GS as operands use them, then 0. In 64-bit mode those of ES, CS, SS and DS are 0.
    var segmentBase: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
    /// What a slow load leaves.
    var loaded: UInt64 = 0
    var loadedHigh: UInt64 = 0

    // MARK: Registers
    /// RFLAGS without CF, PF, AF, ZF, SF and OF.
    var systemFlags: UInt64 = 2
    var segments:
        (
            es: SegmentRegister, cs: SegmentRegister, ss: SegmentRegister, ds: SegmentRegister, fs: SegmentRegister,
            gs: SegmentRegister, ldtr: SegmentRegister, tr: SegmentRegister
        ) = (.init(), .init(), .init(), .init(), .init(), .init(), .init(), .init())
    var gdt = DescriptorTable()
    var idt = DescriptorTable()
    var cr0: UInt64 = 0x6000_0010
    var cr2: UInt64 = 0
    var cr3: UInt64 = 0
    var cr4: UInt64 = 0
    var cr8: UInt64 = 0
    var efer: UInt64 = 0
    var xcr0: UInt64 = 1
    var dr: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400)
    var cpl: UInt8 = 0
    var msrs = ModelSpecificRegisters()

    // MARK: x87 and SSE control
    var mxcsr: UInt32 = 0x1f80
    var x87 = X87Control()

    // MARK: Events
    var mode: Mode = []
    var stop = Stop.none
    var fault = Fault()
    /// No interrupt is taken before the next instruction has retired (STI, MOV SS, POP SS).
    var inShadow = false
    /// The shadow is of MOV SS or POP SS: debug traps are held too.
    var isStackShadow = false
    /// DR6 bits that wait to be reported as #DB once the instruction has retired.
    var pendingDebug: UInt64 = 0
    var inNMI = false
    /// The debugger's watchpoints, as DR0 to DR3 and DR7 would hold them.
    var watch: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    var watchControl: UInt64 = 0
    /// Those that the instruction has touched, as bits.
    var watchHits: UInt64 = 0
    /// The guest's DR7 enables an instruction breakpoint.
    var watchesInstructions = false
    /// Data breakpoints of the guest or of the debugger.
    var watchesData = false
    /// Each round of a repeated string instruction ends the step: TF or a debugger (SDM volume 3, 17.3.1.4).
    var stepsRounds = false
    /// The repeated string instruction that ran last has done a round, and RIP is still at it.
    var didRound = false
    /// PAE's four page-directory-pointer entries, loaded with CR3.
    var pageDirectoryPointers: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    /// `run` is under way: a request for the registers comes from within an exit.
    var isRunning = false
    /// RIP of the instruction that exited last.
    var exitRIP: UInt64 = 0
    /// Reasons that policies want, as bits: intercepted instructions test theirs.
    var intercepted: UInt64 = 0
    /// SAFETY: the machine's, which outlives its CPUs.
    var exits: Unmanaged<ExitHandler>
    /// Of the vCPU.
    var index: UInt32
    /// Back to the SoftCPU that owns this state.
    /// SAFETY: it outlives its state.
    var owner: Unmanaged<SoftCPU>
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

extension UnsafeMutableRawPointer {
    /// The CPU's state proper.
    @inline(__always)
    var cpu: UnsafeMutablePointer<CPUState> { (self + Layout.state).assumingMemoryBound(to: CPUState.self) }

    /// A register of the width of T at its byte offset.
    @inline(__always)
    func get<T: FixedWidthInteger>(_ register: UInt8, as type: T.Type = T.self) -> T {
        load(fromByteOffset: Int(register), as: T.self)
    }

    /// As the CPU writes it: 32 bits clear the upper half, 8 and 16 leave the rest.
    @inline(__always)
    func put<T: FixedWidthInteger & UnsignedInteger>(_ register: UInt8, _ value: T) {
        if T.bitWidth == 32 {
            storeBytes(of: UInt64(truncatingIfNeeded: value), toByteOffset: Int(register), as: UInt64.self)
        } else {
            storeBytes(of: value, toByteOffset: Int(register), as: T.self)
        }
    }

    /// A 64-bit register by its byte offset.
    @inline(__always)
    subscript(_ register: UInt8) -> UInt64 {
        get { load(fromByteOffset: Int(register), as: UInt64.self) }
        nonmutating set { storeBytes(of: newValue, toByteOffset: Int(register), as: UInt64.self) }
    }

    /// RIP, outside of a block.
    var rip: UInt64 {
        get { self[Register.rip] }
        nonmutating set { self[Register.rip] = newValue }
    }

    /// A segment register by its number; 6 and 7 are LDTR and TR.
    func segment(_ number: Int) -> UnsafeMutablePointer<SegmentRegister> {
        let base = UnsafeMutableRawPointer(cpu) + MemoryLayout<CPUState>.offset(of: \.segments).unsafelyUnwrapped
        return base.assumingMemoryBound(to: SegmentRegister.self) + (number & 7)
    }

    @inline(__always)
    var segmentBases: UnsafeMutablePointer<UInt64> {
        let base = UnsafeMutableRawPointer(cpu) + MemoryLayout<CPUState>.offset(of: \.segmentBase).unsafelyUnwrapped
        return base.assumingMemoryBound(to: UInt64.self)
    }

    /// Of the debugger; the guest's are `debugRegister`.
    func watchAddress(_ number: Int) -> UInt64 {
        switch number {
        case 0: cpu.pointee.watch.0
        case 1: cpu.pointee.watch.1
        case 2: cpu.pointee.watch.2
        default: cpu.pointee.watch.3
        }
    }

    var pageDirectoryPointers: UnsafeMutablePointer<UInt64> {
        let base =
            UnsafeMutableRawPointer(cpu) + MemoryLayout<CPUState>.offset(of: \.pageDirectoryPointers).unsafelyUnwrapped
        return base.assumingMemoryBound(to: UInt64.self)
    }

    func debugRegister(_ number: Int) -> UnsafeMutablePointer<UInt64> {
        let base = UnsafeMutableRawPointer(cpu) + MemoryLayout<CPUState>.offset(of: \.dr).unsafelyUnwrapped
        return base.assumingMemoryBound(to: UInt64.self) + (number & 7)
    }
}
