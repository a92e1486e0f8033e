// The packet commands of a CD-ROM drive with a data disc in it (MMC-3, and SPC-3 for what all devices have): one session, one track of mode 1, blocks of
// 2048 bytes. Fields are big-endian.

private enum DiscCommand: UInt8 {
    case testUnitReady = 0x00, requestSense = 0x03, inquiry = 0x12, startStopUnit = 0x1B, preventAllowRemoval = 0x1E
    case readCapacity = 0x25, read10 = 0x28, seek10 = 0x2B, readTOC = 0x43, getConfiguration = 0x46
    case getEventStatus = 0x4A, readDiscInformation = 0x51, modeSense10 = 0x5A, read12 = 0xA8, mechanismStatus = 0xBD
    case readCD = 0xBE

    /// An attention waits behind these (SPC-3, 5.9.6; MMC-3, 4.1.6.1).
    var ignoresAttention: Bool {
        switch self {
        case .requestSense, .inquiry, .getConfiguration, .getEventStatus: true
        default: false
        }
    }
}

extension ATAChannel {
    /// More blocks than a CD-ROM can hold (99 minutes) are a DVD-ROM's.
    private static let largestCD: UInt64 = 99 * 60 * 75

    mutating func execute(packet: [UInt8], _ index: UInt8) {
        guard packet.count >= 12, let command = DiscCommand(rawValue: packet[0]) else {
            return failPacket(.invalidCommand)
        }
        if command == .requestSense { return requestSense(packet, index) }
        if !command.ignoresAttention, state[index].packet.attention != .none {
            let attention = state[index].packet.attention
            state[index].packet.attention = .none
            return failPacket(attention)
        }
        state[index].packet.sense = .none
        switch command {
        case .inquiry: inquiry(packet, index)
        case .startStopUnit: startStopUnit(packet, index)
        case .preventAllowRemoval:
            state[index].packet.isLocked = packet[4] & 1 != 0
            finishPacket()
        case .getConfiguration: getConfiguration(packet, index)
        case .getEventStatus: getEventStatus(packet, index)
        case .modeSense10: modeSense(packet, index)
        case .mechanismStatus: reply([0, 0, 0, 0, 0, 0, 0, 0], limit: Self.word(packet, 8))
        case .requestSense: break
        case .testUnitReady, .readCapacity, .read10, .read12, .readCD, .seek10, .readTOC, .readDiscInformation:
            // These need a disc.
            if state[index].packet.isOpen { return failPacket(.noDisc) }
            executeOnDisc(command, packet, index)
        }
    }

    private mutating func executeOnDisc(_ command: DiscCommand, _ packet: [UInt8], _ index: UInt8) {
        let blocks = drive(index).blocks
        switch command {
        case .readCapacity:
            reply(Self.bytes(UInt32(truncatingIfNeeded: blocks &- 1)) + Self.bytes(2048), limit: 8)
        case .read10: read(Self.long(packet, 2), UInt32(Self.word(packet, 7)), of: blocks)
        case .read12: read(Self.long(packet, 2), Self.long(packet, 6), of: blocks)
        case .readCD:
            // User data alone, of a sector of any type or of mode 1.
            let kind = packet[1] >> 2 & 7
            guard packet[9] & 0xF8 == 0x10, packet[10] & 7 == 0, kind == 0 || kind == 2 else {
                return failPacket(.invalidField)
            }
            let count = UInt32(packet[6]) << 16 | UInt32(packet[7]) << 8 | UInt32(packet[8])
            read(Self.long(packet, 2), count, of: blocks)
        case .seek10:
            if UInt64(Self.long(packet, 2)) < blocks { finishPacket() } else { failPacket(.addressOutOfRange) }
        case .readTOC: readTOC(packet, blocks)
        case .readDiscInformation: reply(Self.discInformation, limit: Self.word(packet, 7))
        default: finishPacket()
        }
    }

    private mutating func read(_ block: UInt32, _ count: UInt32, of blocks: UInt64) {
        guard UInt64(block) <= blocks, UInt64(count) <= blocks &- UInt64(block), count <= UInt32.max / 4 else {
            return failPacket(.addressOutOfRange)
        }
        readBlocks(UInt64(block), count: count)
    }

