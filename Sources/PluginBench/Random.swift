import SplitMix

/// The same seed gives the same run everywhere.
struct Random {
    private var numbers: SplitMix64

    init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    /// A generator for part `stream` of a run.
    init(seed: UInt64, stream: UInt64) {
        self.init(seed: seed ^ (stream &+ 1) &* 0xD1B5_4A32_D192_ED03)
        _ = next()
    }

    mutating func next() -> UInt64 { numbers.next() }

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
