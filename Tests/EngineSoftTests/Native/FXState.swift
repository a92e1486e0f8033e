// Random x87, MMX and SSE state as an FXSAVE image, and what of two images must be equal.

import Glibc

enum FXState {
    static func fill(_ image: UnsafeMutableRawPointer, _ random: inout Randomness, isPlain: Bool) {
        memset(image, 0, 512)
        image.storeBytes(of: 0x37f as UInt16, toByteOffset: 0, as: UInt16.self)
        image.storeBytes(of: 0x1f80 as UInt32, toByteOffset: 24, as: UInt32.self)
        if isPlain { return }
        control(image, &random)
        for number in 0..<8 {
            let (head, significand) = random.extended()
            image.storeBytes(of: significand, toByteOffset: 32 + number * 16, as: UInt64.self)
            image.storeBytes(of: head, toByteOffset: 40 + number * 16, as: UInt16.self)
        }
        for number in 0..<32 { image.storeBytes(of: random.value(), toByteOffset: 160 + number * 8, as: UInt64.self) }
    }

    private static func control(_ image: UnsafeMutableRawPointer, _ random: inout Randomness) {
        let masks: UInt16 = random.chance(85) ? 0x3f : UInt16(random.below(64))
        let precision: UInt16 = random.pick([0, 0x200, 0x300, 0x300, 0x300])
        let rounding = UInt16(random.below(4)) << 10
        image.storeBytes(of: masks | 0x40 | precision | rounding, toByteOffset: 0, as: UInt16.self)
        // No exception is pending: that would be raised by whatever comes next.
        let status = UInt16(truncatingIfNeeded: random.next()) & (0x7f40 | masks)
        image.storeBytes(of: status, toByteOffset: 2, as: UInt16.self)
        let full: UInt8 = random.chance(60) ? 0xff : UInt8(truncatingIfNeeded: random.next())
        image.storeBytes(of: full, toByteOffset: 4, as: UInt8.self)
        var mxcsr: UInt32 = random.chance(85) ? 0x1f80 : UInt32(random.below(64)) << 7
        mxcsr |= UInt32(random.below(4)) << 13
        if random.chance(20) { mxcsr |= 0x8000 }
        if random.chance(20) { mxcsr |= 0x40 }
        mxcsr |= UInt32(random.below(64)) & (random.chance(50) ? 0 : 63)
        image.storeBytes(of: mxcsr, toByteOffset: 24, as: UInt32.self)
    }

    static func differences(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, statusMask: UInt16) -> [String] {
        let (a, b) = (a + FXImage.offset, b + FXImage.offset)
        var lines: [String] = []
        func compare<T: FixedWidthInteger & UnsignedInteger>(_ name: String, _ offset: Int, _: T.Type) {
            let (x, y) = (
                a.loadUnaligned(fromByteOffset: offset, as: T.self), b.loadUnaligned(fromByteOffset: offset, as: T.self)
            )
            if x != y { lines.append("\(name) native 0x\(String(x, radix: 16)) soft 0x\(String(y, radix: 16))") }
        }
        compare("fcw", 0, UInt16.self)
        let (x, y) = (a.load(fromByteOffset: 2, as: UInt16.self), b.load(fromByteOffset: 2, as: UInt16.self))
        if (x ^ y) & statusMask != 0 {
            lines.append("fsw native 0x\(String(x, radix: 16)) soft 0x\(String(y, radix: 16))")
        }
        compare("ftw", 4, UInt8.self)
        // An unmasked underflow or overflow: whether the result that nobody gets is inexact too depends on an exponent without bounds.
        let mxcsr = (a.load(fromByteOffset: 24, as: UInt32.self), b.load(fromByteOffset: 24, as: UInt32.self))
        let unmasked = mxcsr.0 & mxcsr.1 & ~(mxcsr.0 >> 7) & 0x18
        if (mxcsr.0 ^ mxcsr.1) & (unmasked != 0 ? ~0x20 : ~0) != 0 {
            lines.append("mxcsr native 0x\(String(mxcsr.0, radix: 16)) soft 0x\(String(mxcsr.1, radix: 16))")
        }
        for number in 0..<8 {
            compare("st\(number) significand", 32 + number * 16, UInt64.self)
            compare("st\(number) exponent", 40 + number * 16, UInt16.self)
        }
        for number in 0..<16 {
            compare("xmm\(number) low", 160 + number * 16, UInt64.self)
            compare("xmm\(number) high", 168 + number * 16, UInt64.self)
        }
        return lines
    }
}
