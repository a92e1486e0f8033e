// The CPU's memory, piece by piece: all that a handler, CHost's and generated code find by a fixed offset from `S`. A test restates every
// number (StateLayoutTests): they are an interface between languages, and a change of one is a change of all who use it.
// SAFETY for the module: `S` is allocated by SoftCPU with `Layout.size` bytes, aligned to a page, and lives as long as it. Offsets of
// registers come from the decoder, which makes only those of `Register`.

import CHost

/// The CPU's memory.
typealias S = UnsafeMutableRawPointer

enum Layout {
    /// General registers and what operations leave for each other (`Register`): 0 to 255.
    /// What runs: `RunState`.
    static let run = 256
    /// What the guest can see and what a snapshot holds, but for registers: `CPUState`.
    static let state = 768
    /// XMM0-15, in slots of 64 bytes.
    static let vectors = Int(CH_VECTORS)
    /// R0-R7 (physical), 16 bytes each, the value in the low 10.
    static let x87 = vectors + 16 * Int(CH_X87_FIRST)
    /// For a memory operand of a vector or x87 instruction; a slot like those of XMM.
    static let vectorTemporary = vectors + 16 * Int(CH_TEMPORARY)
    /// EFLAGS image of a comparison.
    static let comparedFlags = Int(CH_FLAGS)
    /// Vector that a CHost handler raises.
    static let raisedVector = Int(CH_FAULT)
    /// A copy of X87Control to which a store is done, before memory is written.
    static let x87Shadow = 3296
    /// Images of FXSAVE, XSAVE, FNSAVE.
    static let image = 3328
    static let imageSize = 576
    /// The TLB: a table for each privilege, in the order of `Privilege`.
    static let tlb = 4096
    /// Where accesses of loops went last: `LoopSite`.
    static let sites = tlb + Privilege.count * TLBEntry.count * TLBEntry.stride
    static let size = sites + LoopSite.count * LoopSite.stride
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    var run: UnsafeMutablePointer<RunState> {
        (self + Layout.run).assumingMemoryBound(to: RunState.self)
    }

    @inline(__always)
    var cpu: UnsafeMutablePointer<CPUState> {
        (self + Layout.state).assumingMemoryBound(to: CPUState.self)
    }

    /// A register of the width of T at its byte offset.
    @inline(__always)
    func get<T: FixedWidthInteger>(_ register: UInt8, as type: T.Type = T.self) -> T {
        load(fromByteOffset: Int(register), as: T.self)
    }

    /// As the CPU writes it: 32 bits clear the upper half, 8 and 16 leave the rest.
    @inline(__always)
    func put<T: FixedWidthInteger & UnsignedInteger>(_ register: UInt8, _ value: T) {
        if T.bitWidth == 32 {
            storeBytes(
                of: UInt64(truncatingIfNeeded: value), toByteOffset: Int(register), as: UInt64.self)
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
        let base =
            UnsafeMutableRawPointer(cpu) + MemoryLayout<CPUState>.offset(of: \.segments).unsafelyUnwrapped
        return base.assumingMemoryBound(to: SegmentRegister.self) + (number & 7)
    }

    @inline(__always)
    var segmentBases: UnsafeMutablePointer<UInt64> {
        let base =
            UnsafeMutableRawPointer(run)
            + MemoryLayout<RunState>.offset(of: \.segmentBase).unsafelyUnwrapped
        return base.assumingMemoryBound(to: UInt64.self)
    }

    /// Of the debugger; the guest's are `debugRegister`.
    func watchAddress(_ number: Int) -> UInt64 {
        switch number {
        case 0: run.pointee.watch.0
        case 1: run.pointee.watch.1
        case 2: run.pointee.watch.2
        default: run.pointee.watch.3
        }
    }

    var pageDirectoryPointers: UnsafeMutablePointer<UInt64> {
        let base =
            UnsafeMutableRawPointer(cpu)
            + MemoryLayout<CPUState>.offset(of: \.pageDirectoryPointers).unsafelyUnwrapped
        return base.assumingMemoryBound(to: UInt64.self)
    }

    func debugRegister(_ number: Int) -> UnsafeMutablePointer<UInt64> {
        let base =
            UnsafeMutableRawPointer(cpu) + MemoryLayout<CPUState>.offset(of: \.dr).unsafelyUnwrapped
        return base.assumingMemoryBound(to: UInt64.self) + (number & 7)
    }
}
