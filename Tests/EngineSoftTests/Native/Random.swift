// Seeded operands: values near the edges of every width, bit patterns of floats, and plain noise.

import SplitMix

struct Randomness {
    private var numbers: SplitMix64
    init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    mutating func next() -> UInt64 { numbers.next() }
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<T>(_ values: [T]) -> T { values[below(values.count)] }

    /// An operand that is likely to find an edge.
    mutating func value() -> UInt64 {
        switch below(9) {
        case 0, 1, 2: return next()
        case 3: return next() >> UInt64(below(64))
        case 4:
            let sign: UInt64 = 1 << UInt64(pick([7, 15, 31, 63]))
            return sign &+ UInt64(below(5)) &- 2
        case 5: return UInt64(below(17)) &- 8
        case 6: return double()
        case 7: return UInt64(single()) | UInt64(single()) << 32
        default:
            let byte: [UInt64] = [0, 0xff, 0x80, 0x7f, 1, next() & 0xff]
            return (0..<8).reduce(0) { result, _ in result << 8 | byte[below(6)] }
        }
    }

    mutating func single() -> UInt32 {
        let sign = UInt32(below(2)) << 31
        switch below(8) {
        case 0: return sign
        case 1: return sign | 0x7f80_0000
        case 2: return sign | 0x7fc0_0000 | UInt32(next() & 0xffff)
        case 3: return sign | 0x7f80_0001 | UInt32(next() & 0x3fffff)
        case 4: return sign | UInt32(next() & 0x7fffff)
        case 5: return Float(below(2001) - 1000).bitPattern
        case 6: return sign | UInt32(127 - 30 + below(70)) << 23 | UInt32(next() & 0x7fffff)
        default: return UInt32(truncatingIfNeeded: next())
        }
    }

    mutating func double() -> UInt64 {
        let sign = UInt64(below(2)) << 63
        let fraction = next() & 0xf_ffff_ffff_ffff
        switch below(8) {
        case 0: return sign
        case 1: return sign | 0x7ff0_0000_0000_0000
        case 2: return sign | 0x7ff8_0000_0000_0000 | fraction
        case 3: return sign | 0x7ff0_0000_0000_0001 | fraction & 0x7_ffff_ffff_ffff
        case 4: return sign | fraction
        case 5: return Double(below(200_001) - 100_000).bitPattern
        case 6: return sign | UInt64(1023 - 70 + below(140)) << 52 | fraction
        default: return next()
        }
    }

    /// 80 bits: sign and exponent, significand.
    mutating func extended() -> (head: UInt16, significand: UInt64) {
        let sign = UInt16(below(2)) << 15
        let top: UInt64 = 1 << 63
        switch below(12) {
        case 0: return (sign, 0)
        case 1: return (sign | 0x7fff, top)
        case 2: return (sign | 0x7fff, top | 1 << 62 | next() >> 2)
        case 3: return (sign | 0x7fff, top | (next() >> 2 | 1))
        case 4: return (sign, next() >> 1)
        case 5: return (sign, next() | top)  // pseudo-denormal
        case 6: return (sign | UInt16(below(0x7ffe) + 1), next() >> 1)  // unnormal
        case 7:
            let small = Double(below(2001) - 1000)
            return Randomness.extended(small)
        case 8: return (sign | UInt16(16383 - 70 + below(140)), next() | top)
        case 9: return (sign | UInt16(16383 - 4 + below(8)), next() & ~0x7ff | top)
        case 10: return (sign | UInt16(below(0x7ffe) + 1), next() | top)
        default: return (UInt16(truncatingIfNeeded: next()), next())
        }
    }

    private static func extended(_ value: Double) -> (UInt16, UInt64) {
        guard value != 0 else { return (0, 0) }
        let head = UInt16(16383 + Int(value.exponent)) | (value < 0 ? 0x8000 : 0)
        return (head, 1 << 63 | value.significandBitPattern << 11)
    }
}
