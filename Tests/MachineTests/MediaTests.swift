import Core
import Foundation
import Testing

/// Media that an operator changes while a machine runs.
@Suite struct MediaTests {
    private let folder = NSTemporaryDirectory() + "bp-media-\(UUID().uuidString)"

    private func image(_ name: String, sectors: Int, fill: UInt8) throws -> String {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/" + name
        try Data(repeating: fill, count: sectors * 512).write(to: URL(fileURLWithPath: path))
        return path
    }

    private func machine(disc: String) throws -> Machine {
        let machine = try TestMachine(
            """
            machine: media
            memory: 1MiB
            devices:
              - { id: cd0, plugin: ata, drive: cdrom, block: disc }
              - { id: hd0, plugin: ata, at: 0x170, control: 0x376, block: disk }
              - { id: cd1, plugin: ata, at: 0x1e8, control: 0x3ee, drive: cdrom, block: fixed }
            backends:
              - { id: disc, plugin: raw-file, path: \(disc), mode: read-only }
              - { id: disk, plugin: ram-disk, size: 1MiB }
              - { id: fixed, plugin: ram-disk, size: 1MiB }
            """, engine: false
        ).machine
        machine.resetInstances(warm: false)
        return machine
    }

    /// PACKET by PIO; its reply, of up to 64 bytes.
    private func ask(_ machine: Machine, _ packet: [UInt8]) -> [UInt8] {
        func out(_ port: UInt16, _ value: UInt64, width: UInt8 = 1) {
            _ = machine.access(port: port, width: width, value: value)
        }
        out(0x1f4, 64)
        out(0x1f5, 0)
        out(0x1f7, 0xa0)
        let padded = packet + [UInt8](repeating: 0, count: 12 - packet.count)
        for index in stride(from: 0, to: 12, by: 2) {
            out(0x1f0, UInt64(padded[index]) | UInt64(padded[index + 1]) << 8, width: 2)
        }
        var bytes: [UInt8] = []
        while machine.access(port: 0x1f7, width: 1) & 0x08 != 0, bytes.count < 64 {
            let word = machine.access(port: 0x1f0, width: 2)
            bytes += [UInt8(truncatingIfNeeded: word), UInt8(truncatingIfNeeded: word >> 8)]
        }
        return bytes
    }

    private func sense(_ machine: Machine) -> [UInt8] {
        let bytes = ask(machine, [0x03, 0, 0, 0, 18])
        return bytes.count == 18 ? [bytes[2], bytes[12], bytes[13]] : bytes
    }

    private func change(_ machine: Machine, _ id: String, _ path: String) -> Result<MethodResult, MethodError> {
        Result { () throws(MethodError) in
            try machine.invoke("change", [path], on: machine.instances.first { $0.id == id }!)
        }
    }

