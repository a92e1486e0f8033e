// Vector registers and handlers' temporaries by their numbers; chost_simd.h has the same.

import CHost

extension Register {
    /// A memory operand that takes the place of a general register.
    static let integerTemporary: UInt8 = 176
}

/// Places of vector registers in units of 16 bytes: XMM0-15 in slots of 64, R0-R7 of x87 and MMX, a temporary.
enum VectorRegister {
    static let temporary = UInt8(CH_TEMPORARY)
    static func xmm(_ number: UInt8) -> UInt8 { (number & 15) * UInt8(CH_XMM_STRIDE) }
    static func mmx(_ number: UInt8) -> UInt8 { UInt8(CH_X87_FIRST) + number & 7 }
}

extension UnsafeMutableRawPointer {
    /// XMM0 to XMM(`count` - 1) as images have them, 16 bytes each.
    func copyVectors(to image: UnsafeMutableRawPointer, count: Int) {
        for number in 0..<count {
            (image + number * 16).copyMemory(
                from: vectorPlace(VectorRegister.xmm(UInt8(number))), byteCount: 16)
        }
    }

    func copyVectors(from image: UnsafeRawPointer, count: Int) {
        for number in 0..<count {
            vectorPlace(VectorRegister.xmm(UInt8(number))).copyMemory(
                from: image + number * 16, byteCount: 16)
        }
    }
}

extension UnsafeMutableRawPointer {
    @inline(__always)
    func vectorPlace(_ number: UInt8) -> UnsafeMutableRawPointer {
        self + (Layout.vectors &+ Int(number) &* 16)
    }

    @inline(__always)
    var temporary: UnsafeMutableRawPointer { self + Layout.vectorTemporary }

    /// SAFETY: X87Control and `struct ch_x87` have the same fields in the same order (a test compares the layouts).
    @inline(__always)
    var x87: UnsafeMutablePointer<ch_x87> {
        (self + Int(CH_X87)).assumingMemoryBound(to: ch_x87.self)
    }

    @inline(__always)
    var x87Registers: UnsafeMutablePointer<UInt8> {
        (self + Layout.x87).assumingMemoryBound(to: UInt8.self)
    }

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
