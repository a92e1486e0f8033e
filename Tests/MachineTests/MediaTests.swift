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
}