    @Test func anotherImageIsTheNewDisc() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let machine = try machine(disc: try image("a.iso", sectors: 40, fill: 0xaa))
        #expect(sense(machine) == [6, 0x29, 0])
        #expect(ask(machine, [0x25]) == [0, 0, 0, 9, 0, 0, 8, 0])
        #expect(change(machine, "cd0", try image("b.iso", sectors: 83, fill: 0xbb)) == .success(.nothing))
        #expect(ask(machine, [0x00]) == [])
        #expect(sense(machine) == [6, 0x28, 0])
        #expect(ask(machine, [0x25]) == [0, 0, 0, 19, 0, 0, 8, 0], "whole blocks of 2048 bytes")
    }

    @Test func whatCannotBeTheDiscLeavesTheOldOneAndSaysWhy() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let machine = try machine(disc: try image("a.iso", sectors: 40, fill: 0xaa))
        #expect(sense(machine) == [6, 0x29, 0])
        let path = folder + "/none.iso"
        let refusal = "cd0.change: disc: there is no file '\(path)': `backplane disk create` makes one"
        #expect(change(machine, "cd0", path) == .failure(MethodError(refusal)))
        #expect(ask(machine, [0x25]) == [0, 0, 0, 9, 0, 0, 8, 0])
        #expect(
            change(machine, "hd0", path)
                == .failure(MethodError("hd0.change: there is no CD-ROM drive on this channel")))
        #expect(change(machine, "cd1", path) == .failure(MethodError("cd1.change: fixed: the medium is fixed")))
        #expect(ask(machine, [0x1e, 0, 0, 0, 1]) == [])
        let locked = "cd0.change: the guest has locked the drive: it is asked to let the disc go"
        #expect(change(machine, "cd0", try image("b.iso", sectors: 83, fill: 0xbb)) == .failure(MethodError(locked)))
    }

    /// READ (10) of one block by PIO; the host's file is read by a thread. nil: the command has failed.
    private func read(_ machine: Machine, block: UInt8, _ meanwhile: () -> Void = {}) -> [UInt8]? {
        func input(_ port: UInt16, width: UInt8 = 1) -> UInt64 { machine.access(port: port, width: width) }
        func out(_ port: UInt16, _ value: UInt64, width: UInt8 = 1) {
            _ = machine.access(port: port, width: width, value: value)
        }
        out(0x1f4, 0)
        out(0x1f5, 8)
        out(0x1f7, 0xa0)
        for word in [0x28, 0, UInt64(block) << 8, 0, 1, 0] as [UInt64] { out(0x1f0, word, width: 2) }
        meanwhile()
        let end = Date(timeIntervalSinceNow: 900)
        while input(0x1f7) & 0x80 != 0, Date() < end { machine.serveHost(milliseconds: 1) }
        guard input(0x1f7) & 0x09 == 0x08 else { return nil }
        return (0..<1024).flatMap { _ in
            let word = input(0x1f0, width: 2)
            return [UInt8(truncatingIfNeeded: word), UInt8(truncatingIfNeeded: word >> 8)]
        }
    }

    /// MMC: sense key 3 MEDIUM ERROR, 5 with 21H: no such block.
    @Test func aTruncatedImageIsReadUpToItsEnd() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = try image("a.iso", sectors: 43, fill: 0xaa)
        let machine = try machine(disc: path)
        defer { machine.tearDown() }
        #expect(sense(machine) == [6, 0x29, 0])
        #expect(read(machine, block: 9) == [UInt8](repeating: 0xaa, count: 2048))
        #expect(read(machine, block: 10) == nil, "three quarters of a block are none")
        #expect(sense(machine) == [5, 0x21, 0])
        try #require(truncate(path, 5 * 2048 + 1000) == 0)
        #expect(read(machine, block: 4) == [UInt8](repeating: 0xaa, count: 2048))
        for block in 5...9 as ClosedRange<UInt8> {
            #expect(read(machine, block: block) == nil)
            #expect(sense(machine)[0] == 3)
        }
        #expect(read(machine, block: 0) == [UInt8](repeating: 0xaa, count: 2048))
    }

    /// Whichever comes first, the disc or what was read of it: the drive answers, and the next disc is read.
    @Test func aDiscThatIsPulledWhileItIsReadEndsTheReading() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let machine = try machine(disc: try image("a.iso", sectors: 40, fill: 0xaa))
        defer { machine.tearDown() }
        #expect(sense(machine) == [6, 0x29, 0])
        let other = try image("b.iso", sectors: 40, fill: 0xbb)
        for round in 0..<20 {
            let isEven = round.isMultiple(of: 2)
            var isChanged = false
            let bytes = read(machine, block: 3) {
                let drive = machine.instances.first { $0.id == "cd0" }
                if round % 4 < 2, let drive {
                    isChanged = (try? machine.invoke("eject", [], on: drive)) != nil
                } else if case .success = change(machine, "cd0", isEven ? other : folder + "/a.iso") {
                    isChanged = true
                }
            }
            if let bytes { #expect(Set(bytes).isSubset(of: [0xaa, 0xbb]) && Set(bytes).count == 1) }
            #expect(isChanged)
            #expect(change(machine, "cd0", isEven ? other : folder + "/a.iso") == .success(.nothing))
            // What has happened is told, once for each thing.
            for _ in 0..<4 where read(machine, block: 0) == nil { #expect(sense(machine).count == 3) }
            #expect(read(machine, block: 0)?.allSatisfy { $0 == (isEven ? 0xbb : 0xaa) } == true)
        }
    }
}
