// System instructions: which handler does what. Each is one operation made by `general`; what is not named here is of another family.

import CBackplane

extension BlockBuilder {
    /// false: not an instruction of this family.
    mutating func emitSystem(_ i: Instruction) -> Bool {
        emitFar(i) || emitSegments(i) || emitTables(i) || emitControlRegisters(i) || emitFlagsAndMachine(i)
            || emitGuarded(i)
    }

    /// Registers by number: all of these have 2 to 8 bytes.
    private mutating func plain(_ i: Instruction, _ handler: Handler, size: UInt16 = 0, isWrite: Bool = false) -> Bool {
        general(i, handler, size: size, isWrite: isWrite)
        return true
    }

    /// With a segment register's number, or another small one, in `which`.
    private mutating func numbered(_ i: Instruction, _ handler: Handler, _ number: Int, size: UInt16 = 0) -> Bool {
        general(i, handler, size: size)
        last.which = number
        return true
    }

    private mutating func emitFar(_ i: Instruction) -> Bool {
        let pointer = UInt16(i.operandSize) + 2
        switch i.mnemonic {
        case .callFar, .callFarIndirect: return plain(i, callFar, size: pointer)
        case .jmpFar, .jmpFarIndirect: return plain(i, jumpFar, size: pointer)
        case .retFar: return plain(i, returnFar)
        case .int3: return plain(i, int3)
        case .int: return plain(i, interruptSoftware)
        case .into: return plain(i, interruptOverflow)
        case .int1: return plain(i, int1)
        case .iret: return plain(i, interruptReturn)
        case .bound: return plain(i, bound, size: UInt16(i.operandSize) * 2)
        case .syscall: return plain(i, systemCall)
        case .sysret: return plain(i, systemReturn)
        case .sysenter: return plain(i, systemEnter)
        case .sysexit: return plain(i, systemExit)
        default: return false
        }
    }

    private mutating func emitSegments(_ i: Instruction) -> Bool {
        let pointer = UInt16(i.operandSize) + 2
        switch i.mnemonic {
        case .movFromSegment: return plain(i, moveFromSegment, size: 2, isWrite: true)
        case .movSegment: return numbered(i, moveToSegment, Int(i.reg & 7), size: 2)
        case .pushSegment: return numbered(i, pushSegment, Self.segment(i.operands.0))
        case .popSegment: return numbered(i, popSegment, Self.segment(i.operands.0))
        case .les: return numbered(i, loadFarPointer, Segment.es, size: pointer)
        case .lds: return numbered(i, loadFarPointer, Segment.ds, size: pointer)
        case .lss: return numbered(i, loadFarPointer, Segment.ss, size: pointer)
        case .lfs: return numbered(i, loadFarPointer, Segment.fs, size: pointer)
        case .lgs: return numbered(i, loadFarPointer, Segment.gs, size: pointer)
        case .verr: return plain(i, verifyRead, size: 2)
        case .verw: return plain(i, verifyWrite, size: 2)
        case .lar: return plain(i, loadAccessRights, size: 2)
        case .lsl: return plain(i, loadSegmentLimit, size: 2)
        case .arpl: return plain(i, adjustRPL, size: 2, isWrite: true)
        case .rdfsbase: return numbered(i, readSegmentBase, Segment.fs)
        case .rdgsbase: return numbered(i, readSegmentBase, Segment.gs)
        case .wrfsbase: return numbered(i, writeSegmentBase, Segment.fs)
        case .wrgsbase: return numbered(i, writeSegmentBase, Segment.gs)
        case .swapgs: return plain(i, swapGS)
        default: return false
        }
    }

    private static func segment(_ operand: Operand) -> Int {
        switch operand {
        case .ES: Segment.es
        case .CS: Segment.cs
        case .SS: Segment.ss
        case .DS: Segment.ds
        case .FS: Segment.fs
        default: Segment.gs
        }
    }

    private mutating func emitTables(_ i: Instruction) -> Bool {
        let pseudo: UInt16 = is64 ? 10 : 6
        switch i.mnemonic {
        case .lgdt: return numbered(i, loadTable, 0, size: pseudo)
        case .lidt: return numbered(i, loadTable, 1, size: pseudo)
        case .sgdt, .sidt:
            general(i, storeTable, size: pseudo, isWrite: true)
            last.which = i.mnemonic == .sidt ? 1 : 0
            return true
        case .lldt: return plain(i, loadLDT, size: 2)
        case .ltr: return plain(i, loadTaskRegister, size: 2)
        case .sldt, .str:
            general(i, storeSystemSegment, size: 2, isWrite: true)
            last.which = i.mnemonic == .str ? Segment.tr : Segment.ldtr
            return true
        default: return false
        }
    }

    private mutating func emitControlRegisters(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .movFromCR: return numbered(i, moveFromControl, Int(i.reg))
        case .movToCR: return numbered(i, moveToControl, Int(i.reg))
        case .movFromDR: return numbered(i, moveFromDebug, Int(i.reg))
        case .movToDR: return numbered(i, moveToDebug, Int(i.reg))
        case .smsw: return plain(i, storeMachineStatus, size: 2, isWrite: true)
        case .lmsw: return plain(i, loadMachineStatus, size: 2)
        case .clts: return plain(i, clearTaskSwitched)
        case .invlpg: return plain(i, invalidatePage)
        case .invpcid: return plain(i, invalidatePCID, size: 16)
        case .invd, .wbinvd: return plain(i, invalidateCaches)
        case .xgetbv: return plain(i, getExtendedControl)
        case .xsetbv: return plain(i, setExtendedControl)
        case .rdmsr: return plain(i, readMSR)
        case .wrmsr: return plain(i, writeMSR)
        default: return false
        }
    }

    private mutating func emitFlagsAndMachine(_ i: Instruction) -> Bool {
        switch i.mnemonic {
        case .cli: return plain(i, clearInterrupts)
        case .sti: return plain(i, setInterrupts)
        case .pushf: return plain(i, pushFlags)
        case .popf: return plain(i, popFlags)
        case .clac: return numbered(i, setAlignmentCheck, 0)
        case .stac: return numbered(i, setAlignmentCheck, 1)
        case .hlt: return plain(i, halt)
        case .cpuid: return plain(i, identify)
        case .rdtsc: return numbered(i, readTimeStamp, 0)
        case .rdtscp: return numbered(i, readTimeStamp, 1)
        case .rdpmc: return plain(i, readPerformanceCounter)
        case .rdpid: return plain(i, readProcessorID)
        case .rdrand: return numbered(i, random, BP_EXIT_RDRAND)
        case .rdseed: return numbered(i, random, BP_EXIT_RDSEED)
        case .pause: return plain(i, pause)
        default: return false
        }
    }

    /// Instructions that this CPU does not have; a policy may answer them.
    private mutating func emitGuarded(_ i: Instruction) -> Bool {
        let reason: Int
        switch i.mnemonic {
        case .vmcall, .vmmcall: reason = BP_EXIT_VMCALL
        case .vmclear: reason = 19
        case .vmlaunch: reason = 20
        case .vmptrld: reason = 21
        case .vmptrst: reason = 22
        case .vmread: reason = 23
        case .vmresume: reason = 24
        case .vmwrite: reason = 25
        case .vmxoff: reason = 26
        case .vmxon: reason = 27
        case .monitor: reason = BP_EXIT_MONITOR
        case .mwait: reason = BP_EXIT_MWAIT
        case .rsm, .vmrun: reason = 0
        default: return false
        }
        return numbered(i, guarded, reason)
    }
}