    // MARK: Replies

    private mutating func requestSense(_ packet: [UInt8], _ index: UInt8) {
        var sense = state[index].packet.sense
        if sense == .none {
            sense = state[index].packet.attention
            state[index].packet.attention = .none
        }
        state[index].packet.sense = .none
        var bytes: [UInt8] = [0x70, 0, sense.key, 0, 0, 0, 0, 10]
        bytes += [0, 0, 0, 0, sense.code, sense.qualifier, 0, 0, 0, 0]
        reply(bytes, limit: Int(packet[4]))
    }

    private mutating func inquiry(_ packet: [UInt8], _ index: UInt8) {
        guard packet[1] & 1 == 0, packet[2] == 0 else { return failPacket(.invalidField) }
        // CD-ROM, removable, no version of SPC claimed, response format 2 of ATAPI.
        var bytes: [UInt8] = [0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0]
        bytes += Drive.characters("BACKPLNE", count: 8) + Drive.characters(drive(index).model, count: 16)
        bytes += Drive.characters(drive(index).firmware, count: 4)
        reply(bytes, limit: Self.word(packet, 3))
    }

    /// LoEj and Start (MMC-3, 6.43).
    private mutating func startStopUnit(_ packet: [UInt8], _ index: UInt8) {
        switch packet[4] & 0b11 {
        case 0b10:
            guard setOpen(index, true) else { return failPacket(.removalPrevented) }
        case 0b11: _ = setOpen(index, false)
        default: break
        }
        finishPacket()
    }

    /// Formats 0 (TOC) and 1 (session); the lead-out is track AAh.
    private mutating func readTOC(_ packet: [UInt8], _ blocks: UInt64) {
        let isMSF = packet[1] & 0b10 != 0
        let format = packet[2] & 0xF != 0 ? packet[2] & 0xF : packet[9] >> 6
        func address(_ block: UInt64) -> [UInt8] {
            guard isMSF else { return Self.bytes(UInt32(truncatingIfNeeded: block)) }
            // Addresses in time begin two seconds before block 0.
            let frames = block &+ 150
            let minutes = min(frames / 75 / 60, 255)
            return [0, UInt8(minutes), UInt8(frames / 75 % 60), UInt8(frames % 75)]
        }
        func track(_ number: UInt8, _ block: UInt64) -> [UInt8] { [0, 0x14, number, 0] + address(block) }
        var entries: [UInt8] = []
        switch format {
        case 0:
            guard packet[6] <= 1 || packet[6] == 0xAA else { return failPacket(.invalidField) }
            if packet[6] <= 1 { entries += track(1, 0) }
            entries += track(0xAA, blocks)
        case 1: entries += track(1, 0)
        default: return failPacket(.invalidField)
        }
        reply(Self.bytes16(entries.count + 2) + [1, 1] + entries, limit: Self.word(packet, 7))
    }

