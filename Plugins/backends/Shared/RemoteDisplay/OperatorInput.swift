import PluginKit

/// What operators enter, as packets for a keyboard and a pointer. Several may hold one key: it is down until the last one lets it go. Where too many
/// packets wait, whole ones are dropped, but never the release of what was pressed.
struct OperatorInput {
    struct Packet: Equatable {
        var isPointer: Bool
        var events: [InputEvent]
        /// Of a motion and nothing else: the next one may take its place.
        var isMotion = false
    }

    /// Packets that wait for the machine, releases apart: a page of text that is typed at once.
    static let limit = 4096
    private static let absoluteMost = 32767
    private enum Axis {
        static let x: UInt32 = 0, y: UInt32 = 1, wheel: UInt32 = 8, sideWheel: UInt32 = 6
    }
    /// evdev's buttons for the protocol's bits 0 to 2.
    private static let buttons: [UInt32] = [0x110, 0x112, 0x111]

    /// One operator's.
    struct Hand {
        fileprivate(set) var keys: [UInt64: [UInt32]] = [:]
        fileprivate var buttons: UInt8 = 0
        fileprivate var position: (x: Int, y: Int)?
    }

    /// What the pointer takes; none is wired: nothing.
    var pointerKinds: InputKinds = []
    private var waiting: [Packet] = []
    private var holders: [UInt32: Int] = [:]

    var isEmpty: Bool { waiting.isEmpty }

    mutating func next() -> Packet? { waiting.isEmpty ? nil : waiting.removeFirst() }

    // MARK: Keys

    mutating func press(_ name: UInt64, _ codes: [UInt32], by hand: inout Hand) {
        // The keyboard repeats by itself.
        guard hand.keys[name] == nil, hand.keys.count < Session.mostKeys, waiting.count < Self.limit else { return }
        hand.keys[name] = codes
        append(hold(codes), isPointer: false)
    }

    mutating func release(_ name: UInt64, by hand: inout Hand) {
        guard let codes = hand.keys.removeValue(forKey: name) else { return }
        append(letGo(codes.reversed()), isPointer: false)
    }

    /// The operator is gone.
    mutating func releaseAll(by hand: inout Hand) {
        append(letGo(hand.keys.values.flatMap { $0.reversed() }), isPointer: false)
        append(letGo(Self.codes(hand.buttons)), isPointer: true)
        hand = Hand()
    }

    private mutating func hold(_ codes: [UInt32]) -> [InputEvent] {
        codes.compactMap { code in
            let count = holders[code, default: 0]
            holders[code] = count + 1
            return count == 0 ? .key(code, down: true) : nil
        }
    }

    private mutating func letGo(_ codes: [UInt32]) -> [InputEvent] {
        codes.compactMap { code in
            guard let count = holders[code] else { return nil }
            holders[code] = count > 1 ? count - 1 : nil
            return count == 1 ? .key(code, down: false) : nil
        }
    }

    private static func codes(_ mask: UInt8) -> [UInt32] {
        buttons.indices.filter { mask >> UInt8($0) & 1 != 0 }.map { buttons[$0] }
    }

    // MARK: The pointer

    /// - Parameters:
    ///   - mask: the protocol's buttons that are down.
    ///   - x, y: where, in a picture of `size` pixels.
    mutating func point(
        _ mask: UInt8, x: Int, y: Int, size: (width: Int, height: Int), by hand: inout Hand
    ) {
        guard !pointerKinds.isEmpty else { return }
        let (x, y) = (min(x, size.width - 1), min(y, size.height - 1))
        let (down, up) = (mask & ~hand.buttons, hand.buttons & ~mask)
        let isFull = waiting.count >= Self.limit
        var events = isFull ? [] : motion(to: (x, y), from: hand.position, size)
        let isMotion = down == 0 && up == 0
        if isMotion, !events.isEmpty, joins(events) {
            hand.position = (x, y)
            return
        }
        events += letGo(Self.codes(up))
        hand.buttons &= ~up
        if !isFull {
            events += hold(Self.codes(down)) + Self.wheels(down)
            hand.buttons |= down
            hand.position = (x, y)
        }
        append(events, isPointer: true, isMotion: isMotion)
    }

    private func motion(
        to place: (x: Int, y: Int), from last: (x: Int, y: Int)?, _ size: (width: Int, height: Int)
    ) -> [InputEvent] {
        if let last, last == place { return [] }
        if pointerKinds.contains(.absolute) {
            return [
                Self.absolute(Axis.x, place.x, of: size.width), Self.absolute(Axis.y, place.y, of: size.height),
            ]
        }
        // Where a mouse is, is its guest's business: what counts is how far it goes.
        guard pointerKinds.contains(.relative), let last else { return [] }
        return [(Axis.x, place.x - last.x), (Axis.y, place.y - last.y)].filter { $0.1 != 0 }
            .map { InputEvent(type: UInt32(BP_EV_REL), code: $0.0, value: Int64($0.1)) }
    }

    private static func absolute(_ axis: UInt32, _ place: Int, of length: Int) -> InputEvent {
        let value = length > 1 ? place * absoluteMost / (length - 1) : 0
        return InputEvent(type: UInt32(BP_EV_ABS), code: axis, value: Int64(value))
    }

    private static func wheels(_ mask: UInt8) -> [InputEvent] {
        [(3, Axis.wheel, 1), (4, Axis.wheel, -1), (5, Axis.sideWheel, -1), (6, Axis.sideWheel, 1)]
            .filter { mask >> UInt8($0.0) & 1 != 0 }
            .map { InputEvent(type: UInt32(BP_EV_REL), code: $0.1, value: Int64($0.2)) }
    }

    /// One motion takes the place of the last, if that still waits; a relative one is added to it.
    private mutating func joins(_ events: [InputEvent]) -> Bool {
        guard let last = waiting.last, last.isMotion else { return false }
        if pointerKinds.contains(.absolute) {
            waiting[waiting.count - 1].events = events
            return true
        }
        for event in events {
            if let place = last.events.firstIndex(where: { $0.code == event.code }) {
                waiting[waiting.count - 1].events[place].value += event.value
            } else {
                waiting[waiting.count - 1].events.append(event)
            }
        }
        return true
    }

    private mutating func append(_ events: [InputEvent], isPointer: Bool, isMotion: Bool = false) {
        guard !events.isEmpty else { return }
        waiting.append(Packet(isPointer: isPointer, events: events, isMotion: isMotion))
    }
}
