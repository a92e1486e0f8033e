// Where vector registers and the handlers' temporaries lie in the state; the same numbers as chost_simd.h.

import CHost

extension Layout {
    /// For a memory operand of a vector or x87 instruction: vector register 24.
    static let vectorTemporary = vectors + 16 * Int(CH_TEMPORARY)
    /// EFLAGS image of a comparison.
    static let comparedFlags = Int(CH_FLAGS)
    /// Vector that a CHost handler raises.
    static let raisedVector = Int(CH_FAULT)
    /// A copy of X87Control to which a store is done, before memory is written.
    static let x87Shadow = 2480
    /// Images of FXSAVE, XSAVE, FNSAVE.
    static let image = 2560
    static let imageSize = 576

    static let mxcsr = state + MemoryLayout<CPUState>.offset(of: \.mxcsr).unsafelyUnwrapped
    static let x87Control = state + MemoryLayout<CPUState>.offset(of: \.x87).unsafelyUnwrapped
}

extension Register {
    /// A memory operand that takes the place of a general register.
    static let integerTemporary: UInt8 = 176
}

/// Numbers of vector registers: XMM0-15, R0-R7 of x87 and MMX, a temporary.
enum VectorRegister {
    static let temporary = UInt8(CH_TEMPORARY)
    static func mmx(_ number: UInt8) -> UInt8 { 16 + number & 7 }
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func vectorPlace(_ number: UInt8) -> UnsafeMutableRawPointer { self + (Layout.vectors &+ Int(number) &* 16) }

    @inline(__always)
    var temporary: UnsafeMutableRawPointer { self + Layout.vectorTemporary }

    /// SAFETY: X87Control and `struct ch_x87` have the same fields in the same order (a test compares the layouts).
    @inline(__always)
    var x87: UnsafeMutablePointer<ch_x87> { (self + Layout.x87Control).assumingMemoryBound(to: ch_x87.self) }

    @inline(__always)
    var x87Registers: UnsafeMutablePointer<UInt8> { (self + Layout.x87).assumingMemoryBound(to: UInt8.self) }

    /// An x87 exception waits for the next instruction that looks, which raises #MF. With CR0.NE clear the processor asserts FERR# instead, and
    /// goes on where IGNNE# is asserted (SDM volume 1, 8.7.2): here it always goes on, and there is no IRQ 13.
    @inline(__always)
    var x87IsPending: Bool { cpu.pointee.x87.status & 0x80 != 0 && cpu.pointee.cr0 & CR0.ne != 0 }

    /// What every MMX instruction does: TOP is 0 and all registers are valid.
    @inline(__always)
    func touchMMX() {
        cpu.pointee.x87.status &= ~0x3800
        cpu.pointee.x87.notEmpty = 0xff
    }
}
