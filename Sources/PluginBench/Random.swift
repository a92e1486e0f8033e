/// A small generator with a seed (SplitMix64: Steele, Lea, Flood 2014): the same seed gives the same run everywhere.
struct Random {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// A generator for part `stream` of a run.
    init(seed: UInt64, stream: UInt64) {
        self.init(seed: seed ^ (stream &+ 1) &* 0xD1B5_4A32_D192_ED03)
        _ = next()
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z &>> 31)
    }

    /// 0 ..< limit; 0 where the limit is 0.
    mutating func below(_ limit: UInt64) -> UInt64 { limit == 0 ? 0 : next().multipliedFullWidth(by: limit).high }
    mutating func below(_ limit: Int) -> Int { limit <= 0 ? 0 : Int(below(UInt64(limit))) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<T>(_ items: [T]) -> T? { items.isEmpty ? nil : items[below(items.count)] }

    /// 1 ..< 2^bits, each power of two as likely as the next.
    mutating func logarithmic(bits: Int) -> UInt64 { next() >> UInt64(64 - 1 - below(max(1, min(bits, 63)))) | 1 }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<max(0, count)).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}
