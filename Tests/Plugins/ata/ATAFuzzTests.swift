import ATA
import Testing

/// Two channels that get the same guest accesses and completions; the second is restored from the first now and then.
private struct Twins {
    var first: ATAChannel
    var second: ATAChannel
    var drives: (Drive, Drive)
    var pending: (ATAChannel.Request?, ATAChannel.Request?) = (nil, nil)
    var dice: Dice
    var failures: [String] = []

    init(_ drive0: Drive, _ drive1: Drive, seed: UInt64) {
        drives = (drive0, drive1)
        first = ATAChannel(device0: drive0, device1: drive1)
        second = first
        dice = Dice(seed)
    }

    mutating func same<T: Equatable>(_ name: String, _ left: T, _ right: T) {
        if left != right { failures.append("\(name): \(left) \(right)") }
    }

    /// A fresh channel takes over the state, and asks again for what the first one's host is busy with.
    mutating func fork() {
        second = ATAChannel(device0: drives.0, device1: drives.1)
        let taken = second.restore(first.state)
        if !taken { failures.append("a state of its own was refused: \(first.state.transfer)") }
        pending.1 = pending.0 == nil ? nil : second.takeRequest()
        compareRequests()
    }

    mutating func compareRequests() {
        var (left, right) = pending
        left?.tag = 0
        right?.tag = 0
        same("request", left, right)
    }

    mutating func takeRequest() {
        guard pending.0 == nil else { return }
        pending = (first.takeRequest(), second.takeRequest())
        compareRequests()
    }

    mutating func complete() {
        guard let left = pending.0, let right = pending.1 else { return takeRequest() }
        let outcome: ATAChannel.Outcome =
            dice.chance(90) ? .success : ATAChannel.Outcome(rawValue: UInt8(dice.below(5))) ?? .success
        let length = dice.chance(97) ? left.byteCount : dice.below(9000)
        let fill = dice.byte()
        let data = [UInt8](repeating: fill, count: length)
        if left.operation == .write { compareWriteData(left, right) }
        let accepted = first.complete(left.tag, outcome, data: data.span)
        same("complete", accepted, second.complete(right.tag, outcome, data: data.span))
        pending = (nil, nil)
    }

    mutating func compareWriteData(_ left: ATAChannel.Request, _ right: ATAChannel.Request) {
        var one = [UInt8](repeating: 0, count: 8192)
        var other = one
        var span = one.mutableSpan
        let count = first.copyData(of: left.tag, into: &span)
        var otherSpan = other.mutableSpan
        let otherCount = second.copyData(of: right.tag, into: &otherSpan)
        same("write data count", [count, left.byteCount], [otherCount, count])
        if one != other { failures.append("write data") }
    }

    mutating func stale() {
        let tag = dice.roll()
        guard tag != pending.0?.tag, tag != pending.1?.tag else { return }
        same("stale", first.complete(tag, .success), false)
        same("stale", second.complete(tag, .deviceFault), false)
    }

    mutating func readBulk() {
        let count = dice.below(3000)
        var one = [UInt8](repeating: 0, count: count)
        var other = one
        var span = one.mutableSpan
        let got = first.readData(into: &span)
        var otherSpan = other.mutableSpan
        same("bulk read", got, second.readData(into: &otherSpan))
        if one != other { failures.append("bulk data") }
    }

    mutating func writeBulk() {
        let byte = dice.byte()
        let data = [UInt8](repeating: byte, count: dice.below(3000))
        same("bulk write", first.writeData(from: data.span), second.writeData(from: data.span))
    }

    mutating func readWidth() {
        let widths: [UInt8] = [1, 2, 2, 4, 4, 3, 8]
        let width = widths[dice.below(7)]
        for _ in 0..<dice.below(300) {
            let peeked = first.peekData(width: width)
            let value = first.readData(width: width)
            if width != 4 { same("peek", peeked, value) }
            same("data", value, second.readData(width: width))
        }
    }

    mutating func writeWidth() {
        let widths: [UInt8] = [1, 2, 2, 4, 4, 3, 8]
        let width = widths[dice.below(7)]
        for _ in 0..<dice.below(300) {
            let value = UInt32(truncatingIfNeeded: dice.roll())
            first.writeData(value, width: width)
            second.writeData(value, width: width)
        }
    }

    mutating func writeRegister(_ offset: UInt8, _ value: UInt8) {
        first.write(offset, value)
        second.write(offset, value)
    }

    /// A command that is likely to be accepted: small numbers, near either end of a small drive.
    mutating func command() {
        let codes: [UInt8] = [
            0x20, 0x20, 0x24, 0x29, 0x30, 0x30, 0x34, 0x39, 0x40, 0x42, 0xC4, 0xC4, 0xC5, 0xC5, 0xC6, 0xEC, 0xEF, 0x91,
            0xE7, 0xE0, 0xE3, 0x90, 0xF8, 0x27, 0x70,
        ]
        let usual: UInt8 = drives.0.isPresent ? 0x00 : 0x10
        let device = (dice.chance(70) ? 0x40 : 0x00) | (dice.chance(80) ? usual : usual ^ 0x10)
        writeRegister(6, device | UInt8(dice.below(3)))
        for offset in UInt8(1)...5 {
            writeRegister(offset, 0)
            writeRegister(offset, offset > 3 ? UInt8(dice.below(4)) : dice.byte())
        }
        if dice.chance(60) { writeRegister(2, UInt8(dice.below(36))) }
        writeRegister(7, codes[dice.below(codes.count)])
    }

