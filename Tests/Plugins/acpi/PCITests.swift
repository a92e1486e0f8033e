import BoardSurvey
import PluginKit
import Testing

@testable import ACPINameSpace

/// Where the pins of functions lead, on the root bus and behind bridges.
@Suite struct PCIRoutingTests {
    private var sketch: BoardSketch {
        var sketch = BoardSketch.pc
        let card = sketch.add("card")
        sketch.place(card, on: 3, 3)
        let bridge = sketch.add("bridge")
        sketch.place(bridge, on: 3, 5)
        let behind = sketch.add("behind")
        sketch.place(behind, on: bridge, 2)
        return sketch
    }

    /// Device d's pin p (0...3) goes to (d - 1 + p) & 3 at the root; behind a bridge to the bridge's pin (d + p) & 3.
    @Test func pinsBehindABridgeAreThoseOfTheBridge() {
        let tree = sketch.board.pci
        #expect(tree.routes(of: 3).filter { $0.device == 3 }.map(\.line) == [2, 3, 0, 1])
        #expect(tree.routes(of: 7).map(\.line) == [2, 3, 0, 1])
        #expect(tree.routes(of: 7).map(\.device) == [2, 2, 2, 2])
        #expect(tree.bridges(on: 3).map(\.instance) == [7])
    }

    @Test func aBridgesBusIsADeviceWithARoutingTableOfItsOwn() throws {
        let bytes = try #require(sketch.board.acpi).tables.bytes
        #expect(bytes.contains(Array("BRID".utf8)))
        #expect(bytes.matches(of: Array("_PRT".utf8)) == 2)
    }

    @Test func withAnIOAPICsOwnInputsTheTableDependsOnTheInterruptModel() throws {
        var sketch = sketch
        for position in 0..<4 { sketch.line(3, "apic-pirq", position, to: 0, 16 + UInt32(position)) }
        let bytes = try #require(sketch.board.acpi).tables.bytes
        // Package (4) { 0x0003FFFF, Zero, Zero, 18 }
        #expect(bytes.contains([0x12, 0x0B, 4, 0x0C, 0xFF, 0xFF, 3, 0, 0, 0, 0x0A, 18]))
        #expect(bytes.matches(of: Array("PICF".utf8)) == 4)
    }

    @Test func busesInACircleAreLeftOut() {
        var sketch = BoardSketch.pc
        let (one, two) = (sketch.add("one"), sketch.add("two"))
        sketch.place(one, on: two, 1)
        sketch.place(two, on: one, 1)
        #expect(sketch.board.pci.routes(of: one).isEmpty)
        #expect(sketch.board.acpi != nil)
    }
}

extension [UInt8] {
    fileprivate func matches(of other: [UInt8]) -> Int {
        indices.dropLast(other.count - 1).count { Array(self[$0..<$0 + other.count]) == other }
    }
}
