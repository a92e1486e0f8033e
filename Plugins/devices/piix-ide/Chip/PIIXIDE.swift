import PCIConfiguration

/// The IDE function of PIIX3 (82371SB) or PIIX4 (82371AB), function 1: configuration space and the bus master registers of
/// two channels. The drives are the `ata` chip's.
///
/// Sources: Intel PIIX3 (290550), 2.3 and 2.6; PIIX4 (290562), chapters 5 and 6; "Programming Interface for Bus Master
/// IDE Controller" 1.0.
///
/// Not modelled: what the timings do (they keep what is written); Ultra DMA's speed.
public struct PIIXIDE: Sendable {
    public enum Model: Sendable { case piix3, piix4 }

    // MARK: State: a snapshot is exactly this

    public struct State: Equatable, Sendable {
        public var configuration: ConfigurationSpace.State
        public var primary = BusMaster.State()
        public var secondary = BusMaster.State()
    }

    public private(set) var configuration: ConfigurationSpace
    public var primary = BusMaster()
    public var secondary = BusMaster()

    /// - Parameter decodesChannels: both channels are on after reset, which firmware does elsewhere (IDETIM, IDE Decode Enable).
    public init(_ model: Model = .piix3, decodesChannels: Bool = false) throws(LayoutError) {
        var layout = ConfigurationSpace.Layout(
            .function, .init(vendor: 0x8086, device: model == .piix3 ? 0x7010 : 0x7111, classCode: 0x01_01_80),
            command: [.io, .busMaster], status: .fastBackToBack)
        try layout.redefine(0x0C, width: 1, reset: 0)
        try layout.redefine(0x0D, width: 1, reset: 0, writable: 0xF0)
        try layout.redefine(0x3C, width: 1, reset: 0)
        try layout.addBaseAddress(4, .io, size: 16)  // BMIBA
        // IDETIM of both channels
        try layout.define(0x40, width: 4, reset: decodesChannels ? 0x8000_8000 : 0, writable: 0xF3FF_F3FF)
        try layout.define(0x44, width: 1, writable: 0xFF)  // SIDETIM
        if model == .piix4 {
            try layout.define(0x48, width: 1, writable: 0x0F)  // UDMACTL
            try layout.define(0x4A, width: 2, writable: 0x3333)  // UDMATIM
        }
        configuration = ConfigurationSpace(layout)
    }

    /// A channel's bus master: 0, or else the secondary one.
    public subscript(channel: Int) -> BusMaster {
        get { channel == 0 ? primary : secondary }
        set { if channel == 0 { primary = newValue } else { secondary = newValue } }
    }

    public var state: State {
        State(configuration: configuration.state, primary: primary.state, secondary: secondary.state)
    }

    public mutating func reset() {
        configuration.reset()
        primary = BusMaster()
        secondary = BusMaster()
    }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        var copy = self
        guard copy.primary.restore(saved.primary), copy.secondary.restore(saved.secondary),
            copy.configuration.restore(saved.configuration)
        else { return false }
        self = copy
        return true
    }

    // MARK: Guest side

    public func readConfiguration(_ offset: UInt32, width: UInt32) -> UInt32 {
        configuration.read(offset, width: width)
    }

    /// `windows`, `decodes` and `isBusMaster` are to be asked again.
    @discardableResult
    public mutating func writeConfiguration(
        _ offset: UInt32, width: UInt32, _ value: UInt32
    ) -> ConfigurationSpace.Changes {
        configuration.write(offset, width: width, value)
    }

    /// The bus master registers: 8 bytes for each channel. Has no side effect.
    public func read(_ offset: UInt32, width: UInt32) -> UInt32 {
        guard offset < 16 else { return .max }
        return offset < 8 ? primary.read(offset, width: width) : secondary.read(offset &- 8, width: width)
    }

    /// - Returns: the channel (0 or 1) and what it has to do; nil: nothing.
    public mutating func write(
        _ offset: UInt32, width: UInt32, _ value: UInt32
    ) -> (channel: Int, order: BusMaster.Order)? {
        guard offset < 16 else { return nil }
        let first = offset < 8
        let order =
            first ? primary.write(offset, width: width, value) : secondary.write(offset &- 8, width: width, value)
        return order.map { (first ? 0 : 1, $0) }
    }

    // MARK: Pins, derived from the state and never stored

    /// A channel's fixed ports (0x1F0 and 0x3F6, 0x170 and 0x376) are claimed: IDETIM bit 15 and I/O space.
    public func decodes(channel: Int) -> Bool {
        guard (0..<2).contains(channel), configuration.command.contains(.io) else { return false }
        return configuration.read(channel == 0 ? 0x41 : 0x43, width: 1) & 0x80 != 0
    }

    /// Where the bus master registers are.
    public var windows: [ConfigurationSpace.Window] { configuration.windows }

    /// The function may read and write memory.
    public var isBusMaster: Bool { configuration.isBusMaster }
}