    mutating func control() {
        let value = dice.chance(80) ? dice.byte() & 0x82 : dice.byte()
        first.writeControl(value)
        second.writeControl(value)
        guard value & 0x04 != 0 else { return }
        pending = (nil, nil)
        guard dice.chance(70) else { return }  // now and then the guest leaves SRST set for a while
        first.writeControl(0x00)
        second.writeControl(0x00)
    }

    mutating func readRegister() {
        let offset = UInt8(dice.below(9))
        let peeked = first.peek(offset)
        let value = first.read(offset)
        same("peek", peeked, value)
        same("read", value, second.read(offset))
    }

    mutating func step() {
        switch dice.below(100) {
        case 0..<20: command()
        case 20..<30: readRegister()
        case 30..<34: writeRegister(UInt8(dice.below(9)), dice.byte())
        case 34..<37: control()
        case 37..<45: readWidth()
        case 45..<53: writeWidth()
        case 53..<60: readBulk()
        case 60..<67: writeBulk()
        case 67..<77: takeRequest()
        case 77..<93: complete()
        case 93..<96: stale()
        case 96: if dice.chance(20) { reset() }
        default: fork()
        }
        same("interrupt", first.interruptAsserted, second.interruptAsserted)
        same("status", first.alternateStatus, second.alternateStatus)
    }

    mutating func reset() {
        first.reset()
        second.reset()
        pending = (nil, nil)
    }
}

@Suite struct ATAFuzzTests {
    private static func drives(_ seed: UInt64) throws -> (Drive, Drive) {
        switch seed % 5 {
        case 0: (try Drive(sectors: 700), try Drive(sectors: 40, readOnly: true))
        case 1: (try Drive(sectors: 1200), .absent)
        case 2: (.absent, try Drive(sectors: 900))
        case 3: (try Drive(sectors: 1 << 48), try Drive(sectors: 1))
        default: (.absent, .absent)
        }
    }

    @Test(arguments: 0..<UInt64(40))
    func randomGuestsNeverTrapAndARestoredCopyAnswersTheSame(seed: UInt64) throws {
        let (drive0, drive1) = try Self.drives(seed)
        var twins = Twins(drive0, drive1, seed: seed)
        var judge = ATAChannel(device0: drive0, device1: drive1)
        var commands = 0
        for _ in 0..<1500 {
            twins.step()
            let sound = judge.restore(twins.first.state)
            if !sound { twins.failures.append("unsound: \(twins.first.state.transfer)") }
            if twins.first.state.transfer.phase != .idle { commands += 1 }
            guard twins.failures.isEmpty else { break }
        }
        #expect(twins.failures == [])
        #expect(twins.first.state.buffer == twins.second.state.buffer)
        if seed % 5 != 4 { #expect(commands > 50) }
    }

    @Test(arguments: 0..<UInt64(60))
    func whateverStateIsTakenIsSafeToRun(seed: UInt64) throws {
        let (drive0, drive1) = try Self.drives(seed)
        var twins = Twins(drive0, drive1, seed: seed &+ 1000)
        var dice = Dice(seed &+ 5000)
        var taken = 0
        for _ in 0..<60 {
            for _ in 0..<5 { twins.step() }
            twins.failures = []
            var hostile = twins.first.state
            Self.damage(&hostile, &dice)
            var victim = Twins(drive0, drive1, seed: dice.roll())
            guard victim.first.restore(hostile) == true else { continue }
            taken += 1
            victim.fork()
            for _ in 0..<25 { victim.step() }
            #expect(victim.failures == [])
        }
        if seed % 5 != 4 { #expect(taken > 0) }
    }

    /// One or two fields get a value of their type.
    private static func damage(_ state: inout ATAChannel.State, _ dice: inout Dice) {
        for _ in 0...dice.below(2) {
            let near = UInt16(dice.below(20) * 512)
            switch dice.below(14) {
            case 0: state.transfer.phase = .init(rawValue: UInt8(dice.below(4))) ?? .idle
            case 1: state.transfer.kind = .init(rawValue: UInt8(dice.below(7))) ?? .read
            case 2: state.transfer.addressing = .init(rawValue: UInt8(dice.below(3))) ?? .chs
            case 3: state.transfer.position = dice.chance(50) ? near : UInt16(truncatingIfNeeded: dice.roll())
            case 4: state.transfer.blockEnd = dice.chance(80) ? near : UInt16(truncatingIfNeeded: dice.roll())
            case 5: state.transfer.filled = dice.chance(80) ? near : UInt16(truncatingIfNeeded: dice.roll())
            case 6: state.transfer.next = dice.chance(70) ? UInt64(dice.below(1300)) : dice.roll()
            case 7: state.transfer.remaining = dice.chance(80) ? UInt32(dice.below(300)) : UInt32.max
            case 8: state.transfer.block = UInt8(dice.below(33))
            case 9: state.transfer.singles = UInt8(dice.below(20))
            case 10: state.select.rawValue = dice.byte()
            case 11: state.device0.settings.multiple = UInt8(dice.below(33))
            case 12: (state.device0.settings.heads, state.device0.settings.sectorsPerTrack) = (dice.byte(), dice.byte())
            default: (state.device0.lbaLow, state.device1.sectorCount) = (UInt16(dice.byte()), 0)
            }
        }
    }
}
