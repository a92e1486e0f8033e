import BoardSurvey
import PluginKit
import Testing

@testable import MPTable

/// Against Intel's MultiProcessor Specification 1.4, chapter 4.
@Suite struct MPTableTests {
    /// A local APIC, an I/O APIC, lines, a PCI bus with devices 1 and 3, whose pins lead to inputs 16 to 19.
    private func board(firstInput: UInt32 = 16, hasIOAPIC: Bool = true) -> Board {
        typealias Wire = Survey.Wire
        let instances = ["apic", "ioapic", "gsi", "pci", "card", "nic", "pm", "pic"].map {
            Survey.Instance(id: $0, plugin: $0)
        }
        var nodes = [
            Survey.Node(instance: 0, hid: nil, role: .localAPIC),
            Survey.Node(instance: 2, hid: nil, role: .lines, flags: .numbersLines),
            Survey.Node(instance: 3, hid: "PNP0A03", role: .hostBridge, slots: ["pirq", "apic-pirq"]),
            Survey.Node(instance: 6, hid: nil, role: .power), Survey.Node(instance: 7, hid: "PNP0000"),
        ]
        if hasIOAPIC { nodes.append(Survey.Node(instance: 1, hid: nil, role: .ioAPIC)) }
        let lines = (0..<4).map {
            Wire(
                instance: 3, slot: "apic-pirq", interface: "irq-line/1", position: $0, target: 2,
                index: firstInput + UInt32($0))
        }
        return Board(
            Survey(
                instances: instances,
                claims: [
                    .init(instance: 0, space: BP_SPACE_MEMORY, base: 0xFEE0_0000, length: 4096, name: "registers"),
                    .init(instance: 1, space: BP_SPACE_MEMORY, base: 0xFEC0_0000, length: 32, name: "registers"),
                    .init(instance: 7, space: BP_SPACE_PORT, base: 0x20, length: 2, name: "master"),
                ],
                wires: lines + [
                    Wire(instance: 4, slot: "bus", interface: "pci/1", position: 0, target: 3, index: 1 << 3),
                    Wire(instance: 5, slot: "bus", interface: "pci/1", position: 0, target: 3, index: 3 << 3),
                    Wire(instance: 6, slot: "irq", interface: "irq-line/1", position: 0, target: 2, index: 9),
                ], nodes: nodes), [])
    }

    private func entries(_ table: [UInt8]) -> [[UInt8]] {
        var entries: [[UInt8]] = []
        var rest = table.dropFirst(44)
        while let kind = rest.first {
            let length = kind == 0 ? 20 : 8
            entries.append(Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return entries
    }

    @Test func theHeaderCountsItsEntriesAndSumsToZero() throws {
        let table = try #require(MPTable(board())).table
        #expect(table.starts(with: Array("PCMP".utf8)))
        #expect(Int(table[4]) | Int(table[5]) << 8 == table.count)
        #expect(table.reduce(0, &+) == 0 as UInt8)
        #expect(Int(table[34]) == entries(table).count)
        #expect(table[36..<40] == [0x00, 0x00, 0xE0, 0xFE])
        #expect(entries(table).first?.prefix(4) == [0, 0, 0x14, 3])
        #expect(entries(table).contains([2, 0, 0x11, 1, 0x00, 0x00, 0xC0, 0xFE]))
    }

    /// 4.3.4: type 3, kind INT, flags, source bus and line, I/O APIC and input. Device 3's INTA# is PIRQ C.
    @Test func pinsOfPCIAreAtTheInputsThatTheyAreWiredTo() throws {
        let table = try #require(MPTable(board())).table
        let pci = entries(table).filter { $0[0] == 3 && $0[4] == 0 }
        #expect(pci.count == 8)
        #expect(pci.contains([3, 0, 0x0D, 0, 0, 1 << 2, 0, 16]))
        #expect(pci.contains([3, 0, 0x0D, 0, 0, 3 << 2, 0, 18]))
        #expect(pci.contains([3, 0, 0x0D, 0, 0, 3 << 2 | 2, 0, 16]))
    }

    @Test func theTimerIsAtInput2AndTheSCIIsALevel() throws {
        let table = try #require(MPTable(board())).table
        let isa = entries(table).filter { $0[0] == 3 && $0[4] == 1 }
        #expect(isa.count == 15)
        #expect(isa.first == [3, 0, 0, 0, 1, 0, 0, 2])
        #expect(isa.contains([3, 0, 0x0D, 0, 1, 9, 0, 9]))
        #expect(
            entries(table).suffix(2).map { Array($0) } == [[4, 3, 0, 0, 1, 0, 0xFF, 0], [4, 1, 0, 0, 1, 0, 0xFF, 1]])
    }

    @Test func anInputThatNoTableCanNameIsLeftOut() throws {
        let table = try #require(MPTable(board(firstInput: 254))).table
        #expect(entries(table).filter { $0[0] == 3 && $0[4] == 0 }.allSatisfy { $0[7] >= 254 })
    }

    @Test func withoutAnIOAPICThereIsNone() { #expect(MPTable(board(hasIOAPIC: false)) == nil) }

    @Test func thePointerSumsToZero() {
        #expect(MPTable.pointer(tableAt: 0x000F_1230).reduce(0, &+) == 0 as UInt8)
        #expect(MPTable.pointer(tableAt: 0x000F_1230)[4..<8] == [0x30, 0x12, 0x0F, 0x00])
    }
}
