import Core
import Foundation
import Testing

/// Floppies as a PC's guest programs them: ports 0x3F0 to 0x3F7 of the 82077AA (290166), channel 2 of the 8237A (231466) with page port 0x81.
@Suite struct FloppyTests {
    /// A machine with a disk of 1.44M, out of reset, motors on, polling sensed; its DMA channels are let through.
    private func machine(backend: String = "{ id: disk, plugin: ram-disk, size: 1440KiB }") throws -> Machine {
        let machine = try TestMachine(
            """
            machine: floppy
            memory: 1MiB
            devices:
              - { id: pic, plugin: pic8259 }
              - { id: dma, plugin: dma8237 }
              - { id: fdc, plugin: fdc82077, irq: pic.6, dma: dma.2, block: disk }
            backends:
              - \(backend)
            """, engine: false
        ).machine
        machine.resetInstances(warm: false)
        start(machine)
        return machine
    }

    private func start(_ machine: Machine) {
        for (port, value) in [(0xD6, 0xC0), (0xD4, 0x00), (0x3F2, 0x3C), (0x3F7, 0x00)] as [(UInt16, UInt64)] {
            out(machine, port, value)
        }
        for _ in 0..<4 { #expect(command(machine, [0x08]).count == 2) }
        _ = command(machine, [0x03, 0xDF, 0x02])
    }

    private func out(_ machine: Machine, _ port: UInt16, _ value: UInt64) {
        _ = machine.access(port: port, width: 1, value: value)
    }

    private func input(_ machine: Machine, _ port: UInt16) -> UInt8 {
        UInt8(truncatingIfNeeded: machine.access(port: port, width: 1))
    }

    /// A command, a second of virtual time, its result.
    private func command(_ machine: Machine, _ bytes: [UInt8]) -> [UInt8] {
        for byte in bytes { out(machine, 0x3F5, UInt64(byte)) }
        machine.advance(to: machine.now + 1_000_000_000)
        var result: [UInt8] = []
        while input(machine, 0x3F4) & 0xD0 == 0xD0, result.count < 16 { result.append(input(machine, 0x3F5)) }
        return result
    }

    /// Channel 2 in a mode: 0x46 writes memory, 0x4A reads it.
    private func program(_ machine: Machine, mode: UInt64, address: UInt64, count: UInt64) {
        for (port, value) in [
            (0x0A, 6), (0x0C, 0), (0x0B, mode), (0x04, address & 0xFF), (0x04, address >> 8 & 0xFF),
            (0x81, address >> 16),
            (0x05, (count - 1) & 0xFF), (0x05, (count - 1) >> 8), (0x0A, 2),
        ] as [(UInt16, UInt64)] { out(machine, port, value) }
    }

    private func seek(_ machine: Machine, _ cylinder: UInt8) {
        #expect(command(machine, [0x0F, 0, cylinder]).isEmpty)
        #expect(command(machine, [0x08]) == [0x20, cylinder])
    }

    private func transfer(_ machine: Machine, _ code: UInt8, _ c: UInt8, _ h: UInt8, _ r: UInt8) -> [UInt8] {
        command(machine, [code, h << 2, c, h, r, 2, 18, 0x1B, 0xFF])
    }

    private func fill(_ machine: Machine, _ address: UInt64, bytes: Int, seed: UInt32) {
        for index in 0..<bytes / 4 {
            let word = seed &+ UInt32(index) &* 0x9E37_79B1
            _ = machine.access(address: address + UInt64(index) * 4, width: 4, value: UInt64(word))
        }
    }

    private func holds(_ machine: Machine, _ address: UInt64, bytes: Int, seed: UInt32) -> Bool {
        (0..<bytes / 4).allSatisfy {
            let word = UInt32(truncatingIfNeeded: machine.access(address: address + UInt64($0) * 4, width: 4))
            return word == seed &+ UInt32($0) &* 0x9E37_79B1
        }
    }

    @Test func whatIsWrittenByDMAIsReadByIt() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        fill(machine, 0x2_0000, bytes: 18432, seed: 7)
        seek(machine, 5)
        program(machine, mode: 0x4A, address: 0x2_0000, count: 18432)
        #expect(transfer(machine, 0xC5, 5, 0, 1) == [0x04, 0, 0, 6, 0, 1, 2], "both sides of a cylinder")
        #expect(input(machine, 0x08) & 0x04 == 0x04, "terminal count")
        program(machine, mode: 0x46, address: 0x4_1000, count: 18432)
        #expect(transfer(machine, 0xC6, 5, 0, 1) == [0x04, 0, 0, 6, 0, 1, 2])
        #expect(holds(machine, 0x4_1000, bytes: 18432, seed: 7))
        #expect(input(machine, 0x0F) & 4 == 4, "the channel masks itself")
    }

