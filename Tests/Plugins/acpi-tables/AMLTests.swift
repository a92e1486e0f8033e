import ACPITables
import Testing

/// ACPI 6.5, chapter 20 (AML) and 6.4 (resources), with bytes worked out by hand from them.
@Suite struct AMLTests {
    @Test func integersTakeTheShortestForm() {
        #expect(AML.integer(0).bytes == [0x00])
        #expect(AML.integer(1).bytes == [0x01])
        #expect(AML.integer(2).bytes == [0x0A, 2])
        #expect(AML.integer(0xFF).bytes == [0x0A, 0xFF])
        #expect(AML.integer(0x100).bytes == [0x0B, 0x00, 0x01])
        #expect(AML.integer(0x1_0000).bytes == [0x0C, 0, 0, 1, 0])
        #expect(AML.integer(0x1_0000_0000).bytes == [0x0E, 0, 0, 0, 0, 1, 0, 0, 0])
    }

    @Test func pathsHaveRootParentsAndSegments() {
        #expect(AML.path("\\_SB.PCI0").bytes == [0x5C, 0x2E] + Array("_SB_PCI0".utf8))
        #expect(AML.path("^^A.B.C").bytes == [0x5E, 0x5E, 0x2F, 3] + Array("A___B___C___".utf8))
        #expect(AML.path("\\").bytes == [0x5C, 0x00])
        #expect(AML.path("lnka").bytes == Array("LNKA".utf8))
        #expect(AML.path("0é-zzzz").bytes == Array("____".utf8), "what is no name is made one")
    }

    @Test func packageLengthsGrowByTheirOwnBytes() {
        for (count, head): (Int, [UInt8]) in [
            (0, [0x10, 5 + 0]), (58, [0x10, 0x3F]), (59, [0x10, 0x41, 0x04]), (4089, [0x10, 0x4F, 0xFF]),
            (4090, [0x10, 0x81, 0x00, 0x01]), (1_048_568, [0x10, 0x8F, 0xFF, 0xFF]),
            (1_048_569, [0x10, 0xC1, 0x00, 0x00, 0x01]),
        ] {
            let bytes = AML.scope("ABCD", [AML](repeating: .integer(0), count: count)).bytes
            #expect(Array(bytes.prefix(head.count)) == head, "\(count)")
            #expect(bytes.count == head.count + 4 + count)
        }
    }

    @Test func hardwareIDsAreCompressed() {
        #expect(AML.hardwareID("PNP0A03").bytes == [0x0C, 0x41, 0xD0, 0x0A, 0x03])
        #expect(AML.hardwareID("PNP0303").bytes == [0x0C, 0x41, 0xD0, 0x03, 0x03])
        #expect(AML.hardwareID("LNRO0005").bytes == [0x0D] + Array("LNRO0005".utf8) + [0])
        #expect(AML.hardwareID("pnp0303").bytes.first == 0x0D)
        #expect(AML.hardwareID("PNP+303").bytes.first == 0x0D, "no hexadecimal number")
    }

    @Test func resourcesAreTheSpecificationsDescriptors() {
        func bytes(_ resource: Resource) -> [UInt8] {
            // Buffer, PkgLength, length, then the descriptor and the end tag.
            Array(AML.resources([resource]).bytes.dropFirst(4).dropLast(2))
        }
        let level = Resource.Trigger(isEdge: false, isActiveLow: true, isShared: true)
        #expect(bytes(.irq(mask: 1 << 4, .edge)) == [0x22, 0x10, 0x00])
        #expect(bytes(.irq(mask: 1 << 9, level)) == [0x23, 0x00, 0x02, 0x18])
        #expect(bytes(.dma(mask: 4)) == [0x2A, 4, 0])
        #expect(bytes(.io(port: 0x3F8, count: 8)) == [0x47, 1, 0xF8, 0x03, 0xF8, 0x03, 1, 8])
        #expect(
            bytes(.fixedMemory(address: 0xFED0_0000, length: 0x400, isWritable: true))
                == [0x86, 9, 0, 1, 0, 0, 0xD0, 0xFE, 0, 4, 0, 0])
        #expect(bytes(.interrupts([5, 10], level)) == [0x89, 10, 0, 0x0D, 2, 5, 0, 0, 0, 10, 0, 0, 0])
        #expect(
            bytes(.buses(.init(0, through: 255)))
                == [0x88, 13, 0, 2, 0x0C, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 1])
        #expect(
            bytes(.doubleWordIO(.init(0xD00, through: 0xFFFF)))
                == [0x87, 23, 0, 1, 0x0C, 3, 0, 0, 0, 0, 0, 0x0D, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0xF3, 0, 0])
        let memory = bytes(
            .quadWordMemory(.init(0x8_0000_0000, through: 0xF_FFFF_FFFF), isCacheable: true, isWritable: true))
        #expect(memory.count == 46)
        #expect(Array(memory.prefix(6)) == [0x8A, 43, 0, 0, 0x0C, 3])
        #expect(Array(memory.suffix(8)) == [0, 0, 0, 0, 8, 0, 0, 0])
        #expect(
            bytes(.doubleWordMemory(.init(2, through: 1), isCacheable: false, isWritable: true)).suffix(4) == [
                0, 0, 0, 0,
            ])
    }

    @Test func expressionsAreTheirOpcodes() {
        #expect(AML.store(.local(0), .argument(1)).bytes == [0x70, 0x60, 0x69])
        #expect(AML.and(.local(1), .integer(0x80)).bytes == [0x7B, 0x61, 0x0A, 0x80, 0x00])
        #expect(AML.equal(.integer(0), .integer(1)).bytes == [0x93, 0, 1])
        #expect(
            AML.if(.local(0), [.return(.integer(1))], else: [.return(.integer(0))]).bytes
                == [0xA0, 4, 0x60, 0xA4, 0x01, 0xA1, 3, 0xA4, 0x00])
        #expect(AML.method("_PIC", arguments: 1, []).bytes == [0x14, 6] + Array("_PIC".utf8) + [1])
        #expect(
            AML.operationRegion("PIRR", .configuration, offset: 0x60, length: 4).bytes
                == [0x5B, 0x80] + Array("PIRR".utf8) + [2, 0x0A, 0x60, 0x0A, 4])
        #expect(
            AML.field("PIRR", access: .byte, [.gap(bits: 64), .field("PIRA", bits: 8)]).bytes
                == [0x5B, 0x81, 14, 0x50, 0x49, 0x52, 0x52, 1, 0, 0x40, 4] + Array("PIRA".utf8) + [8])
        #expect(AML.package([.integer(0), .integer(1)]).bytes == [0x12, 4, 2, 0, 1])
        #expect(AML.package([AML](repeating: .integer(0), count: 256)).bytes.first == 0x13)
    }
}
