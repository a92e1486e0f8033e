/// The colour look-up table and its state machine (IBM: "Video Digital-to-Analog Converter").
public struct DAC: Equatable, Sendable {
    /// Always 768: red, green and blue of 256 entries, 6 bits each, or 8.
    public var palette = [UInt8](repeating: 0, count: 768)
    /// The PEL mask, which is laid on every index.
    public var mask: UInt8 = 0xFF
    public var index: UInt8 = 0
    /// 0...2: red, green, blue.
    public var component: UInt8 = 0
    public var isReading = false
    /// Red and green that wait for blue.
    public var pendingRed: UInt8 = 0
    public var pendingGreen: UInt8 = 0
    public var is8Bit = false

    public init() {}

    var isSound: Bool { palette.count == 768 && component < 3 }

    /// 0x3C7.
    mutating func startReading(_ entry: UInt8) {
        index = entry
        component = 0
        isReading = true
    }

    /// 0x3C8.
    mutating func startWriting(_ entry: UInt8) {
        index = entry
        component = 0
        isReading = false
    }

    /// What 0x3C9 reads.
    var data: UInt8 { palette[Int(index) * 3 + Int(component)] }

    mutating func advanceRead() {
        component &+= 1
        guard component == 3 else { return }
        component = 0
        index &+= 1
    }

    /// An entry changes when its blue is written.
    mutating func write(_ value: UInt8) {
        let part = is8Bit ? value : value & 0x3F
        switch component {
        case 0: pendingRed = part
        case 1: pendingGreen = part
        default:
            let entry = Int(index) * 3
            palette[entry] = pendingRed
            palette[entry + 1] = pendingGreen
            palette[entry + 2] = part
        }
        advanceRead()
    }

    /// An index's colour, 0xRRGGBB.
    public func color(_ index: UInt8) -> UInt32 {
        let entry = Int(index & mask) * 3
        return (0..<3).reduce(0) { $0 &<< 8 | UInt32(widen(palette[entry + $1])) }
    }

    private func widen(_ value: UInt8) -> UInt8 { is8Bit ? value : value &<< 2 | value &>> 4 & 0b11 }
}
