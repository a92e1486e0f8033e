import CBackplane
import Core
import EngineSoft
import Foundation
import Testing

/// Random guests of whole machines: they program disks, interrupt controllers, timers, the clock and the serial port with what looks like
/// sense and with what does not, and move their data over every edge of memory. Nothing of it may trap, or keep a stop from being heard.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct DeviceFuzzTests {
    static let factor =
        ProcessInfo.processInfo.environment["BACKPLANE_SOAK"].flatMap { Int($0) }.map { max(1, min($0, 1000)) } ?? 1
    static let seed = ProcessInfo.processInfo.environment["BACKPLANE_SEED"].flatMap { UInt64($0) } ?? 1

    @Test(arguments: [false, true]) func guestsThatProgramDevicesNeitherTrapNorHang(isCounted: Bool) async throws {
        let instructions = try await Self.runGuests(for: Self.time(isCounted: isCounted)) { number, folder in
            var program = RandomProgram(seed: Self.seed &* 1_000_003 &+ number)
            try folder.write("image", program.image())
            try folder.write("in", [UInt8](repeating: 0x41, count: 100))
            return try TestMachine(Self.file(folder, isCounted: isCounted))
        }
        if isCounted { #expect(instructions > Self.leastInstructions) }
    }

    /// Of all guests that count them: each comes beyond its set-up.
    static var leastInstructions: UInt64 { 30 * UInt64(factor) * 200 }

    /// Machines with a random guest each, which run for a while and are then stopped.
    /// - Parameters:
    ///   - time: how long each runs at least, ns of its own clock.
    ///   - make: the machine of a number, with its files in a folder of its own.
    /// - Returns: the instructions of those that count them.
    static func runGuests(
        for time: UInt64, _ make: (UInt64, CountedTests.Folder) throws -> TestMachine
    ) async throws -> UInt64 {
        var instructions: UInt64 = 0
        for number in 0..<UInt64(30 * factor) {
            let folder = try CountedTests.Folder()
            let machine = try make(number, folder)
            let task = try machine.run()
            await Self.comes(machine.machine, to: time)
            machine.machine.stop(0, "the fuzz has seen enough")
            _ = await task.value
            instructions &+= machine.machine.countedSummary?.instructions ?? 0
        }
        return instructions
    }

    /// How long a guest runs, ns of its own clock, which goes on with instructions where it is counted: however long they take here.
    static func time(isCounted: Bool) -> UInt64 { isCounted ? 1_000_000 : 20_000_000 }

    /// Until the guest's clock shows `time`, or it has ended or stands still.
    private static func comes(_ machine: Machine, to time: UInt64) async {
        var looks = (time: UInt64(0), still: 0)
        _ = await patiently {
            let now = machine.virtualTime
            looks = now == looks.time ? (now, looks.still + 1) : (now, 0)
            let standsStill = now > 0 && looks.still >= 20
            return now >= time || standsStill || machine.runStatus == .shutdown
        }
    }

    private static func file(_ folder: CountedTests.Folder, isCounted: Bool) -> String {
        """
        machine: device-fuzz
        clock: { mode: \(isCounted ? "counted" : "real") }
        cpu: { engine: soft, interrupts: pic }
        memory: 1MiB
        boot: { plugin: flat, image: \(folder.path)/image }
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: pit, plugin: pit8254, irq: pic.0 }
          - { id: rtc, plugin: rtc146818, irq: pic.8 }
          - { id: com1, plugin: uart16550, irq: pic.4, stream: term }
          - { id: hd0, plugin: ata, irq: pic.14, block: disk }
          - { id: reset, plugin: reset-control }
        backends:
          - { id: term, plugin: file, path: \(folder.path)/out, input: \(folder.path)/in }
          - { id: disk, plugin: ram-disk, size: 64KiB }
        """
    }
}

/// A boot image of real mode: an interrupt table whose handlers are anywhere in it, then pieces that each do one thing to a device.
private struct RandomProgram {
    private var state: UInt64
    private var code: [UInt8] = []
    private static let length = 0x4000

    init(seed: UInt64) { state = seed }

