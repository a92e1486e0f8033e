import CloudSeed
import Foundation
import Testing

@Suite struct SeedTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bp-seed-\(UUID().uuidString)")

    /// What a program says, or nil where this host does not have it.
    private func say(_ program: String, _ words: [String]) throws -> String? {
        let paths = ["/usr/bin/", "/sbin/", "/usr/sbin/"].map { $0 + program }
        guard let path = paths.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else { return nil }
        let (process, pipe) = (Process(), Pipe())
        (process.executableURL, process.arguments) = (URL(fileURLWithPath: path), words)
        (process.standardOutput, process.standardError) = (pipe, FileHandle.nullDevice)
        try process.run()
        let bytes = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: bytes, as: UTF8.self)
    }

    private func write(_ seed: Seed) throws -> String {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = folder.appendingPathComponent("seed.iso")
        try Data(seed.image.bytes).write(to: path)
        return path.path
    }

    /// ECMA-119, 8.4: by offsets.
    @Test func descriptorsAreWhereReadersLook() {
        let image = Seed(userData: Array("#cloud-config\n".utf8)).image.bytes
        #expect(image.count % 2048 == 0 && image[..<32768].allSatisfy({ $0 == 0 }))
        #expect(Array(image[32768..<32775]) == [1] + Array("CD001".utf8) + [1])
        #expect(Array(image[32808..<32814]) == Array("cidata".utf8) && image[32814] == 0x20)
        #expect(Array(image[32848..<32856]) == [27, 0, 0, 0, 0, 0, 0, 27], "blocks, both ways")
        #expect(Array(image[32896..<32900]) == [0, 8, 8, 0])
        #expect(image[34816] == 2 && Array(image[34904..<34907]) == Array("%/E".utf8))
        #expect(Array(image[34856..<34860]) == [0, 0x63, 0, 0x69])
        #expect(image[36864] == 255)
        #expect(image[32768 + 881] == 1 && image[34816 + 881] == 1, "the file structure's version, behind the dates")
    }

    @Test func filesLieAtWholeBlocks() {
        let long = [UInt8](repeating: 0x41, count: 5000)
        let image = Seed(userData: long, metaData: [0x42], networkConfig: [0x43]).image
        #expect(image.bytes.count == (25 + 1 + 1 + 3) * 2048)
        #expect(image.bytes[25 * 2048] == 0x42 && image.bytes[26 * 2048] == 0x43)
        #expect(Array(image.bytes[(27 * 2048)..<(27 * 2048 + 5000)]) == long)
        #expect(Seed(userData: []).image.bytes.count == (25 + 1) * 2048)
    }

    @Test func instanceIsAnotherOneWhereTheRestIs() throws {
        func meta(_ seed: Seed) -> String {
            let block = seed.image.bytes[(25 * 2048)..<(26 * 2048)]
            return String(decoding: block.prefix(while: { $0 != 0 }), as: UTF8.self)
        }
        var seed = Seed(userData: [1])
        let first = meta(seed)
        #expect(first.hasPrefix("instance-id: 'iid-") && first == meta(seed))
        seed.userData = [2]
        #expect(meta(seed) != first)
        (seed.instanceID, seed.hostname) = ("one", "box")
        #expect(meta(seed) == "instance-id: 'one'\nlocal-hostname: 'box'\n")
    }

    @Test func xorrisoFindsTheFiles() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var seed = Seed(userData: Array("#cloud-config\nhostname: a\n".utf8), networkConfig: Array("version: 2\n".utf8))
        seed.hostname = "b"
        let path = try write(seed)
        guard let told = try say("xorriso", ["-read_fs", "norock", "-indev", path, "-lsl", "/", "--"]) else { return }
        for name in ["meta-data", "network-config", "user-data"] { #expect(told.contains("'\(name)'"), "\(told)") }
        let copy = folder.appendingPathComponent("copy").path
        _ = try say(
            "xorriso", ["-read_fs", "norock", "-osirrox", "on", "-indev", path, "-extract", "/user-data", copy])
        #expect(FileManager.default.contents(atPath: copy).map(Array.init) == seed.userData)
    }

    @Test func labelIsCloudInits() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = try write(Seed(userData: []))
        guard let told = try say("blkid", ["-p", "-o", "export", path]) else { return }
        #expect(told.contains("\nLABEL=cidata\n") || told.hasPrefix("LABEL=cidata\n"), "\(told)")
        #expect(told.contains("TYPE=iso9660"))
    }
}
