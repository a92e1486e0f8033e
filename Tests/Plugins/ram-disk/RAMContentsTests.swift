import Testing

@testable import RAMContents

@Suite struct RAMContentsTests {
    private func write(_ disk: RAMContents, _ offset: Int, _ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { disk.write(at: offset, $0) }
    }

    private func read(_ disk: RAMContents, _ offset: Int, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0xee, count: count)
        return bytes.withUnsafeMutableBytes { disk.read(at: offset, into: $0) } ? bytes : nil
    }

    /// A record of the saved form: a number in eight bytes, little-endian, and 4096 bytes.
    private func record(_ number: UInt64, _ byte: UInt8) -> [UInt8] {
        (0..<8).map { UInt8(number >> ($0 * 8) & 0xff) } + [UInt8](repeating: byte, count: 4096)
    }

    @Test func aNewDiskIsZero() throws {
        let disk = try RAMContents(count: 5120)
        #expect(read(disk, 0, 5120) == [UInt8](repeating: 0, count: 5120))
    }

    @Test func whatWasWrittenIsRead() throws {
        let disk = try RAMContents(count: 3 << 20)
        #expect(write(disk, (1 << 20) - 2, [1, 2, 3, 4]))
        #expect(read(disk, (1 << 20) - 3, 6) == [0, 1, 2, 3, 4, 0])
    }

    @Test func nothingBeyondTheEndIsTouched() throws {
        let disk = try RAMContents(count: 1024)
        #expect(!write(disk, 1020, [1, 2, 3, 4, 5]))
        #expect(!write(disk, 1025, []))
        #expect(!write(disk, -1, [1]))
        #expect(!write(disk, .max, [1]))
        #expect(read(disk, 1020, 5) == nil)
        #expect(read(disk, 0, 1024) == [UInt8](repeating: 0, count: 1024))
        #expect(write(disk, 1024, []))
    }

    @Test func onlyBlocksThatAreNotZeroAreSaved() throws {
        let disk = try RAMContents(count: 1 << 40)
        #expect(disk.sparse(limit: 0) == [])
        #expect(write(disk, 5 * 4096, [UInt8](repeating: 7, count: 4096)))
        #expect(write(disk, 9 * 4096, [0]))
        #expect(write(disk, (1 << 40) - 4096, [UInt8](repeating: 8, count: 4096)))
        #expect(disk.sparse(limit: 1 << 20) == record(5, 7) + record((1 << 28) - 1, 8))
    }

    @Test func restoringGivesTheSavedDiskAndNothingElse() throws {
        let disk = try RAMContents(count: 10 << 20)
        #expect(write(disk, 4095, [1, 2]))
        let saved = try #require(disk.sparse(limit: 1 << 20))
        #expect(write(disk, 4095, [3, 4]))
        #expect(write(disk, 5 << 20, [5]))
        #expect(disk.restore(saved))
        #expect(read(disk, 4094, 4) == [0, 1, 2, 0])
        #expect(read(disk, 5 << 20, 1) == [0])
        #expect(disk.sparse(limit: 1 << 20) == saved)
        let other = try RAMContents(count: 10 << 20)
        #expect(other.restore(saved))
        #expect(other.sparse(limit: 1 << 20) == saved)
    }

    @Test func theLastBlockMayBeShort() throws {
        let disk = try RAMContents(count: 4096 + 512)
        #expect(write(disk, 4096 + 511, [9]))
        let saved = try #require(disk.sparse(limit: 1 << 20))
        #expect(saved.count == 8 + 4096)
        let other = try RAMContents(count: 4096 + 512)
        #expect(other.restore(saved))
        #expect(read(other, 4096 + 511, 1) == [9])
    }

    @Test func moreThanTheLimitIsNotSaved() throws {
        let disk = try RAMContents(count: 1 << 20)
        #expect(write(disk, 0, [1]))
        #expect(write(disk, 8192, [1]))
        #expect(disk.sparse(limit: 2 * 4104)?.count == 2 * 4104)
        #expect(disk.sparse(limit: 2 * 4104 - 1) == nil)
    }

    @Test func damagedStatesAreRefusedAndChangeNothing() throws {
        let disk = try RAMContents(count: 8 * 4096)
        #expect(write(disk, 0, [1]))
        let damaged: [[UInt8]] = [
            [0], record(0, 1).dropLast(), record(0, 1) + [0], record(8, 1), record(.max, 1), record(1 << 63, 1),
            record(3, 1) + record(3, 2), record(3, 1) + record(2, 2),
        ]
        for saved in damaged { #expect(!disk.restore(saved)) }
        #expect(read(disk, 0, 2) == [1, 0])
        #expect(disk.restore(record(7, 3)))
        #expect(read(disk, 0, 1) == [0])
        #expect(read(disk, 8 * 4096 - 1, 1) == [3])
    }

    @Test func randomStatesNeverTrap() throws {
        let disk = try RAMContents(count: 3 * 4096 + 512)
        var seed: UInt64 = 1
        for length in [0, 1, 8, 4103, 4104, 4105, 8208] {
            for _ in 0..<200 {
                var saved = [UInt8](repeating: 5, count: length)
                // The numbers of the blocks: small ones, so that some pass.
                for start in [0, 4104] where start + 8 <= length {
                    seed = seed &* 6_364_136_223_846_793_005 &+ 1
                    saved[start] = UInt8(seed >> 33 & 7)
                    for index in 1..<8 { saved[start + index] = seed >> 50 & 3 == 0 ? UInt8(seed >> 40 & 1) : 0 }
                }
                _ = disk.restore(saved)
            }
        }
    }

    @Test func sizesThatTheHostCannotGiveAreAnError() {
        #expect(throws: RAMContents.SizeError.self) { try RAMContents(count: 0) }
        #expect(throws: RAMContents.SizeError.self) { try RAMContents(count: .max) }
    }

    @Test func zeroIsFoundInAnyLength() {
        for count in 0..<40 {
            var bytes = [UInt8](repeating: 0, count: count)
            #expect(bytes.withUnsafeBytes { RAMContents.isZero($0) })
            for index in 0..<count {
                bytes[index] = 1
                #expect(!bytes.withUnsafeBytes { RAMContents.isZero($0) })
                bytes[index] = 0
            }
        }
    }
}
