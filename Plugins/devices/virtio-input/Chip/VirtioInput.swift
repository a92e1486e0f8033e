public import Virtio

/// A virtio input device: a tablet, a keyboard or a mouse, as its configuration space describes it. `InputPackets.swift` has its events,
/// `VirtioInputPlugin.swift` connects it to whoever has an operator.
///
/// Source: virtio 1.2, 5.8; codes of Linux's input-event-codes.h. Identifiers are QEMU's (hw/input/virtio-input-hid.c), whose tablet has no
/// property bits either. Not modelled: several touches, force feedback, sound.
public struct VirtioInput: Sendable {
    /// In the order of the plugin's property.
    public enum Kind: Int, CaseIterable, Sendable { case tablet, keyboard, mouse }

    /// 5.8.2
    public static let (events, status) = (0, 1)
    /// `select`, `subsel`, `size`, five bytes of nothing, and 128 of what is selected (5.8.4).
    public static let identity = VirtioIdentity(
        type: 18, features: .ofQueues, queues: 2, entries: 64, configSize: 136)
    private static let (unionOffset, unionSize) = (8, 128)
    /// Of an absolute axis, whose least is 0.
    public static let furthest: Int64 = 32767

    /// 5.8.4: virtio_input_config_select.
    private enum Select {
        static let name: UInt8 = 0x01, serial: UInt8 = 0x02, ids: UInt8 = 0x03, properties: UInt8 = 0x10
        static let eventBits: UInt8 = 0x11, absoluteAxis: UInt8 = 0x12
    }

    public let kind: Kind
    private let serial: [UInt8]
    private var selected: [UInt8] = []

    // MARK: State: a snapshot is exactly this, and its defaults are the reset values

    public private(set) var select: UInt8 = 0
    public private(set) var subselect: UInt8 = 0

    /// - Parameter serial: of which 128 bytes count.
    public init(_ kind: Kind, serial: String) {
        self.kind = kind
        self.serial = Array(serial.utf8.prefix(VirtioInput.unionSize))
    }

    public mutating func choose(_ select: UInt8, _ subselect: UInt8) {
        (self.select, self.subselect) = (select, subselect)
        selected = answer
    }

    // MARK: Configuration space

    public func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        (0..<Int(width)).reduce(0) { $0 | UInt32(byte(Int(offset) + $1)) &<< UInt32($1 * 8) }
    }

    /// All but `select` and `subsel` is read-only.
    public mutating func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        var chosen = (select, subselect)
        for index in 0..<Int(width) {
            let byte = UInt8(truncatingIfNeeded: value &>> UInt32(index * 8))
            switch Int(offset) + index {
            case 0: chosen.0 = byte
            case 1: chosen.1 = byte
            default: break
            }
        }
        choose(chosen.0, chosen.1)
    }

    private func byte(_ offset: Int) -> UInt8 {
        switch offset {
        case 0: return select
        case 1: return subselect
        case 2: return UInt8(truncatingIfNeeded: selected.count)
        default:
            let place = offset - VirtioInput.unionOffset
            return selected.indices.contains(place) ? selected[place] : 0
        }
    }

    /// Empty: there is nothing of the kind (5.8.5.2).
    private var answer: [UInt8] {
        switch (select, subselect) {
        case (Select.name, 0): Array("Backplane virtio \(kind)".utf8)
        case (Select.serial, 0): serial
        // BUS_VIRTUAL, vendor, product, version.
        case (Select.ids, 0): [0x06, 0, 0x27, 0x06, product, 0, 1, 0]
        case (Select.eventBits, _): VirtioInput.bits(codes(of: UInt16(subselect)))
        case (Select.absoluteAxis, 0...1) where kind == .tablet:
            // Least, most, fuzz, flat and units per millimetre, of which nothing is known.
            [0, 0, 0, 0, 0xFF, 0x7F, 0, 0] + [UInt8](repeating: 0, count: 12)
        default: []
        }
    }

    private var product: UInt8 {
        switch kind {
        case .keyboard: 1
        case .mouse: 2
        case .tablet: 3
        }
    }

    /// A bitmap as long as it must be.
    private static func bits(_ codes: [UInt16]) -> [UInt8] {
        guard let last = codes.max() else { return [] }
        var bytes = [UInt8](repeating: 0, count: Int(last / 8) + 1)
        for code in codes { bytes[Int(code / 8)] |= 1 &<< UInt8(code % 8) }
        return bytes
    }

    // MARK: What it has

    private func codes(of type: UInt16) -> [UInt16] {
        switch (kind, type) {
        // All that a keyboard's byte can say, up to KEY_MICMUTE.
        case (.keyboard, InputEventCode.key): Array(1...248)
        // Num, caps and scroll lock.
        case (.keyboard, InputEventCode.led): [0, 1, 2]
        // Delay and period: the guest repeats by itself.
        case (.keyboard, InputEventCode.repetition): [0, 1]
        // BTN_LEFT, BTN_RIGHT, BTN_MIDDLE.
        case (.tablet, InputEventCode.key), (.mouse, InputEventCode.key): [0x110, 0x111, 0x112]
        // REL_WHEEL
        case (.tablet, InputEventCode.relative): [8]
        case (.tablet, InputEventCode.absolute): [0, 1]
        // REL_X, REL_Y, REL_WHEEL
        case (.mouse, InputEventCode.relative): [0, 1, 8]
        default: []
        }
    }

    /// Whether the guest was promised such events, of those that the device sends.
    public func sends(_ type: UInt16, _ code: UInt16) -> Bool {
        switch (kind, type) {
        case (.keyboard, InputEventCode.key): (1...248).contains(code)
        case (_, InputEventCode.key), (_, InputEventCode.relative), (_, InputEventCode.absolute):
            codes(of: type).contains(code)
        default: false
        }
    }

    /// The lamps after an event of the driver's (5.8.6.1); what is no lamp changes nothing.
    public func lamps(_ lamps: UInt32, after event: InputWord) -> UInt32 {
        guard kind == .keyboard, event.type == InputEventCode.led, event.code <= 2 else { return lamps }
        let bit = 1 as UInt32 &<< UInt32(event.code)
        return event.value == 0 ? lamps & ~bit : lamps | bit
    }
}

/// Types of events.
public enum InputEventCode {
    public static let synchronize: UInt16 = 0x00, key: UInt16 = 0x01, relative: UInt16 = 0x02, absolute: UInt16 = 0x03
    public static let led: UInt16 = 0x11, repetition: UInt16 = 0x14
}