    /// A complete disc of one session and one track (MMC-3, 6.22).
    private static let discInformation: [UInt8] =
        [0, 32, 0x0E, 1, 1, 1, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0] + [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
        + [UInt8](repeating: 0, count: 10)

    /// Features 0 (profiles), 1 (core), 2 (morphing), 3 (removable medium), 10h (random readable), 1Eh (CD read) or 1Fh (DVD read).
    private mutating func getConfiguration(_ packet: [UInt8], _ index: UInt8) {
        let isDVD = drive(index).blocks > Self.largestCD
        let hasDisc = !state[index].packet.isOpen
        let current: Int = hasDisc ? isDVD ? 0x10 : 0x08 : 0
        func profile(_ number: Int) -> [UInt8] { Self.bytes16(number) + [number == current ? 1 : 0, 0] }
        func feature(_ number: Int, _ flags: UInt8, _ data: [UInt8]) -> (number: Int, flags: UInt8, bytes: [UInt8]) {
            (number, flags, Self.bytes16(number) + [flags, UInt8(data.count)] + data)
        }
        // Flags: version in 5:2, persistent 1, current 0.
        let all = [
            feature(0x00, 0x03, profile(0x10) + profile(0x08)),
            feature(0x01, 0x03, [0, 0, 0, 2]),  // ATAPI
            feature(0x02, 0x03, [0, 0, 0, 0]),
            feature(0x03, 0x03, [0x29, 0, 0, 0]),  // tray, ejects, locks
            feature(0x10, hasDisc ? 0x01 : 0x00, [0, 0, 8, 0, 0, 1, 0, 0]),
            feature(0x1E, hasDisc && !isDVD ? 0x01 : 0x00, []),
            feature(0x1F, hasDisc && isDVD ? 0x01 : 0x00, []),
        ]
        let first = Self.word(packet, 2)
        let chosen: [(number: Int, flags: UInt8, bytes: [UInt8])]
        switch packet[1] & 0b11 {
        case 0: chosen = all.filter { $0.number >= first }
        case 1: chosen = all.filter { $0.number >= first && $0.flags & 1 != 0 }
        case 2: chosen = all.filter { $0.number == first }
        default: return failPacket(.invalidField)
        }
        let features = chosen.flatMap(\.bytes)
        let header = Self.bytes(UInt32(features.count + 4)) + [0, 0] + Self.bytes16(current)
        reply(header + features, limit: Self.word(packet, 7))
    }

    /// Media events, polled (MMC-3, 6.6): 1, the operator wants the disc; 2, there is a new one.
    private mutating func getEventStatus(_ packet: [UInt8], _ index: UInt8) {
        guard packet[1] & 1 != 0 else { return failPacket(.invalidField) }
        guard packet[4] & 0x10 != 0 else { return reply([0, 2, 0x80, 0x10], limit: Self.word(packet, 7)) }
        let isOpen = state[index].packet.isOpen
        let event: UInt8 =
            state[index].packet.isEjectWanted ? 1 : state[index].packet.attention == .mediumChanged ? 2 : 0
        state[index].packet.isEjectWanted = false
        let status: UInt8 = isOpen ? 0b01 : 0b10  // tray open; medium present
        reply([0, 6, 0x04, 0x10, event, status, 0, 0], limit: Self.word(packet, 7))
    }

    /// Pages 01h (error recovery), 0Eh (audio, none of it), 2Ah (capabilities); current, changeable and default values are alike.
    private mutating func modeSense(_ packet: [UInt8], _ index: UInt8) {
        let pages: [(UInt8, [UInt8])] = [
            (0x01, [0x01, 6, 0, 5, 0, 0, 0, 0]),
            (0x0E, [0x0E, 14, 0x04, 0, 0, 0, 0, 75, 0, 0, 0, 0, 0, 0, 0, 0]),
            (0x2A, capabilities(index)),
        ]
        let wanted = packet[2] & 0x3F
        let chosen = pages.filter { wanted == 0x3F || $0.0 == wanted }
        guard !chosen.isEmpty, packet[2] >> 6 != 3 else { return failPacket(.invalidField) }
        let data = chosen.flatMap(\.1)
        // No medium type is claimed.
        reply(
            Self.bytes16(data.count + 6) + [state[index].packet.isOpen ? 0x71 : 0, 0, 0, 0, 0, 0] + data,
            limit: Self.word(packet, 7))
    }

    /// MM capabilities and mechanical status (MMC-3, 6.3.11): reads CD and DVD-ROM, a tray that locks and ejects, 24 times speed.
    private func capabilities(_ index: UInt8) -> [UInt8] {
        let lock: UInt8 = state[index].packet.isLocked ? 0b10 : 0
        let speed = Self.bytes16(176 * 24)
        return [0x2A, 18, 0x08, 0x00, 0x60, 0x00, 0x29 | lock, 0x00] + speed + [0, 2] + [2, 0] + speed + [0, 0, 0, 0]
    }

    // MARK: Fields

    private static func word(_ packet: [UInt8], _ offset: Int) -> Int {
        Int(packet[offset]) << 8 | Int(packet[offset + 1])
    }

    private static func long(_ packet: [UInt8], _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 << 8 | UInt32(packet[offset + $1]) }
    }

    private static func bytes(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    private static func bytes16(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
    }
}
