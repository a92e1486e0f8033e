/// What was entered and waits for the driver's buffers, as packets. Where too much waits, whole packets are dropped, but never the release of a
/// key that the guest was told of.
public struct InputPackets: Equatable, Sendable {
    /// Events that wait, ends of packets among them, releases apart; and of one packet.
    public static let (limit, longest) = (512, 256)
    /// Of a keyboard.
    private static let mostKeys = 248
    /// Releases have an end each. The last motion may get an axis or two more.
    private static let most = limit + 2 * mostKeys + 4

    // MARK: State

    /// Without their ends. Of the first a part may have been delivered.
    private var waiting: [[InputWord]] = []
    /// What has no end yet, and whether that was too long.
    private var open: [InputWord] = []
    private var isTooLong = false
    /// Keys and buttons that are down for the guest, once it has got what waits.
    private var held: Set<UInt16> = []

    public init() {}

    private var count: Int { waiting.reduce(0) { $0 + $1.count + 1 } }

    // MARK: In

    /// - Parameter event: of those that the device sends.
    public mutating func add(_ event: InputWord) {
        guard !InputPackets.joins(event, &open) else { return }
        if !isTooLong, open.count < InputPackets.longest { return open.append(event) }
        if !isTooLong { open = releases(of: open) }
        isTooLong = true
        if event.isRelease, held.contains(event.code), !open.contains(event) { open.append(event) }
    }

    /// The packet that is open has ended.
    /// - Parameter isLive: there is a driver; else it is dropped.
    public mutating func end(isLive: Bool) {
        defer { (open, isTooLong) = ([], false) }
        guard isLive else { return }
        let isFull = isTooLong || count + open.count + 1 > InputPackets.limit
        let packet = changes(isFull ? releases(of: open) : open)
        guard !packet.isEmpty else { return }
        if !isFull, let last = waiting.last, !last.isEmpty, (last + packet).allSatisfy(\.isMotion) {
            for event in packet where !InputPackets.joins(event, &waiting[waiting.count - 1]) {
                waiting[waiting.count - 1].append(event)
            }
        } else {
            waiting.append(packet)
        }
    }

    /// Nothing waits, and nothing is held: there is a new driver, or none.
    public mutating func forget() { (waiting, held) = ([], []) }

    /// A motion along an axis that has moved already: the last place counts, and distances add up.
    private static func joins(_ event: InputWord, _ packet: inout [InputWord]) -> Bool {
        guard event.isMotion,
            let place = packet.firstIndex(where: { $0.type == event.type && $0.code == event.code })
        else { return false }
        if event.type == InputEventCode.absolute {
            packet[place].value = event.value
        } else {
            packet[place].value = Int32(clamping: Int64(packet[place].value) + Int64(event.value))
        }
        return true
    }

    private func releases(of events: [InputWord]) -> [InputWord] {
        var found: [InputWord] = []
        for event in events where event.isRelease && held.contains(event.code) && !found.contains(event) {
            found.append(event)
        }
        return found
    }

    /// Without presses of what is down and releases of what is not.
    private mutating func changes(_ events: [InputWord]) -> [InputWord] {
        var kept: [InputWord] = []
        for event in events {
            if event.type == InputEventCode.key {
                let isNew = event.value == 0 ? held.remove(event.code) != nil : held.insert(event.code).inserted
                guard isNew else { continue }
            }
            kept.append(event)
        }
        return kept
    }

    // MARK: Out

    /// What goes into the next buffers, one event each: a packet with its end, or as much of one as a queue of `entries` can ever hold. Empty:
    /// nothing waits.
    public func next(entries: Int) -> [InputWord] {
        guard let first = waiting.first else { return [] }
        return Array((first + [.end]).prefix(max(entries, 1)))
    }

    /// The first `count` events have been delivered, of those that `next` gave.
    public mutating func delivered(_ count: Int) {
        guard let first = waiting.first else { return }
        if count > first.count { waiting.removeFirst() } else { waiting[0].removeFirst(count) }
    }

    // MARK: State as bytes

    public var waitingBytes: [UInt8] { waiting.flatMap { ($0 + [.end]).flatMap(\.bytes) } }
    public var openBytes: [UInt8] { ((isTooLong ? [.end] : []) + open).flatMap(\.bytes) }
    public var heldBytes: [UInt8] {
        held.sorted().flatMap { InputWord(type: InputEventCode.key, code: $0, value: 1).bytes }
    }

    /// nil: no such state of a device that sends what `sends` says.
    public init?(waiting: [UInt8], open: [UInt8], held: [UInt8], sends: (InputWord) -> Bool) {
        guard let queue = InputPackets.words(waiting), let open = InputPackets.words(open),
            let held = InputPackets.words(held), queue.count <= InputPackets.most,
            open.count <= InputPackets.longest + 1, held.allSatisfy({ $0.type == InputEventCode.key && sends($0) })
        else { return nil }
        for word in queue {
            if self.waiting.isEmpty { self.waiting = [[]] }
            if word == .end {
                self.waiting.append([])
            } else {
                guard sends(word) else { return nil }
                self.waiting[self.waiting.count - 1].append(word)
            }
        }
        // What is behind the last end: nothing.
        guard self.waiting.popLast()?.isEmpty ?? true else { return nil }
        isTooLong = open.first == .end
        self.open = isTooLong ? Array(open.dropFirst()) : open
        guard self.open.allSatisfy(sends) else { return nil }
        self.held = Set(held.map(\.code))
    }

    private static func words(_ bytes: [UInt8]) -> [InputWord]? {
        guard bytes.count % InputWord.size == 0 else { return nil }
        return stride(from: 0, to: bytes.count, by: InputWord.size).compactMap {
            InputWord(bytes: bytes[$0..<$0 + InputWord.size])
        }
    }
}