    @Test func terminalCountEndsTheCommandWhereItIs() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        fill(machine, 0x2_0000, bytes: 2048, seed: 9)
        program(machine, mode: 0x4A, address: 0x2_0000, count: 2048)
        #expect(transfer(machine, 0x45, 0, 0, 1) == [0, 0, 0, 0, 0, 5, 2])
        program(machine, mode: 0x46, address: 0x3_0000, count: 1028)
        #expect(transfer(machine, 0x46, 0, 0, 1) == [0, 0, 0, 0, 0, 4, 2])
        #expect(holds(machine, 0x3_0000, bytes: 1028, seed: 9))
        #expect(machine.access(address: 0x3_0404, width: 4) == 0)
    }

    /// Auto-initialization is ready again at once, and terminal count is terminal count all the same.
    @Test func anAutoinitializedChannelCountsToo() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        fill(machine, 0x2_0000, bytes: 1024, seed: 5)
        program(machine, mode: 0x5A, address: 0x2_0000, count: 512)
        #expect(transfer(machine, 0x45, 0, 0, 1) == [0, 0, 0, 0, 0, 2, 2])
        #expect(transfer(machine, 0x45, 0, 0, 2) == [0, 0, 0, 0, 0, 3, 2])
        program(machine, mode: 0x46, address: 0x3_0000, count: 1024)
        #expect(transfer(machine, 0x46, 0, 0, 1) == [0, 0, 0, 0, 0, 3, 2])
        #expect(holds(machine, 0x3_0000, bytes: 512, seed: 5) && holds(machine, 0x3_0200, bytes: 512, seed: 5))
    }

    /// A channel that is masked, of the other direction or without its cascade moves nothing, and the host was too late.
    @Test func aChannelThatDoesNotRunIsAnOverrun() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        #expect(transfer(machine, 0x46, 0, 0, 1).prefix(2) == [0x40, 0x10])
        program(machine, mode: 0x4A, address: 0x2_0000, count: 512)
        #expect(transfer(machine, 0x46, 0, 0, 1).prefix(2) == [0x40, 0x10])
        out(machine, 0xD4, 4)
        program(machine, mode: 0x46, address: 0x2_0000, count: 512)
        #expect(transfer(machine, 0x46, 0, 0, 1).prefix(2) == [0x40, 0x10])
        out(machine, 0xD4, 0)
        program(machine, mode: 0x46, address: 0x2_0000, count: 512)
        #expect(transfer(machine, 0x46, 0, 0, 1).prefix(2) == [0, 0])
    }

    /// Nobody answers above RAM: reads of the disk are lost, and ones are written to it.
    @Test func memoryThatIsNoneIsNotSeen() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        fill(machine, 0xF_FE00, bytes: 512, seed: 3)
        program(machine, mode: 0x4A, address: 0xF_FF00, count: 256)
        #expect(transfer(machine, 0x45, 0, 0, 1).prefix(2) == [0, 0])
        program(machine, mode: 0x4A, address: 0x20_0000, count: 512)
        #expect(transfer(machine, 0x45, 0, 0, 2).prefix(2) == [0, 0])
        program(machine, mode: 0x46, address: 0x40_0000, count: 512)
        #expect(transfer(machine, 0x46, 0, 0, 1).prefix(2) == [0, 0])
        program(machine, mode: 0x46, address: 0x2_0000, count: 1024)
        #expect(transfer(machine, 0x46, 0, 0, 1).prefix(2) == [0, 0])
        #expect(machine.access(address: 0x2_0200, width: 4) == 0xFFFF_FFFF)
        #expect(holds(machine, 0x2_0000, bytes: 256, seed: 3 &+ 64 &* 0x9E37_79B1))
    }

    @Test func aResetInTheMiddleEndsIt() throws {
        let machine = try machine()
        defer { machine.tearDown() }
        for byte in [0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF] as [UInt64] { out(machine, 0x3F5, byte) }
        machine.resetInstances(warm: true)
        start(machine)
        program(machine, mode: 0x46, address: 0x2_0000, count: 512)
        #expect(transfer(machine, 0x46, 0, 0, 1).prefix(2) == [0, 0])
    }

    // MARK: Disks that an operator changes

    private let folder = NSTemporaryDirectory() + "bp-floppy-\(UUID().uuidString)"

    private func image(_ name: String, kibibytes: Int, fill: UInt8) throws -> String {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/" + name
        try Data(repeating: fill, count: kibibytes * 1024).write(to: URL(fileURLWithPath: path))
        return path
    }

    private func call(_ machine: Machine, _ method: String, _ arguments: [String] = []) -> Result<
        MethodResult, MethodError
    > {
        Result { () throws(MethodError) in
            try machine.invoke(method, arguments, on: machine.instances.first { $0.id == "fdc" }!)
        }
    }

    /// The first byte of the first sector at a data rate (0: 500, 2: 250 kbit/s); the host's file is read by a thread.
    private func firstByte(_ machine: Machine, rate: UInt64) -> UInt64? {
        out(machine, 0x3F7, rate)
        _ = machine.access(address: 0x2_0000, width: 4, value: 0)
        program(machine, mode: 0x46, address: 0x2_0000, count: 512)
        for byte in [0x46, 0, 0, 0, 1, 2, 9, 0x1B, 0xFF] as [UInt64] { out(machine, 0x3F5, byte) }
        let end = Date(timeIntervalSinceNow: 900)
        while input(machine, 0x3F4) & 0xC0 != 0xC0, Date() < end {
            machine.advance(to: machine.now + 1_000_000)
            machine.serveHost(milliseconds: 1)
        }
        var result: [UInt8] = []
        while input(machine, 0x3F4) & 0xD0 == 0xD0, result.count < 16 { result.append(input(machine, 0x3F5)) }
        return result.prefix(2) == [0, 0] ? machine.access(address: 0x2_0000, width: 1) : nil
    }

    @Test func anotherImageIsTheNewDisk() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = try image("a.img", kibibytes: 1440, fill: 0xAA)
        let machine = try machine(backend: "{ id: disk, plugin: raw-file, path: \(path) }")
        defer { machine.tearDown() }
        #expect(firstByte(machine, rate: 0) == 0xAA)
        seek(machine, 1)
        seek(machine, 0)
        #expect(input(machine, 0x3F7) & 0x80 == 0)
        #expect(call(machine, "change", [try image("b.img", kibibytes: 720, fill: 0xBB)]) == .success(.nothing))
        #expect(input(machine, 0x3F7) & 0x80 == 0x80)
        #expect(firstByte(machine, rate: 0) == nil, "double density has another rate")
        #expect(firstByte(machine, rate: 2) == 0xBB)
    }

    @Test func whatIsNoFloppyLeavesTheDriveEmptyAndSaysWhy() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = try image("a.img", kibibytes: 1440, fill: 0xAA)
        let machine = try machine(backend: "{ id: disk, plugin: raw-file, path: \(path) }")
        defer { machine.tearDown() }
        let sizes = "160K, 180K, 320K, 360K, 720K, 1.2M, 1.44M, 2.88M"
        let odd = try image("odd.img", kibibytes: 100, fill: 1)
        #expect(
            call(machine, "change", [odd])
                == .failure(MethodError("fdc.change: \(odd) is no floppy, which has \(sizes): the drive is empty")))
        seek(machine, 1)
        #expect(input(machine, 0x3F7) & 0x80 == 0x80)
        #expect(call(machine, "change", [path]) == .success(.nothing))
        seek(machine, 0)
        #expect(input(machine, 0x3F7) & 0x80 == 0 && firstByte(machine, rate: 0) == 0xAA)
        #expect(call(machine, "eject") == .success(.nothing))
        #expect(input(machine, 0x3F7) & 0x80 == 0x80)
        #expect(call(machine, "insert") == .success(.nothing))
        #expect(firstByte(machine, rate: 0) == 0xAA)
        #expect(call(machine, "eject-b") == .failure(MethodError("fdc.eject-b: there is no drive B")))
        #expect(throws: MachineError.self) {
            try self.machine(backend: "{ id: disk, plugin: raw-file, path: \(odd) }")
        }
    }

    /// 290166, 8.1: without a disk there are no index pulses, and the command waits.
    @Test func aDiskThatIsPulledWhileItIsReadLeavesTheCommandWaiting() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = try image("a.img", kibibytes: 1440, fill: 0xAA)
        let machine = try machine(backend: "{ id: disk, plugin: raw-file, path: \(path) }")
        defer { machine.tearDown() }
        for _ in 0..<5 {
            program(machine, mode: 0x46, address: 0x2_0000, count: 8192)
            for byte in [0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF] as [UInt64] { out(machine, 0x3F5, byte) }
            machine.advance(to: machine.now + 150_000)
            #expect(call(machine, "eject") == .success(.nothing))
            for _ in 0..<50 {
                machine.advance(to: machine.now + 1_000_000)
                machine.serveHost(milliseconds: 1)
            }
            #expect(input(machine, 0x3F4) & 0xC0 != 0xC0, "there is no result")
            out(machine, 0x3F2, 0)
            start(machine)
            #expect(call(machine, "insert") == .success(.nothing))
            #expect(firstByte(machine, rate: 0) == 0xAA)
        }
    }

    @Test func aFileThatIsCutShortIsAnErrorOfItsSectors() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = try image("a.img", kibibytes: 1440, fill: 0xAA)
        let machine = try machine(backend: "{ id: disk, plugin: raw-file, path: \(path) }")
        defer { machine.tearDown() }
        #expect(firstByte(machine, rate: 0) == 0xAA)
        try #require(truncate(path, 300) == 0)
        #expect(firstByte(machine, rate: 0) == nil)
        try #require(truncate(path, 1440 * 1024) == 0)
        #expect(firstByte(machine, rate: 0) == 0xAA)
    }
}
