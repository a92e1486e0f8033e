// Both ends of "display/1" and "input/1". As in Peers.swift.

/// Who looks at what a device shows: the other end of one wire of a "display/1" slot. Answers to `Instance.displayRefresh` only.
public struct DisplayPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_display>? { peer.functions?.assumingMemoryBound(to: bp_display.self) }

    /// Pixels are shown from now on; width 0: nothing is.
    public func surface(_ surface: bp_display_surface) {
        var surface = surface
        surface.size = UInt32(MemoryLayout<bp_display_surface>.size)
        table?.pointee.surface(peer.`self`, peer.index, &surface)
    }
    public func cells(_ cells: bp_display_cells) {
        var cells = cells
        cells.size = UInt32(MemoryLayout<bp_display_cells>.size)
        table?.pointee.cells(peer.`self`, peer.index, &cells)
    }
    public func damage(_ damage: DisplayDamage) {
        table?.pointee.damage(peer.`self`, peer.index, damage.x, damage.y, damage.width, damage.height)
    }
    public func frame(at time: UInt64) { table?.pointee.frame(peer.`self`, peer.index, time) }
}

/// What has changed, in pixels or in cells.
public struct DisplayDamage: Equatable, Sendable {
    public var x, y, width, height: UInt32
    public init(x: UInt32, y: UInt32, width: UInt32, height: UInt32) {
        (self.x, self.y, self.width, self.height) = (x, y, width, height)
    }
}

/// What a provider of "display/1" sees of the device that shows something.
public struct DisplayClient: @unchecked Sendable {
    let peer: bp_peer

    /// Asks for a picture; it comes by `Instance.displaySurface`, `displayCells`, `displayDamage` and at last `displayFrame`.
    public func refresh(all: Bool = false) {
        let table = peer.functions?.assumingMemoryBound(to: bp_display_client.self)
        table?.pointee.refresh(peer.`self`, peer.index, all ? UInt32(BP_REFRESH_ALL) : 0)
    }
}

/// An event of Linux's evdev.
public struct InputEvent: Equatable, Sendable {
    public var type: UInt32
    public var code: UInt32
    public var value: Int64
    public init(type: UInt32, code: UInt32, value: Int64) { (self.type, self.code, self.value) = (type, code, value) }

    /// The end of what belongs together.
    public static var end: InputEvent { InputEvent(type: UInt32(BP_EV_SYN), code: 0, value: 0) }
    /// By evdev's KEY_* or BTN_*.
    public static func key(_ code: UInt32, down: Bool) -> InputEvent {
        InputEvent(type: UInt32(BP_EV_KEY), code: code, value: down ? 1 : 0)
    }
}

public struct InputKinds: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// Of a keyboard.
    public static let keys = Self(rawValue: UInt32(BP_INPUT_KEYS))
    /// Of a pointer.
    public static let buttons = Self(rawValue: UInt32(BP_INPUT_BUTTONS))
    public static let relative = Self(rawValue: UInt32(BP_INPUT_RELATIVE))
    public static let absolute = Self(rawValue: UInt32(BP_INPUT_ABSOLUTE))
    public static let lamps = Self(rawValue: UInt32(BP_INPUT_LEDS))
}

/// Bits by evdev's LED_*.
public struct InputLamps: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let numLock = Self(rawValue: 1 << 0)
    public static let capsLock = Self(rawValue: 1 << 1)
    public static let scrollLock = Self(rawValue: 1 << 2)
}

/// The keyboard, mouse or tablet that an "input/1" slot is wired to.
public struct InputPeer: @unchecked Sendable {
    let peer: bp_peer
    private var table: UnsafePointer<bp_input>? { peer.functions?.assumingMemoryBound(to: bp_input.self) }

    public static let unwired = InputPeer(peer: bp_peer())
    public var isWired: Bool { peer.functions != nil }
    public func send(_ event: InputEvent) {
        table?.pointee.event(peer.`self`, peer.index, event.type, event.code, event.value)
    }
    public var kinds: InputKinds {
        var mask: UInt32 = 0
        guard let table, table.pointee.takes(peer.`self`, peer.index, &mask) == 0 else { return [] }
        return InputKinds(rawValue: mask)
    }
}

/// What a provider of "input/1" sees of one that enters something.
public struct InputClient: @unchecked Sendable {
    let peer: bp_peer

    public func show(_ lamps: InputLamps) {
        let table = peer.functions?.assumingMemoryBound(to: bp_input_client.self)
        table?.pointee.leds(peer.`self`, peer.index, lamps.rawValue)
    }
}

extension Host {
    /// All who look by the wires of a slot that takes many.
    public func displays(_ slot: StaticString) throws(PluginError) -> [DisplayPeer] {
        var peers: [DisplayPeer] = []
        for position in 0..<UInt32(try wireCount(slot)) {
            if let peer = try peer(slot, position: position) { peers.append(DisplayPeer(peer: peer)) }
        }
        return peers
    }

    public func input(_ slot: StaticString, position: UInt32 = 0) throws(PluginError) -> InputPeer {
        if let peer = try peer(slot, position: position) { InputPeer(peer: peer) } else { .unwired }
    }
}
