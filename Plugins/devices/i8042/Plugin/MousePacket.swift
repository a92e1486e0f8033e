import PluginKit

/// What a pointer's client says between two ends of packets, in evdev's codes.
struct MousePacket {
    var x: Int32 = 0
    var y: Int32 = 0
    var wheel: Int32 = 0
    /// As the chip has them, where one changes.
    var buttons: UInt8?

    init() {}

    private static let (relativeX, relativeY, relativeWheel): (UInt32, UInt32, UInt32) = (0, 1, 8)
    /// BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA: the order of the chip's bits.
    private static let firstButton: UInt32 = 0x110
    private static let buttonCount: UInt32 = 5

    /// - Parameter held: the buttons that are down so far.
    /// - Returns: the packet has ended.
    mutating func take(_ event: InputEvent, held: UInt8) -> Bool {
        switch Int(event.type) {
        case BP_EV_SYN: return event.code == 0
        case BP_EV_REL: move(event.code, Int32(clamping: event.value))
        case BP_EV_KEY: press(event.code, event.value != 0, held: held)
        default: break
        }
        return false
    }

    private mutating func move(_ axis: UInt32, _ value: Int32) {
        switch axis {
        case Self.relativeX: x = Self.sum(x, value)
        case Self.relativeY: y = Self.sum(y, value)
        case Self.relativeWheel: wheel = Self.sum(wheel, value)
        default: break
        }
    }

    private mutating func press(_ code: UInt32, _ isDown: Bool, held: UInt8) {
        guard code >= Self.firstButton, code - Self.firstButton < Self.buttonCount else { return }
        let bit = UInt8(1) &<< UInt8(truncatingIfNeeded: code - Self.firstButton)
        let before = buttons ?? held
        buttons = isDown ? before | bit : before & ~bit
    }

    private static func sum(_ a: Int32, _ b: Int32) -> Int32 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? (b < 0 ? .min : .max) : sum
    }

    // MARK: State

    func save(to state: StateWriter) {
        state.put("packet-x", UInt32(bitPattern: x))
        state.put("packet-y", UInt32(bitPattern: y))
        state.put("packet-wheel", UInt32(bitPattern: wheel))
        state.put("packet-buttons", buttons ?? 0xFF)
    }

    init(from state: StateReader) throws(PluginError) {
        x = Int32(bitPattern: try state.get("packet-x"))
        y = Int32(bitPattern: try state.get("packet-y"))
        wheel = Int32(bitPattern: try state.get("packet-wheel"))
        let buttons: UInt8 = try state.get("packet-buttons")
        guard buttons < 0x20 || buttons == 0xFF else { throw PluginError("a mouse of more than five buttons") }
        self.buttons = buttons == 0xFF ? nil : buttons
    }
}
