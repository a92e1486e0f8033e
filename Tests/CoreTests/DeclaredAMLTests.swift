import Testing

@testable import Core

/// AML of firmware nodes, written by hand after ACPI 6.5, 20.2.
struct DeclaredAMLTests {
    private func read(_ bytes: [UInt8]) throws -> DeclaredAML {
        try bytes.withUnsafeBufferPointer { try DeclaredAML($0) }
    }

    private func reason(_ bytes: [UInt8]) -> String? {
        do {
            _ = try read(bytes)
            return nil
        } catch { return String(describing: error) }
    }

    private static func name(_ name: String) -> [UInt8] { [0x08] + Array(name.utf8) + [0x00] }

    /// With PkgLength's form of two bytes (20.2.4).
    private static func framed(_ code: [UInt8], _ contents: [UInt8]) -> [UInt8] {
        let length = contents.count + 2
        return code + [0x40 | UInt8(length & 15), UInt8(length >> 4)] + contents
    }
    private static func device(_ name: String, _ terms: [UInt8]) -> [UInt8] {
        framed([0x5B, 0x82], Array(name.utf8) + terms)
    }

    /// An operation region of ports with a field of two units and a gap; a device with a method; names of all kinds of data.
    private static let whole: [UInt8] = {
        let region: [UInt8] = [0x5B, 0x80] + Array("REGS".utf8) + [1, 0x0B, 0x00, 0x03, 0x0A, 4]
        let units: [UInt8] = [0x00, 8] + Array("ONE_".utf8) + [8] + Array("TWO_".utf8) + [0x44, 0x01]
        let package: [UInt8] = [3, 0xFF, 0x0D] + Array("text".utf8) + [0, 0x5C, 0x2E] + Array("_SB_PCI0".utf8)
        let buffer: [UInt8] = [0x08] + Array("BUFF".utf8) + framed([0x11], [0x0A, 2, 1, 2])
        let fields: [UInt8] = [0x8A] + Array("BUFF".utf8) + [0x00] + Array("PART".utf8)
        let method = framed([0x14], Array("_DIS".utf8) + [0x00, 0x70, 0x01, 0x60, 0xFE])
        let power = framed([0x5B, 0x84], Array("POWR".utf8) + [0, 1, 0] + name("_STA"))
        let mutex: [UInt8] = [0x5B, 0x01] + Array("MUTX".utf8) + [0]
        return region + framed([0x5B, 0x81], Array("REGS".utf8) + [1] + units) + [0x08] + Array("PACK".utf8)
            + framed([0x12], package) + buffer + fields + device("LNKA", name("_HID") + method) + power + mutex
    }()

    @Test func whatIsDeclaredIsKnownByName() throws {
        let read = try read(Self.whole)
        #expect(read.names == ["REGS", "ONE_", "TWO_", "PACK", "BUFF", "PART", "LNKA", "POWR", "MUTX"])
        #expect(read.devices == ["LNKA": ["_HID", "_DIS"], "POWR": ["_STA"]])
        #expect(try self.read([]).names == [])
    }

    @Test func everyBeginningOfItIsRefusedUnlessATermEndsThere() throws {
        let whole = Set((0..<Self.whole.count).filter { reason(Array(Self.whole[..<$0])) == nil })
        // Ends of the region, its field, the package, the buffer, its field, the device and the power resource.
        #expect(whole.count == 8 && whole.contains(0))
    }

    @Test func devicesAndPackagesWithinEachOtherHaveAnEnd() {
        let devices = (0..<40).reduce([]) { inner, _ in Self.device("DEEP", inner) }
        #expect(reason(devices)?.contains("more devices within each other than 15") == true)
        let packages = (0..<40).reduce([0x01]) { inner, _ in Self.framed([0x12], [1] + inner) }
        #expect(reason([0x08] + Array("PACK".utf8) + packages)?.contains("more packages within each other") == true)
        #expect(reason((0..<15).reduce([]) { inner, _ in Self.device("DEEP", inner) }) == nil)
    }

    @Test func aLengthMayNotBeAnythingButItsBits() {
        #expect(reason([0x14, 0x70, 0x01])?.contains("bits that it cannot have") == true)
        #expect(reason([0x14, 0xFF, 0xFF, 0xFF, 0xFF])?.contains("bits that it cannot have") == true)
        #expect(reason([0x14, 0xCF, 0xFF, 0xFF, 0xFF])?.contains("leads out") == true)
        #expect(reason([0x14, 0xC0, 0x01])?.contains("ends where a length") == true)
    }

    /// Whatever the bytes are, they are taken or refused with a sentence.
    @Test func anyBytesAreReadToAnEnd() {
        var random: UInt64 = 0x9E37_79B9_7F4A_7C15
        func next() -> UInt64 {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return random
        }
        var taken = 0
        for round in 0..<100_000 {
            var bytes = round % 4 == 0 ? (0..<next() % 64).map { _ in UInt8(truncatingIfNeeded: next()) } : Self.whole
            for _ in 0..<next() % 4 where !bytes.isEmpty {
                bytes[Int(next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: next())
            }
            if next() % 4 == 0 { bytes.removeLast(Int(next() % UInt64(bytes.count + 1))) }
            guard let reason = reason(bytes) else {
                taken += 1
                continue
            }
            #expect(reason.hasPrefix("its aml "))
        }
        #expect(taken > 100 && taken < 90_000)
    }
}
