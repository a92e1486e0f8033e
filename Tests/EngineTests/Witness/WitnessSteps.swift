// What cases are made of: one system instruction each, with what leads up to it.

import SplitMix

struct WitnessRandom {
    private var numbers: SplitMix64
    init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    mutating func next() -> UInt64 { numbers.next() }
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<T>(_ values: [T]) -> T { values[below(values.count)] }
}

/// A case: code for `Image.code`, and what else its memory holds.
struct WitnessCase {
    let mode: WitnessMode
    var image: WitnessImage
    var code: [UInt8] = []
    var names: [String] = []
    var random: WitnessRandom
    /// Of the data page and the stack that have been handed out.
    private var dataAt = Image.data
    private var frameAt = Image.data + 0x800

    init(_ mode: WitnessMode, _ image: WitnessImage, seed: UInt64) {
        self.mode = mode
        self.image = image
        random = WitnessRandom(seed: seed)
        for _ in 0..<(1 + random.below(3)) {
            let step = random.pick(WitnessCase.steps.filter { $0.isFor(mode) })
            names.append(step.name)
            step.emit(&self)
        }
        code.append(0xf4)
        self.image.put(Image.code, code)
    }

    var description: String {
        "\(mode) \(names.joined(separator: ", ")): "
            + code.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
            .joined(separator: " ")
    }

    // MARK: Parts

    struct Step: Sendable {
        let name: String
        let isFor: @Sendable (WitnessMode) -> Bool
        let emit: @Sendable (inout WitnessCase) -> Void

        init(
            _ name: String, _ isFor: @escaping @Sendable (WitnessMode) -> Bool = { _ in true },
            _ emit: @escaping @Sendable (inout WitnessCase) -> Void
        ) {
            (self.name, self.isFor, self.emit) = (name, isFor, emit)
        }
    }

    /// MOV r32, imm32
    mutating func load(_ register: UInt8, _ value: UInt64) {
        if mode.is16 { code.append(0x66) }
        code += [0xb8 + register] + WitnessCase.bytes(value, 4)
    }

    /// ModRM and displacement of an absolute address.
    func absolute(_ reg: UInt8, _ address: Int) -> [UInt8] {
        if mode.is16 { return [reg << 3 | 6] + WitnessCase.bytes(UInt64(address), 2) }
        return [reg << 3 | 4, 0x25] + WitnessCase.bytes(UInt64(address), 4)
    }

    /// A place in memory that holds these values, each of so many bytes.
    mutating func data(_ values: [(UInt64, Int)]) -> Int {
        let start = dataAt
        for (value, size) in values {
            image.put(dataAt, value, size)
            dataAt += size
        }
        dataAt = (dataAt + 15) & ~15
        return start
    }

    /// A stack with these words on top.
    mutating func frame(_ values: [UInt64], _ size: Int) {
        frameAt += 0x80
        let start = frameAt
        for (index, value) in values.enumerated() { image.put(start + index * size, value, size) }
        load(4, UInt64(start))
    }

    static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
    }

    /// Mostly one of the tables' entries, with any RPL; sometimes null, beyond the limit or in the LDT.
    mutating func selector() -> UInt64 {
        let rpl = random.chance(60) ? (mode.isUser ? 3 : 0) : UInt64(random.below(4))
        switch random.below(20) {
        case 0: return rpl
        case 1: return 0x180 | rpl
        case 2, 3: return UInt64(random.below(6)) << 3 | 4 | rpl
        default: return UInt64(1 + random.below(46)) << 3 | rpl
        }
    }

    /// Mostly what a load of SS or a data segment takes.
    mutating func likelyData() -> UInt64 {
        random.chance(50)
            ? selector()
            : random.pick((mode.isUser ? [0x23, 0x1b3, 0x15b] : [0x10, 0x20, 0x128, 0x108, 0x54]) as [UInt64])
    }

    mutating func likelyCode() -> UInt64 {
        if random.chance(40) { return selector() }
        return random.pick(
            (mode.isUser
                ? [0x1b, 0x33, 0x3b, 0xa3, 0xb3, 0x153] : [8, 0x28, 0x38, 0x40, 0x110, 0xa0, 0xb0, 0x100, 0x18])
                as [UInt64])
    }

    mutating func offset() -> UInt64 {
        random.chance(85)
            ? UInt64(Image.arrivals) : random.pick([0x1234_5678, 0xffff, 0xffff_ffff, UInt64(Image.rights + 0x5000)])
    }

    /// In one of the pages with rights of their own, or across its end.
    mutating func page() -> Int { Image.rights + random.below(16) * 4096 + random.pick([0x10, 0xffe]) }

    mutating func flags() -> UInt64 {
        let usual: UInt64 = random.next() & 0x8d5 | 2
        return usual | random.pick([0, 0, 0x3000, 0x4000, 0x4_0000, 0x20_0000, 0x1_0000, 0x8028, 0x18_0000])
    }
}
