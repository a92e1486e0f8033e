@testable import FDC82077
import SplitMix
import Testing

/// Guests, channels, media and operators that do anything, and states from outside.
@Suite struct FuzzTests {
    private static let codes: [UInt8] = [
        0x46, 0xC6, 0x66, 0x45, 0xC5, 0x49, 0x4C, 0x6C, 0x42, 0x56, 0xD6, 0x4D, 0x4A, 0x07, 0x08, 0x03, 0x04, 0x0F,
        0x13, 0x8F, 0xCF, 0x0E, 0x10, 0x12, 0x14, 0x94, 0x18, 0x00,
    ]
    private static let sizes: [UInt64] = [320, 360, 640, 720, 1440, 2400, 2880, 5760]

    private struct Guest {
        var chip: FDC82077
        var pending: FDC82077.Request?
    }

    /// Two chips do the same; the second is restored from the first now and then.
    @Test(arguments: 0..<UInt64(6)) func randomGuestsNeverTrapAndStatesHoldAll(seed: UInt64) {
        var dice = SplitMix64(seed: seed)
        func below(_ limit: UInt64) -> UInt64 { dice.next() % limit }
        let drives: [FDC82077.Drive] = [
            .init(FloppyFormat(sectorCount: Self.sizes[Int(seed) % 8]), isReadOnly: seed & 4 != 0),
            .init(FloppyFormat(sectorCount: 2880), isReadOnly: false),
        ]
        var twins = [FDC82077(.at, drives: drives), FDC82077(.at, drives: drives)]
        var media = drives
        var pending: [FDC82077.Request?] = [nil, nil]
        var (now, differences, finished) = (UInt64(0), 0, 0)
        for step in 0..<300_000 {
            let bits = dice.next()
            let small = UInt8(truncatingIfNeeded: below(4) == 0 ? dice.next() : below(20))
            let register = UInt8(truncatingIfNeeded: bits >> 8 & 7)
            let count = Int(truncatingIfNeeded: below(600))
            let outcome =
                [.success, .success, .success, .success, .failed, .writeProtected][Int(below(6))] as FDC82077.Outcome
            let format = below(3) == 0 ? nil : FloppyFormat(sectorCount: Self.sizes[Int(below(8))])
            let code = Self.codes[Int(below(UInt64(Self.codes.count)))]
            if bits & 3 == 0 { now &+= bits >> 20 & 0x3F_FFFF }
            // One that looks like sense, of the cylinder where the head is.
            let (unit, head) = (UInt8(below(2)), UInt8(below(2)))
            let whole = [
                code, head << 2 | unit, twins[0].state.units[Int(unit)].cylinder, head, UInt8(below(9)), 2, 9, 0x1B,
                small,
            ]
            var answers: [[UInt8]] = []
            for index in twins.indices {
                var answer: [UInt8] = []
                twins[index].advance(to: now)
                switch bits >> 2 & 31 {
                case 0...5: twins[index].write(5, small, at: now)
                case 6...11:
                    guard twins[index].peek(4) & 0xD0 == 0x80 else { break }
                    for byte in whole.prefix(Opcode(byte: code)?.length ?? 1) { twins[index].write(5, byte, at: now) }
                case 12...18: answer = [twins[index].read(5, at: now)]
                case 19: answer = [twins[index].read(register, at: now)]
                case 20: if bits >> 50 & 7 == 0 { twins[index].write(register, small, at: now) }
                case 21:
                    let output: UInt8 = bits >> 50 & 31 == 0 ? small : bits >> 50 & 7 == 1 ? 0x38 : 0x3C
                    twins[index].write(2, output, at: now)
                case 22, 23: twins[index].setChannelReady(bits >> 50 & 3 != 0)
                case 24, 25:
                    guard let (direction, bytes, wanted) = twins[index].takeMovement() else { break }
                    let moved = bits >> 50 & 7 == 0 ? count : wanted
                    answer = bytes
                    twins[index].moved(
                        moved, data: direction == .toDisk ? [UInt8](repeating: small, count: min(moved, 700)) : [],
                        at: now)
                case 26...28:
                    if pending[index] == nil { pending[index] = twins[index].takeRequest() }
                    guard let request = pending[index] else { break }
                    answer = request.data
                    if request.isWrite != (request.data.count == 512) { differences += 1 }
                    if request.sector >= media[request.unit & 1].format?.sectorCount ?? 0 { differences += 1 }
                    let data = request.isWrite || bits >> 60 == 0 ? [] : [UInt8](repeating: small, count: 512)
                    twins[index].complete(request.tag, outcome, data: data, at: now)
                    pending[index] = nil
                    finished += index
                case 29:
                    if bits >> 50 & 15 == 0 { twins[index].setOpen(Int(bits >> 56 & 3), bits >> 60 & 1 == 0, at: now) }
                case 30:
                    guard bits >> 50 & 31 == 0 else { break }
                    twins[index].change(Int(bits >> 56 & 1), format, isReadOnly: bits >> 60 & 1 == 0, at: now)
                    media[Int(bits >> 56 & 1)] = .init(format, isReadOnly: false)
                    pending[index] = nil
                    twins[index].requestAgain()
                default: if bits >> 50 & 63 == 0 { twins[index].reset(isCold: bits & 128 != 0) }
                }
                answer.append(twins[index].interruptAsserted ? 1 : 0)
                answers.append(answer)
            }
            if answers[0] != answers[1] || twins[0].nextEvent != twins[1].nextEvent { differences += 1 }
            if step % 64 == 0 {
                // As a quiet machine is saved: nothing is under way.
                for index in twins.indices {
                    twins[index].requestAgain()
                    twins[index].setChannelReady(false)
                }
                pending = [nil, nil]
                if twins[0].takeMovement() == nil {
                    let taken = twins[1].restore(twins[0].state)
                    #expect(taken && twins[1].state == twins[0].state, "step \(step): a state of its own")
                }
            }
            guard differences == 0 else { break }
        }
        #expect(differences == 0)
        #expect(finished > 100)
    }

