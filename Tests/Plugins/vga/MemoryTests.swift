import Testing
@testable import VGA

/// The processor's way to memory against FreeVGA and IBM's reference.
@Suite struct MemoryTests {
    @Test func windowFollowsTheMap() {
        var b = Bench.planar()
        for (map, first, last) in [
            (0, 0xA0000, 0xBFFFF), (1, 0xA0000, 0xAFFFF), (2, 0xB0000, 0xB7FFF), (3, 0xB8000, 0xBFFFF),
        ]
            as [(UInt8, UInt32, UInt32)]
        {
            b.set(0x3CE, 6, map << 2)
            #expect(b.chip.window == first - 0xA0000..<last + 1 - 0xA0000)
        }
        #expect(b.peek(0xB7FFF) == 0xFF)
        b.out(0x3C2, 0xE1)
        #expect(b.chip.window == nil && b.peek(0xB8000) == 0xFF)
    }

    @Test func mapMaskChoosesPlanes() {
        var b = Bench.planar()
        b.set(0x3C4, 2, 0b0101)
        b.poke(0xA1234, 0xA5)
        #expect((0..<4).map { b.plane($0, 0x1234) } == [0xA5, 0, 0xA5, 0])
        for plane in UInt8(0)..<4 {
            b.set(0x3CE, 4, plane)
            #expect(b.peek(0xA1234) == (plane % 2 == 0 ? 0xA5 : 0))
        }
    }

    @Test func oddEvenSplitsCharactersAndAttributes() {
        var b = Bench.text()
        b.poke(0xB8000, 0x41)
        b.poke(0xB8001, 0x1F)
        b.poke(0xB8002, 0x42)
        #expect(b.plane(0, 0) == 0x41 && b.plane(1, 0) == 0x1F && b.plane(0, 2) == 0x42)
        #expect(b.plane(2, 0) == 0 && b.plane(3, 0) == 0)
        #expect(b.peek(0xB8000) == 0x41 && b.peek(0xB8001) == 0x1F && b.peek(0xB8002) == 0x42)
    }

    @Test func chain4IsLinear() {
        var b = Bench.planar()
        b.set(0x3C4, 4, 0x0E)
        for i in UInt32(0)..<8 { b.poke(0xA0000 + i, UInt8(i) + 1) }
        b.poke(0xAFFFF, 0x99)
        #expect(Array(b.memory[0..<8]) == [1, 2, 3, 4, 5, 6, 7, 8] && b.memory[0xFFFF] == 0x99)
        #expect((0..<8).map { b.peek(0xA0000 + $0) } == [1, 2, 3, 4, 5, 6, 7, 8])
        b.set(0x3C4, 2, 0x01)
        b.poke(0xA0001, 0xEE)
        #expect(b.memory[1] == 2, "the map mask counts here too")
    }

    // MARK: Write modes. Latches are filled by a read of the byte before.

    /// Planes 0...3 at offset 0 hold 0x0F, 0x33, 0x55, 0xFF, and the latches too.
    private func latched() -> Bench {
        var b = Bench.planar()
        for (plane, value) in ([0x0F, 0x33, 0x55, 0xFF] as [UInt8]).enumerated() { b.memory[plane] = value }
        _ = b.peek(0xA0000)
        return b
    }

    private func planes(_ b: Bench, _ offset: Int = 1) -> [UInt8] { (0..<4).map { b.plane($0, offset) } }

    @Test(
        arguments: [
            (0, [0xC3, 0xC3, 0xC3, 0xC3]), (1, [0x03, 0x03, 0x41, 0xC3]), (2, [0xCF, 0xF3, 0xD7, 0xFF]),
            (3, [0xCC, 0xF0, 0x96, 0x3C]),
        ] as [(UInt8, [UInt8])])
    func functionsCombineWithTheLatches(function: UInt8, expected: [UInt8]) {
        var b = latched()
        b.set(0x3CE, 3, function << 3)
        b.poke(0xA0001, 0xC3)
        #expect(planes(b) == expected)
    }

    @Test func rotationIsToTheRight() {
        var b = latched()
        for (count, expected) in [(0, 0x81), (1, 0xC0), (4, 0x18), (7, 0x03)] as [(UInt8, UInt8)] {
            b.set(0x3CE, 3, count)
            b.poke(0xA0001, 0x81)
            #expect(b.plane(0, 1) == expected)
        }
    }

    @Test func bitMaskKeepsTheLatches() {
        var b = latched()
        b.set(0x3CE, 8, 0xF0)
        b.poke(0xA0001, 0x5A)
        #expect(planes(b) == [0x5F, 0x53, 0x55, 0x5F])
    }

    @Test func setResetReplacesEnabledPlanes() {
        var b = latched()
        b.set(0x3CE, 0, 0b0101)
        b.set(0x3CE, 1, 0b0011)
        b.poke(0xA0001, 0x42)
        #expect(planes(b) == [0xFF, 0x00, 0x42, 0x42])
    }

    @Test func mode1CopiesTheLatches() {
        var b = latched()
        b.set(0x3CE, 5, 0x01)
        b.set(0x3CE, 8, 0x00)
        b.poke(0xA0001, 0x42)
        #expect(planes(b) == [0x0F, 0x33, 0x55, 0xFF])
    }

    @Test func mode2WritesAColour() {
        var b = latched()
        b.set(0x3CE, 5, 0x02)
        b.set(0x3CE, 8, 0x0F)
        b.poke(0xA0001, 0b0110)
        #expect(planes(b) == [0x00, 0x3F, 0x5F, 0xF0])
    }

    @Test func mode3UsesTheDataAsMask() {
        var b = latched()
        b.set(0x3CE, 5, 0x03)
        b.set(0x3CE, 0, 0b0011)
        b.set(0x3CE, 3, 0x04)
        b.set(0x3CE, 8, 0x3F)
        b.poke(0xA0001, 0xF1)  // rotated by 4: 0x1F; with the bit mask 0x1F
        #expect(planes(b) == [0x1F, 0x3F, 0x40, 0xE0])
    }

    @Test func readMode1ComparesColours() {
        var b = latched()
        b.set(0x3CE, 5, 0x08)
        b.set(0x3CE, 2, 0b1011)
        b.set(0x3CE, 7, 0b1111)
        #expect(b.peek(0xA0000) == 0x0F & 0x33 & ~0x55)
        b.set(0x3CE, 7, 0b0001)
        #expect(b.peek(0xA0000) == 0x0F)
        b.set(0x3CE, 7, 0b0000)
        #expect(b.peek(0xA0000) == 0xFF, "no plane is looked at")
    }

    @Test func peekingLeavesTheLatches() {
        let b = latched()
        let latches = b.chip.state.latches
        #expect(latches == 0xFF55_330F)
        #expect(b.chip.peekMemory(4, from: b.memory.span) == 0 && b.chip.state.latches == latches)
    }

    @Test func smallMemoriesAreNotTouched() {
        var b = Bench.planar()
        var small = [UInt8](repeating: 7, count: 100)
        var span = small.mutableSpan
        #expect(b.chip.writeMemory(0, 1, to: &span) == nil)
        #expect(b.chip.readMemory(0, from: small.span) == 0xFF)
        #expect(b.chip.textRow(0, of: small.span).isEmpty && b.chip.glyphLine(65, line: 0, of: small.span) == 0)
    }
}
