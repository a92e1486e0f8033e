/// Bochs's display interface, as QEMU extends it: linear picture modes beside the VGA's own. Registers of 16 bits, by index
/// and data at ports 0x1CE and 0x1CF, or at 0x500 of a memory BAR.
///
/// Source: Bochs "VBE Display API"; QEMU's docs/specs/standard-vga. What QEMU puts right in impossible settings is put
/// right here too: guests read back what they got.
public struct DISPI: Sendable {
    // MARK: Registers

    public enum Register: UInt16, CaseIterable, Sendable {
        case id = 0, width, height, bitsPerPixel, enable, bank, virtualWidth, virtualHeight, xOffset, yOffset, memory64K
    }

    public struct Enable: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        public static let enabled = Self(rawValue: 1 << 0)
        /// Width, height and depth read as their limits.
        public static let capabilities = Self(rawValue: 1 << 1)
        public static let dac8Bit = Self(rawValue: 1 << 5)
        public static let linear = Self(rawValue: 1 << 6)
        /// Enabling does not clear the memory.
        public static let keepsMemory = Self(rawValue: 1 << 7)
        static let all: Self = [.enabled, .capabilities, .dac8Bit, .linear, .keepsMemory]
    }

    public static let newestID: UInt16 = 0xB0C5
    static let oldestID: UInt16 = 0xB0C0
    public static let limits: (width: UInt16, height: UInt16, bitsPerPixel: UInt16) = (16000, 12000, 32)

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        public var index: UInt16 = 0
        public var id: UInt16 = DISPI.newestID
        public var width: UInt16 = 0
        public var height: UInt16 = 0
        public var bitsPerPixel: UInt16 = 0
        public var enable: Enable = []
        public var bank: UInt16 = 0
        public var virtualWidth: UInt16 = 0
        public var xOffset: UInt16 = 0
        public var yOffset: UInt16 = 0

        public init() {}
    }

    public private(set) var state = State()
    /// Bytes of video memory: a multiple of 64 KiB.
    public let memorySize: UInt32

    /// - Parameter memorySize: bytes, held to 256 KiB...512 MiB and rounded down to 64 KiB.
    public init(memorySize: UInt32) {
        self.memorySize = min(max(memorySize, 0x4_0000), 0x2000_0000) & ~0xFFFF
    }

    public mutating func reset() { state = State() }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        var copy = self
        copy.state = saved
        copy.putRight()
        guard copy.state == saved, saved.enable.isSubset(of: .all), saved.bank < banks,
            (Self.oldestID...Self.newestID).contains(saved.id)
        else { return false }
        state = saved
        return true
    }

    private var banks: UInt16 { UInt16(truncatingIfNeeded: memorySize >> 16) }

    // MARK: Guest side

    /// Port 0x1CE.
    public var index: UInt16 {
        get { state.index }
        set { state.index = newValue }
    }

    /// Port 0x1CF, read. Has no side effect.
    public var data: UInt16 { Register(rawValue: state.index).map(read) ?? 0 }

    /// Port 0x1CF, written.
    /// - Returns: what the device has to do.
    public mutating func writeData(_ value: UInt16) -> Change {
        guard let register = Register(rawValue: state.index) else { return .nothing }
        return write(register, value)
    }

    /// The registers in memory: 2 bytes each; any other offset or width than a whole register reads as 0.
    public func readMemory(_ offset: UInt32, width: UInt32) -> UInt16 {
        guard width == 2, offset % 2 == 0, offset < 0x16 else { return 0 }
        return Register(rawValue: UInt16(truncatingIfNeeded: offset / 2)).map(read) ?? 0
    }

    public mutating func writeMemory(_ offset: UInt32, width: UInt32, _ value: UInt16) -> Change {
        guard width == 2, offset % 2 == 0, offset < 0x16,
            let register = Register(rawValue: UInt16(truncatingIfNeeded: offset / 2))
        else { return .nothing }
        return write(register, value)
    }

    /// What a write did.
    public enum Change: Equatable, Sendable {
        case nothing
        /// `picture`, the bank or the DAC's width is to be read again.
        case picture
        /// The same, and the first bytes of the memory are to be cleared.
        case clear(bytes: UInt32)
    }

    private func read(_ register: Register) -> UInt16 {
        let asks = state.enable.contains(.capabilities)
        switch register {
        case .id: return state.id
        case .width: return asks ? Self.limits.width : state.width
        case .height: return asks ? Self.limits.height : state.height
        case .bitsPerPixel: return asks ? Self.limits.bitsPerPixel : state.bitsPerPixel
        case .enable: return state.enable.rawValue
        case .bank: return state.bank
        case .virtualWidth: return state.virtualWidth
        case .virtualHeight: return virtualHeight
        case .xOffset: return state.xOffset
        case .yOffset: return state.yOffset
        case .memory64K: return banks
        }
    }

    private mutating func write(_ register: Register, _ value: UInt16) -> Change {
        let before = state
        switch register {
        case .id: if (Self.oldestID...Self.newestID).contains(value) { state.id = value }
        case .width: state.width = value
        case .height: state.height = value
        case .bitsPerPixel: state.bitsPerPixel = value
        case .enable: return setEnable(Enable(rawValue: value).intersection(.all))
        case .bank: if value < banks { state.bank = value }
        case .virtualWidth: state.virtualWidth = value
        case .xOffset: state.xOffset = value
        case .yOffset: state.yOffset = value
        case .virtualHeight, .memory64K: break
        }
        putRight()
        return state == before ? .nothing : .picture
    }

    private mutating func setEnable(_ value: Enable) -> Change {
        let starts = value.contains(.enabled) && !state.enable.contains(.enabled)
        let before = state
        state.enable = value
        if starts { (state.virtualWidth, state.xOffset, state.yOffset) = (0, 0, 0) }
        if !value.contains(.enabled) { state.bank = 0 }
        putRight()
        if starts, !value.contains(.keepsMemory), let picture { return .clear(bytes: picture.pitch &* picture.height) }
        return state == before ? .nothing : .picture
    }

    /// While it is enabled: a depth that exists, a size and an offset that the memory holds.
    private mutating func putRight() {
        guard state.enable.contains(.enabled) else { return }
        if ![4, 8, 15, 16, 24, 32].contains(state.bitsPerPixel) { state.bitsPerPixel = 8 }
        state.width = max(min(state.width, Self.limits.width) & ~7, 8)
        state.virtualWidth = max(min(state.virtualWidth, Self.limits.width) & ~7, state.width)
        state.height = max(min(state.height, Self.limits.height, virtualHeight), 1)
        if state.xOffset > state.virtualWidth &- state.width { state.xOffset = 0 }
        if UInt32(state.yOffset) &+ UInt32(state.height) > UInt32(virtualHeight) { state.yOffset = 0 }
    }

    /// Bits that a pixel takes: 15 take 16.
    private var storedBits: UInt32 { state.bitsPerPixel == 15 ? 16 : UInt32(state.bitsPerPixel) }

    /// At most 64000 bytes, less than the smallest memory.
    private var pitch: UInt32 { UInt32(state.virtualWidth) &* storedBits / 8 }

    /// Lines that the memory holds.
    private var virtualHeight: UInt16 {
        guard state.enable.contains(.enabled), pitch > 0 else { return 0 }
        return UInt16(truncatingIfNeeded: min(memorySize / pitch, 0xFFFF))
    }

    // MARK: Host side

    /// A linear picture inside the memory.
    public struct Picture: Equatable, Sendable {
        public var width: UInt32
        public var height: UInt32
        /// 4, 8, 15, 16, 24 or 32.
        public var bitsPerPixel: UInt32
        /// Bytes from one line to the next.
        public var pitch: UInt32
        /// The first pixel's byte.
        public var start: UInt32
    }

    /// Nil: the VGA's own picture is shown.
    public var picture: Picture? {
        guard state.enable.contains(.enabled) else { return nil }
        return Picture(
            width: UInt32(state.width), height: UInt32(state.height), bitsPerPixel: UInt32(state.bitsPerPixel),
            pitch: pitch, start: UInt32(state.yOffset) &* pitch &+ UInt32(state.xOffset) &* storedBits / 8)
    }

    /// The byte of memory at which the window at 0xA0000 begins while a linear mode is on.
    public var bankOffset: UInt32 { UInt32(state.bank) &<< 16 }

    public var dacIs8Bit: Bool { state.enable.contains([.enabled, .dac8Bit]) }
}