    @Test func statesThatCannotBeAreRefused() {
        var chip = FDC82077(.at, drives: [.init(FloppyFormat(sectorCount: 2880), isReadOnly: false)])
        for (index, damage)
            in ([
                { $0.units = [] }, { $0.buffer = [] }, { $0.specified = [1] }, { $0.tape = 4 },
                { $0.perpendicular = 64 },
                { $0.transfer.position = 513 }, { $0.transfer.head = 2 }, { $0.phase = .result }, { $0.bytes = [0x00] },
                { $0.bytes = [0x08] }, { ($0.phase, $0.bytes) = (.execution, [0x07, 0]) },
                { ($0.phase, $0.bytes) = (.execution, [0x46, 0]) },
                { ($0.phase, $0.bytes, $0.transfer.step) = (.execution, [0x4A, 0], .medium) },
                { ($0.phase, $0.bytes, $0.transfer.step) = (.execution, [0x56, 0, 0, 0, 1, 2, 18, 0, 0], .host) },
                {
                    ($0.phase, $0.bytes) = (.execution, [0x4D, 0, 2, 18, 0x54, 0xF6])
                    ($0.transfer.step, $0.transfer.position) = (.host, 4)
                },
                { ($0.phase, $0.bytes) = (.result, [UInt8](repeating: 0, count: 11)) },
                { ($0.phase, $0.bytes, $0.position) = (.result, [1], 1) },
            ] as [(inout FDC82077.State) -> Void]).enumerated()
        {
            var bad = chip.state
            damage(&bad)
            let taken = chip.restore(bad)
            #expect(!taken, "damage \(index)")
        }
    }

    /// What passes is driven on: nothing that a state can say may trap later.
    @Test(arguments: 0..<UInt64(4)) func acceptedStatesRunOn(seed: UInt64) {
        var dice = SplitMix64(seed: seed &+ 100)
        func byte() -> UInt8 { UInt8(truncatingIfNeeded: dice.next()) }
        var accepted = 0
        for _ in 0..<4000 {
            var chip = FDC82077(
                .at, drives: [.init(FloppyFormat(sectorCount: Self.sizes[Int(byte() & 7)]), isReadOnly: false)])
            var state = FDC82077.State()
            state.output = .init(rawValue: 0x3C)
            state.specified = [byte(), byte()]
            state.configuration = .init(rawValue: byte())
            let code = Self.codes[Int(dice.next() % UInt64(Self.codes.count))]
            state.bytes = [code] + (0..<Int(dice.next() % 9)).map { _ in byte() & 31 }
            state.phase = FDC82077.Phase(rawValue: byte() % 3) ?? .command
            state.position = byte() & 7
            state.transfer.step = FDC82077.Transfer.Step(rawValue: byte() % 3) ?? .searching
            state.transfer.deadline = dice.next() >> (dice.next() & 63)
            (state.transfer.c, state.transfer.h, state.transfer.r, state.transfer.n) = (
                byte() & 3, byte() & 1, byte(), 2
            )
            (state.transfer.head, state.transfer.done) = (byte() & 1, UInt16(truncatingIfNeeded: dice.next()))
            state.transfer.position = UInt16(dice.next() % 514)
            for unit in 0..<4 { (state.units[unit].cylinder, state.units[unit].seekEnd) = (byte(), dice.next() >> 40) }
            guard chip.restore(state) else { continue }
            accepted += 1
            for _ in 0..<60 {
                let now = chip.nextEvent ?? 0
                chip.advance(to: now)
                chip.setChannelReady(true)
                if let movement = chip.takeMovement() { chip.moved(movement.count, data: [1, 2, 3], at: now) }
                if let request = chip.takeRequest() {
                    chip.complete(request.tag, .success, data: [UInt8](repeating: 7, count: 512), at: now)
                }
                if byte() & 1 == 0 { chip.write(5, byte(), at: now) } else { _ = chip.read(5, at: now) }
            }
        }
        #expect(accepted > 200)
    }
}
