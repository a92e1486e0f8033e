import Testing
import Virtio
import VirtioInput

/// Virtio 1.2, 5.8.4 and 5.8.5, as a driver reads it.
@Suite struct ConfigurationTests {
    /// `u`, as long as `size` says.
    private func answer(_ kind: VirtioInput.Kind, _ select: UInt8, _ subselect: UInt8 = 0) -> [UInt8] {
        var input = VirtioInput(kind, serial: "tablet")
        input.writeConfig(0, width: 1, UInt32(select))
        input.writeConfig(1, width: 1, UInt32(subselect))
        return (0..<input.readConfig(2, width: 1)).map { UInt8(input.readConfig(8 + $0, width: 1)) }
    }

    private func codes(_ bitmap: [UInt8]) -> [Int] {
        (0..<bitmap.count * 8).filter { bitmap[$0 / 8] >> UInt8($0 % 8) & 1 != 0 }
    }

    @Test func identityIsThatOfAnInputDevice() {
        let identity = VirtioInput.identity
        #expect(identity.type == 18 && identity.queues == 2 && identity.configSize == 136)
    }

    @Test func namesAndIdentifiers() {
        #expect(answer(.tablet, 1) == Array("Backplane virtio tablet".utf8))
        #expect(answer(.tablet, 2) == Array("tablet".utf8))
        for (kind, product) in [(.keyboard, 1), (.mouse, 2), (.tablet, 3)] as [(VirtioInput.Kind, UInt8)] {
            #expect(answer(kind, 3) == [6, 0, 0x27, 6, product, 0, 1, 0])
            #expect(answer(kind, 0x10) == [], "no properties")
        }
    }

    @Test func serialNumberIsCutOffWhereItsRoomEnds() {
        var input = VirtioInput(.mouse, serial: String(repeating: "x", count: 200))
        input.choose(2, 0)
        #expect(input.readConfig(2, width: 1) == 128)
        #expect(input.readConfig(132, width: 4) == 0x7878_7878)
    }

    /// By type of events: 1 keys, 2 relative, 3 absolute, 0x11 lamps, 0x14 repetition.
    @Test func bitsSayWhatEachKindSends() {
        let expected: [VirtioInput.Kind: [UInt8: [Int]]] = [
            .tablet: [1: [0x110, 0x111, 0x112], 2: [8], 3: [0, 1]],
            .keyboard: [1: Array(1...248), 0x11: [0, 1, 2], 0x14: [0, 1]],
            .mouse: [1: [0x110, 0x111, 0x112], 2: [0, 1, 8]],
        ]
        for (kind, types) in expected {
            for type in 0...255 as ClosedRange<UInt8> {
                #expect(codes(answer(kind, 0x11, type)) == types[type] ?? [], "\(kind), type \(type)")
            }
        }
    }

    @Test func whatIsSentIsWhatTheBitsSay() {
        for kind in VirtioInput.Kind.allCases {
            let input = VirtioInput(kind, serial: "")
            for type in 1...3 as ClosedRange<UInt8> {
                let known = Set(codes(answer(kind, 0x11, type)))
                #expect((0..<1024).allSatisfy { input.sends(UInt16(type), UInt16($0)) == known.contains($0) })
            }
            #expect(!input.sends(0, 0) && !input.sends(0x11, 0) && !input.sends(.max, .max))
        }
    }

    @Test func axesOfATabletGoTo32767() {
        for axis in 0...1 as ClosedRange<UInt8> {
            #expect(answer(.tablet, 0x12, axis) == [0, 0, 0, 0, 0xFF, 0x7F, 0, 0] + [UInt8](repeating: 0, count: 12))
        }
        #expect(answer(.tablet, 0x12, 2) == [] && answer(.mouse, 0x12) == [] && answer(.keyboard, 0x12) == [])
    }

    /// 5.8.5.2: size 0 where there is nothing; what is read is always there.
    @Test func everySelectionHasAnAnswerThatFits() {
        let known: Set<UInt8> = [1, 2, 3, 0x10, 0x11, 0x12]
        for kind in VirtioInput.Kind.allCases {
            for select in 0...255 as ClosedRange<UInt8> {
                for subselect in [0, 1, 2, 3, 0x7F, 0x80, 0xFF] as [UInt8] {
                    let size = answer(kind, select, subselect).count
                    #expect(size <= 128 && (known.contains(select) || size == 0))
                }
            }
        }
    }

    @Test func onlyTheSelectionCanBeWritten() {
        var input = VirtioInput(.tablet, serial: "")
        input.writeConfig(0, width: 4, 0xFFFF_0012)
        #expect(input.readConfig(0, width: 4) == 0x0014_0012, "both at once, and nothing else")
        input.writeConfig(2, width: 2, 0xFFFF)
        input.writeConfig(12, width: 4, 0)
        input.writeConfig(0xFFFF_FFFF, width: 4, 0)
        #expect(input.readConfig(0, width: 4) == 0x0014_0012 && input.readConfig(12, width: 4) == 32767)
        #expect(input.readConfig(3, width: 4) == 0 && input.readConfig(0xFFFF_FFFC, width: 4) == 0)
    }

    @Test func lampsFollowTheDriver() {
        let keyboard = VirtioInput(.keyboard, serial: "")
        func event(_ type: UInt16, _ code: UInt16, _ value: Int32) -> InputWord {
            InputWord(type: type, code: code, value: value)
        }
        #expect(keyboard.lamps(0, after: event(0x11, 1, 1)) == 2)
        #expect(keyboard.lamps(7, after: event(0x11, 0, 0)) == 6)
        for odd in [event(0x11, 3, 1), event(0x11, .max, 1), event(0x14, 0, 250), event(0, 0, 0)] {
            #expect(keyboard.lamps(5, after: odd) == 5)
        }
        #expect(VirtioInput(.tablet, serial: "").lamps(0, after: event(0x11, 1, 1)) == 0)
    }

    @Test func eventsLieInBuffersLittleEndian() {
        let event = InputWord(type: 0x0102, code: 0x0304, value: -2)
        #expect(event.bytes == [2, 1, 4, 3, 0xFE, 0xFF, 0xFF, 0xFF])
        #expect(InputWord(bytes: event.bytes) == event)
        #expect(InputWord(bytes: event.bytes.dropLast()) == nil && InputWord(bytes: []) == nil)
    }
}