    private mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
    private mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    private mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    private mutating func pick<T>(_ values: [T]) -> T { values[below(values.count)] }
    private mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }

    mutating func image() -> [UInt8] {
        // XOR AX, AX; MOV DS, AX; MOV DI, AX; then for each vector: MOV WORD [DI], offset; MOV [DI+2], AX; ADD DI, 4
        code = [0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7a]
        for vector in 0..<128 {
            let target = 0x7c00 + 2048 + below(Self.length - 2048)
            code += [0xc7, 0x06] + word(vector * 4) + word(target) + [0xa3] + word(vector * 4 + 2)
        }
        code += controllers()
        while code.count < 2048 { code.append(0x90) }
        while code.count < Self.length { code += piece() }
        return code
    }

    private func word(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
    }

    private func out(_ port: UInt8, _ value: UInt8) -> [UInt8] { [0xb0, value, 0xe6, port] }

    /// The PICs as a PC has them, and every line open.
    private func controllers() -> [UInt8] {
        out(0x20, 0x11) + out(0x21, 8) + out(0x21, 4) + out(0x21, 1) + out(0xa0, 0x11) + out(0xa1, 0x70) + out(0xa1, 2)
            + out(0xa1, 1) + out(0x21, 0) + out(0xa1, 0) + [0xfb]
    }

    private mutating func piece() -> [UInt8] {
        switch below(16) {
        case 0, 1, 2: return diskCommand()
        case 3, 4, 5: return stringAccess()
        case 6, 7:
            return portAccess(
                pick([0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x60, 0x64, 0x92, 0x3f6]))
        case 8: return portAccess(UInt16(0x3f8 + below(8)))
        case 9: return portAccess(UInt16(0x1f0 + below(8)))
        case 10: return pick([[0xfb, 0xf4], [0xfb], [0xfb], [0xfa], [0xcf], [0xfb, 0x90, 0xf4]])
        case 11: return segmentLoad()
        case 12: return memoryAccess()
        case 13: return [0xb0, 0x20, 0xe6, 0x20, 0xe6, 0xa0]
        case 14: return jump()
        default: return (0..<below(6)).map { _ in byte() }
        }
    }

    /// Sector count, LBA and drive, then a command that reads, writes, or does not exist.
    private mutating func diskCommand() -> [UInt8] {
        var bytes: [UInt8] = []
        let values = [
            UInt8(below(6)), UInt8(below(140)), chance(90) ? 0 : byte(), chance(90) ? 0 : byte(),
            chance(90) ? 0xe0 : byte(),
        ]
        for (index, value) in values.enumerated() { bytes += [0xba] + word(0x1f2 + index) + [0xb0, value, 0xee] }
        let command = pick([
            0x20, 0x20, 0x30, 0x30, 0xec, 0xc4, 0xc5, 0xc6, 0xe7, 0x90, 0x91, 0x40, 0x70, 0xef, 0xc8, 0xca, byte(),
        ])
        return bytes + [0xba] + word(0x1f7) + [0xb0, command, 0xee]
    }

    /// REP INS or OUTS at an edge: of the segment, of RAM, of the hole above it, over code.
    private mutating func stringAccess() -> [UInt8] {
        let port = chance(70) ? 0x1f0 : pick([0x3f8, 0x71, 0x40, 0x60, 0x20, 0x80])
        let segment = pick([
            0x0000, 0x07c0, 0x9000, 0x9f00, 0x9fff, 0xa000, 0xb800, 0xc000, 0xf000, 0xffff, below(0x10000),
        ])
        let offset = pick([0xfffe, 0xffff, 0xff00, 0xfff1, 0, 0x10, 0x0fff, 0x7c00, below(0x10000)])
        let isIn = chance(60)
        let register: UInt8 = isIn ? 0xbf : 0xbe
        let load: [UInt8] = isIn ? [0x8e, 0xc0] : [0x8e, 0xd8]
        var bytes: [UInt8] =
            [0xb8] + word(segment) + load + [register] + word(offset) + [0xb9] + word(below(600)) + [0xba] + word(port)
        bytes.append(chance(85) ? 0xfc : 0xfd)
        if chance(10) { bytes.append(0x67) }
        if chance(30) { bytes.append(0x66) }
        if chance(90) { bytes.append(0xf3) }
        return bytes + [isIn ? pick([0x6c, 0x6d]) : pick([0x6e, 0x6f])]
    }

    private mutating func portAccess(_ port: UInt16) -> [UInt8] {
        let value = UInt16(truncatingIfNeeded: next())
        var bytes: [UInt8] = [0xba] + word(Int(port)) + [0xb8] + word(Int(value))
        if chance(15) { bytes.append(0x66) }
        return bytes + [pick([0xec, 0xed, 0xee, 0xee, 0xee, 0xef])]
    }

    private mutating func segmentLoad() -> [UInt8] {
        [0xb8] + word(pick([0, 0x07c0, 0xa000, 0xffff, below(0x10000)])) + [0x8e, pick([0xc0, 0xd8])]
    }

    /// MOVS, STOS, and single accesses over the edges.
    private mutating func memoryAccess() -> [UInt8] {
        let offset = pick([0xfffe, 0xffff, 0xfffd, 0x0ffe, below(0x10000)])
        switch below(4) {
        case 0: return [0xa1] + word(offset)
        case 1: return [0xa3] + word(offset)
        case 2: return [0xbf] + word(offset) + [0xb9] + word(below(300)) + [0xf3, pick([0xaa, 0xab])]
        default:
            return [0xbe] + word(below(0x10000)) + [0xbf] + word(offset) + [0xb9] + word(below(300)) + [
                0xf3, pick([0xa4, 0xa5]),
            ]
        }
    }

    /// Mostly back to an earlier piece, so that programs go on.
    private mutating func jump() -> [UInt8] {
        let target = 2048 + below(max(1, code.count - 2048))
        return [0xe9] + word(target - (code.count + 3))
    }
}
