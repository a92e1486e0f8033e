import Core
import Foundation
import Testing

/// Files behind flash that are not as they should be.
@Suite struct FlashTests {
    private let folder = NSTemporaryDirectory() + "bp-flash-\(UUID().uuidString)"

    private func file(_ size: Int) throws -> String {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/\(size).fd"
        try Data().write(to: URL(fileURLWithPath: path))
        try #require(truncate(path, size) == 0)
        return path
    }

    private func machine(_ path: String, place: String = "at: 0xffc00000") throws -> Machine {
        try TestMachine(
            "machine: flash\nmemory: 1MiB\ndevices: [{ id: vars, plugin: cfi-flash, image: \(path), \(place) }]\n",
            engine: false
        ).machine
    }

    private func refusal(_ path: String, place: String = "at: 0xffc00000") -> String {
        do {
            try machine(path, place: place).tearDown()
            return ""
        } catch { return "\(error)" }
    }

    @Test func aFileOfAnotherSizeThanAFlashHasIsRefused() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (size, reason) in [
            (0, "is empty"), (1, "has 1 bytes, not a multiple of the block-size 4096"),
            (4095, "has 4095 bytes, not a multiple of the block-size 4096"),
            (540_673, "has 540673 bytes, not a multiple of the block-size 4096"),
            ((64 << 20) + 4096, "has 67112960 bytes, more than the 67108864 that are allowed"),
        ] {
            let path = try file(size)
            let text = refusal(path)
            #expect(text.contains(path) && text.contains(reason), "\(size): \(text)")
        }
        let path = try file(8192)
        #expect(refusal(path, place: "end: 0x1000").contains("end leaves no room below it for 8192 bytes"))
        #expect(refusal(path, place: "at: 0xfffffffffffff000").contains("ends before the last address"))
    }

    /// Reads are of what was read once; what the guest programs goes into the file all the same.
    @Test func aFileThatIsCutShortMeanwhileIsWrittenAgain() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = try file(8192)
        let machine = try machine(path)
        defer { machine.tearDown() }
        machine.resetInstances(warm: false)
        try #require(truncate(path, 100) == 0)
        #expect(machine.access(address: 0xffc0_1000, width: 1) == 0)
        // Erase: 20H, D0H; then program: 40H and the byte; FFH reads the array (Intel 28F, table 4).
        for (offset, value) in [(0, 0x20), (0, 0xd0), (0x1000, 0x20), (0x1000, 0xd0), (0x1001, 0x40), (0x1001, 0x5a)]
            as [(UInt64, UInt64)]
        {
            _ = machine.access(address: 0xffc0_0000 + offset, width: 1, value: value)
        }
        _ = machine.access(address: 0xffc0_0000, width: 1, value: 0xff)
        #expect(machine.access(address: 0xffc0_1001, width: 1) == 0x5a)
        let kept = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(kept.count > 0x1001 && kept[0x1000] == 0xff && kept[0x1001] == 0x5a)
    }
}
