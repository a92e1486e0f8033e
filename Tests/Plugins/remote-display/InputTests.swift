import PluginKit
import Testing

@testable import RemoteDisplay

@Suite struct OperatorInputTests {
    /// Of input-event-codes.h.
    private enum Code {
        static let a: UInt32 = 30, shift: UInt32 = 42, left: UInt32 = 0x110, right: UInt32 = 0x111
        static let middle: UInt32 = 0x112
    }

    private func all(_ input: inout OperatorInput) -> [[InputEvent]] {
        var packets: [[InputEvent]] = []
        while let packet = input.next() { packets.append(packet.events) }
        return packets
    }

    private func relative(_ code: UInt32, _ value: Int64) -> InputEvent {
        InputEvent(type: 2, code: code, value: value)
    }
    private func absolute(_ code: UInt32, _ value: Int64) -> InputEvent {
        InputEvent(type: 3, code: code, value: value)
    }

    @Test func whoGoesLetsEverythingGo() {
        var input = OperatorInput()
        input.pointerKinds = [.buttons, .relative]
        var hand = OperatorInput.Hand()
        input.press(1, [Code.shift, Code.a], by: &hand)
        input.point(0b101, x: 0, y: 0, size: (10, 10), by: &hand)
        _ = all(&input)
        input.releaseAll(by: &hand)
        #expect(
            all(&input) == [
                [.key(Code.a, down: false), .key(Code.shift, down: false)],
                [.key(Code.left, down: false), .key(Code.right, down: false)],
            ])
        input.releaseAll(by: &hand)
        #expect(input.isEmpty)
    }

    @Test func aKeyIsDownUntilTheLastLetsItGo() {
        var input = OperatorInput()
        var (one, other) = (OperatorInput.Hand(), OperatorInput.Hand())
        input.press(1, [Code.a], by: &one)
        input.press(1, [Code.a], by: &one)
        input.press(7, [Code.a], by: &other)
        input.release(1, by: &one)
        input.release(1, by: &one)
        #expect(all(&input) == [[.key(Code.a, down: true)]])
        input.release(7, by: &other)
        #expect(all(&input) == [[.key(Code.a, down: false)]])
    }

    @Test func whereTooMuchWaitsPressesAreDroppedAndReleasesNever() {
        var input = OperatorInput()
        input.pointerKinds = [.buttons, .absolute]
        var hand = OperatorInput.Hand()
        input.press(0, [Code.a], by: &hand)
        for _ in 0..<10_000 {
            input.press(1, [Code.shift], by: &hand)
            input.release(1, by: &hand)
            input.point(1, x: 1, y: 1, size: (10, 10), by: &hand)
            input.point(0, x: 2, y: 2, size: (10, 10), by: &hand)
        }
        input.release(0, by: &hand)
        let events = all(&input)
        #expect(events.count < 5000)
        for code in [Code.a, Code.shift, Code.left] {
            let changes = events.joined().filter { $0.type == 1 && $0.code == code }.map(\.value)
            #expect(changes == changes.indices.map { $0 % 2 == 0 ? 1 : 0 } && changes.last == 0, "\(code)")
        }
    }

    @Test func aTabletIsToldWhereInThePicture() {
        var input = OperatorInput()
        input.pointerKinds = [.buttons, .absolute]
        var hand = OperatorInput.Hand()
        input.point(0, x: 0, y: 479, size: (640, 480), by: &hand)
        #expect(all(&input) == [[absolute(0, 0), absolute(1, 32767)]])
        input.point(2, x: 65535, y: 0, size: (640, 480), by: &hand)
        #expect(all(&input) == [[absolute(0, 32767), absolute(1, 0), .key(Code.middle, down: true)]])
        // Those that wait are one.
        for x in 0..<100 { input.point(2, x: x, y: 0, size: (101, 1), by: &hand) }
        #expect(all(&input) == [[absolute(0, 99 * 32767 / 100), absolute(1, 0)]])
    }

    @Test func aMouseIsToldHowFar() {
        var input = OperatorInput()
        input.pointerKinds = [.buttons, .relative]
        var hand = OperatorInput.Hand()
        input.point(0, x: 100, y: 100, size: (640, 480), by: &hand)
        #expect(input.isEmpty, "nobody knows where it was before")
        for step in 1...10 { input.point(0, x: 100 + step, y: 100 - 2 * step, size: (640, 480), by: &hand) }
        #expect(all(&input) == [[relative(0, 10), relative(1, -20)]])
        input.point(0b1000, x: 110, y: 80, size: (640, 480), by: &hand)
        input.point(0b10000, x: 110, y: 80, size: (640, 480), by: &hand)
        #expect(all(&input) == [[relative(8, 1)], [relative(8, -1)]])
    }

    @Test func withoutAPointerNothingWaits() {
        var input = OperatorInput()
        var hand = OperatorInput.Hand()
        input.point(7, x: 1, y: 1, size: (640, 480), by: &hand)
        #expect(input.isEmpty)
    }
}
