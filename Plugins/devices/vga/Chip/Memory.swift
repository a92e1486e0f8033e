// The processor's way to the four planes: addressing (planar, odd/even, chain 4), latches, write modes 0 to 3, read modes
// 0 and 1 (IBM: "Graphics Controller", "Display Memory Addressing").

extension VGA {
    /// Bytes of memory that the calls need.
    public static let memorySize = 4 * 0x1_0000

    /// The window at 0xA0000 in which the chip answers, as offsets from 0xA0000; nil: none.
    public var window: Range<UInt32>? {
        guard state.isEnabled, state.miscellaneousOutput.contains(.memoryEnable) else { return nil }
        switch state.graphics[Graphics.miscellaneous] >> 2 & 3 {
        case 0: return 0..<0x2_0000
        case 1: return 0..<0x1_0000
        case 2: return 0x1_0000..<0x1_8000
        default: return 0x1_8000..<0x2_0000
        }
    }

    /// How an address finds its planes.
    private enum Addressing { case planar, oddEven, chained }

    private func place(_ address: UInt32, _ addressing: Addressing) -> (offset: Int, planes: UInt8) {
        switch addressing {
        case .planar: (Int(address & 0xFFFF), 0b1111)
        case .oddEven: (Int(address & 0xFFFE), address & 1 == 0 ? 0b0101 : 0b1010)
        case .chained: (Int(address & 0xFFFF) / 4, 1 << UInt8(address & 3))
        }
    }

    private var chains: Bool { state.sequencer[Sequencer.memoryMode] & 0b1000 != 0 }

    /// Reads one byte and fills the latches.
    /// - Parameters:
    ///   - address: from 0xA0000.
    ///   - memory: at least `memorySize` bytes.
    /// - Returns: 0xFF outside of the window, or of a memory that is too small.
    public mutating func readMemory(_ address: UInt32, from memory: Span<UInt8>) -> UInt8 {
        guard let (offset, planes) = readPlace(address), memory.count >= Self.memorySize else { return 0xFF }
        state.latches = Self.load(memory, offset)
        return value(of: state.latches, planes)
    }

    /// What `readMemory` would return, without its effect on the latches.
    public func peekMemory(_ address: UInt32, from memory: Span<UInt8>) -> UInt8 {
        guard let (offset, planes) = readPlace(address), memory.count >= Self.memorySize else { return 0xFF }
        return value(of: Self.load(memory, offset), planes)
    }

    private func readPlace(_ address: UInt32) -> (offset: Int, planes: UInt8)? {
        guard let window, window.contains(address) else { return nil }
        let inside = address &- window.lowerBound
        if chains { return place(inside, .chained) }
        let map = state.graphics[Graphics.readMap]
        guard state.graphics[Graphics.mode] & 0x10 != 0 else {
            return (place(inside, .planar).offset, 1 << map)
        }
        return (place(inside, .oddEven).offset, 1 << (map & 0b10 | UInt8(inside & 1)))
    }

    private func value(of planes: UInt32, _ selected: UInt8) -> UInt8 {
        guard state.graphics[Graphics.mode] & 0x08 == 0 else { return compare(planes) }
        return UInt8(truncatingIfNeeded: planes &>> (UInt32(selected.trailingZeroBitCount) &* 8))
    }

    /// Read mode 1: a bit is 1 where every plane that is looked at has the compared colour's bit.
    private func compare(_ planes: UInt32) -> UInt8 {
        let wanted = Self.spread(state.graphics[Graphics.colorCompare])
        let differing = (planes ^ wanted) & Self.spread(state.graphics[Graphics.colorDontCare])
        return ~UInt8(truncatingIfNeeded: differing | differing &>> 8 | differing &>> 16 | differing &>> 24)
    }

    /// Writes one byte.
    /// - Returns: the planes' offset, 0...65535, that was written; nil: none was.
    @discardableResult
    public mutating func writeMemory(_ address: UInt32, _ value: UInt8, to memory: inout MutableSpan<UInt8>) -> Int? {
        guard let window, window.contains(address), memory.count >= Self.memorySize else { return nil }
        let oddEven = state.sequencer[Sequencer.memoryMode] & 0b100 == 0
        let (offset, reached) = place(address &- window.lowerBound, chains ? .chained : oddEven ? .oddEven : .planar)
        let planes = reached & state.sequencer[Sequencer.mapMask]
        guard planes != 0 else { return nil }
        let result = changesValues ? written(value) : Self.repeated(value)
        let place = offset * 4
        if planes & 1 != 0 { memory[place] = UInt8(truncatingIfNeeded: result) }
        if planes & 2 != 0 { memory[place + 1] = UInt8(truncatingIfNeeded: result &>> 8) }
        if planes & 4 != 0 { memory[place + 2] = UInt8(truncatingIfNeeded: result &>> 16) }
        if planes & 8 != 0 { memory[place + 3] = UInt8(truncatingIfNeeded: result &>> 24) }
        return offset
    }

    /// A written byte is not simply the one that each plane gets.
    @inline(__always)
    private var changesValues: Bool {
        let graphics = state.graphics
        return graphics[Graphics.mode] & 3 | graphics[Graphics.rotate] | graphics[Graphics.enableSetReset]
            | ~graphics[Graphics.bitMask] != 0
    }

    /// The four planes' bytes that a written byte makes.
    private func written(_ value: UInt8) -> UInt32 {
        let graphics = state.graphics
        let rotated = Self.rotate(value, graphics[Graphics.rotate] & 7)
        let setReset = Self.spread(graphics[Graphics.setReset])
        switch graphics[Graphics.mode] & 3 {
        case 0:
            let enabled = Self.spread(graphics[Graphics.enableSetReset])
            let data = Self.repeated(rotated) & ~enabled | setReset & enabled
            return combine(data, mask: graphics[Graphics.bitMask])
        case 1: return state.latches
        case 2: return combine(Self.spread(value), mask: graphics[Graphics.bitMask])
        default: return combine(setReset, mask: graphics[Graphics.bitMask] & rotated)
        }
    }

    /// The function with the latches, and the latches' bits where the mask is 0.
    private func combine(_ data: UInt32, mask: UInt8) -> UInt32 {
        let latches = state.latches
        let result: UInt32
        switch state.graphics[Graphics.rotate] >> 3 {
        case 0: result = data
        case 1: result = data & latches
        case 2: result = data | latches
        default: result = data ^ latches
        }
        let bits = Self.repeated(mask)
        return result & bits | latches & ~bits
    }

    private static func rotate(_ value: UInt8, _ count: UInt8) -> UInt8 {
        value &>> count | value &<< ((8 &- count) & 7)
    }

    private static func repeated(_ byte: UInt8) -> UInt32 { UInt32(byte) &* 0x0101_0101 }

    /// Bit n to all of plane n's byte.
    private static func spread(_ bits: UInt8) -> UInt32 {
        let each = UInt32(bits & 1) | UInt32(bits & 2) &<< 7 | UInt32(bits & 4) &<< 14 | UInt32(bits & 8) &<< 21
        return each &* 0xFF
    }

    private static func load(_ memory: Span<UInt8>, _ offset: Int) -> UInt32 {
        let first = offset * 4
        return UInt32(memory[first]) | UInt32(memory[first + 1]) &<< 8 | UInt32(memory[first + 2]) &<< 16
            | UInt32(memory[first + 3]) &<< 24
    }
}
