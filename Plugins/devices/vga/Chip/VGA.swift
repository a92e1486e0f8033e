/// IBM VGA: CRT controller, sequencer, graphics and attribute controllers, DAC. The chip only, without its memory, which
/// the calls get: 256 KiB or more, in which byte `4 * offset + plane` is a plane's byte.
///
/// Sources: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; FreeVGA.
///
/// Departures, and who needs them:
/// - Chain 4 puts address A at offset A / 4 of plane A % 4 (a VGA: at A with its two low bits cleared), so that a 256-colour
///   picture lies in memory as the processor sees it, and can be mapped.
/// - Registers of the attribute controller's palette can be written while it drives the display.
/// - A retrace that the registers put outside of the picture takes the last line: what polls for it goes on.
///
/// Not modelled: the vertical interrupt, light pen, diagnostic bits of Input Status 1, skews of blanking and cursor, the odd/even
/// page bit, video feature connector.
public struct VGA: Sendable {
    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public struct State: Equatable, Sendable {
        /// Port 0x3C3, bit 0: the chip answers.
        public var isEnabled = true
        public var miscellaneousOutput: MiscellaneousOutput = []
        public var featureControl: UInt8 = 0
        public var sequencerIndex: UInt8 = 0
        /// Always 5.
        public var sequencer = [UInt8](repeating: 0, count: 5)
        public var graphicsIndex: UInt8 = 0
        /// Always 9.
        public var graphics = [UInt8](repeating: 0, count: 9)
        public var crtcIndex: UInt8 = 0
        /// Always 25.
        public var crtc = [UInt8](repeating: 0, count: 25)
        /// Bits 4:0 the register; bit 5: the palette drives the display.
        public var attributeIndex: UInt8 = 0
        /// The next write to 0x3C0 is data.
        public var attributeIsData = false
        /// Always 21.
        public var attribute = [UInt8](repeating: 0, count: 21)
        public var dac = DAC()
        /// The graphics controller's latches, plane 0 in bits 7:0.
        public var latches: UInt32 = 0

        public init() {}
    }

    public internal(set) var state = State()

    public init() {}

    public mutating func reset() { state = State() }

    /// Takes over a saved state.
    /// - Returns: false, and nothing is changed, where the state is one that the chip cannot be in.
    public mutating func restore(_ saved: State) -> Bool {
        guard Self.fits(saved.sequencer, Sequencer.writable), Self.fits(saved.graphics, Graphics.writable),
            Self.fits(saved.crtc, CRTC.writable), Self.fits(saved.attribute, Attribute.writable),
            saved.attributeIndex < 0x40, saved.dac.isSound
        else { return false }
        state = saved
        return true
    }

    private static func fits(_ values: [UInt8], _ masks: [UInt8]) -> Bool {
        values.count == masks.count && zip(values, masks).allSatisfy { $0 & ~$1 == 0 }
    }

    // MARK: Guest side: ports 0x3B0 to 0x3DF

    /// - Returns: 0xFF from a port at which the chip does not answer.
    public mutating func read(_ port: UInt16, at now: UInt64) -> UInt8 {
        let value = peek(port, at: now)
        guard state.isEnabled else { return value }
        switch port {
        case 0x3C9: state.dac.advanceRead()
        case 0x3BA, 0x3DA: if isCRTC(port) { state.attributeIsData = false }
        default: break
        }
        return value
    }

    /// What `read` would return, without its effects.
    public func peek(_ port: UInt16, at now: UInt64) -> UInt8 {
        if port == 0x3C3 { return state.isEnabled ? 1 : 0 }
        guard state.isEnabled else { return 0xFF }
        switch port {
        case 0x3C0: return state.attributeIndex
        case 0x3C1: return register(state.attribute, state.attributeIndex & 0x1F)
        case 0x3C2: return 0x10  // Input Status 0: a colour monitor is there
        case 0x3C4: return state.sequencerIndex
        case 0x3C5: return register(state.sequencer, state.sequencerIndex)
        case 0x3C6: return state.dac.mask
        case 0x3C7: return state.dac.isReading ? 0b11 : 0b00
        case 0x3C8: return state.dac.index
        case 0x3C9: return state.dac.data
        case 0x3CA: return state.featureControl
        case 0x3CC: return state.miscellaneousOutput.rawValue
        case 0x3CE: return state.graphicsIndex
        case 0x3CF: return register(state.graphics, state.graphicsIndex)
        case 0x3B4, 0x3D4: return isCRTC(port) ? state.crtcIndex : 0xFF
        case 0x3B5, 0x3D5: return isCRTC(port) ? register(state.crtc, state.crtcIndex) : 0xFF
        case 0x3BA, 0x3DA: return isCRTC(port) ? inputStatus1(at: now).rawValue : 0xFF
        default: return 0xFF
        }
    }

    public mutating func write(_ port: UInt16, _ value: UInt8) {
        if port == 0x3C3 { state.isEnabled = value & 1 != 0 }
        guard state.isEnabled else { return }
        switch port {
        case 0x3C0: writeAttribute(value)
        case 0x3C2: state.miscellaneousOutput = MiscellaneousOutput(rawValue: value)
        case 0x3C4: state.sequencerIndex = value
        case 0x3C5: set(&state.sequencer, state.sequencerIndex, value, Sequencer.writable)
        case 0x3C6: state.dac.mask = value
        case 0x3C7: state.dac.startReading(value)
        case 0x3C8: state.dac.startWriting(value)
        case 0x3C9: state.dac.write(value)
        case 0x3CE: state.graphicsIndex = value
        case 0x3CF: set(&state.graphics, state.graphicsIndex, value, Graphics.writable)
        case 0x3B4, 0x3D4: if isCRTC(port) { state.crtcIndex = value }
        case 0x3B5, 0x3D5: if isCRTC(port) { writeCRTC(value) }
        case 0x3BA, 0x3DA: if isCRTC(port) { state.featureControl = value }
        default: break
        }
    }

    /// The CRT controller and its neighbours are at 0x3B0 or 0x3D0.
    private func isCRTC(_ port: UInt16) -> Bool {
        state.miscellaneousOutput.contains(.color) == (port >= 0x3D0)
    }

    /// 0 from a register that does not exist.
    private func register(_ registers: [UInt8], _ index: UInt8) -> UInt8 {
        Int(index) < registers.count ? registers[Int(index)] : 0
    }

    private func set(_ registers: inout [UInt8], _ index: UInt8, _ value: UInt8, _ writable: [UInt8]) {
        guard Int(index) < registers.count else { return }
        registers[Int(index)] = value & writable[Int(index)]
    }

    private mutating func writeAttribute(_ value: UInt8) {
        if state.attributeIsData {
            set(&state.attribute, state.attributeIndex & 0x1F, value, Attribute.writable)
        } else {
            state.attributeIndex = value & 0x3F
        }
        state.attributeIsData.toggle()
    }

    /// Protection leaves bit 4 of the overflow register, which belongs to the line compare.
    private mutating func writeCRTC(_ value: UInt8) {
        guard state.crtcIndex <= 7, state.crtc[CRTC.verticalRetraceEnd] & 0x80 != 0 else {
            return set(&state.crtc, state.crtcIndex, value, CRTC.writable)
        }
        guard state.crtcIndex == UInt8(CRTC.overflow) else { return }
        state.crtc[CRTC.overflow] = (state.crtc[CRTC.overflow] & ~0x10) | (value & 0x10)
    }

    // MARK: Host side

    /// The DAC takes 8 bits a colour instead of 6: DISPI can ask for that.
    public mutating func setDAC(is8Bit: Bool) { state.dac.is8Bit = is8Bit }
}
