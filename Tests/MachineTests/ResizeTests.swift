import Foundation
import Testing

@testable import Core

/// A disk whose file grows while its guest runs (virtio 1.2, 5.2.5.2).
@Suite struct ResizeTests {
    private let path = NSTemporaryDirectory() + "bp-resize-\(UUID().uuidString).img"

    private func driver(mode: String = "read-write") throws -> VirtioDriver {
        try Data(count: 1 << 20).write(to: URL(fileURLWithPath: path))
        let backends = "backends: [{ id: disk, plugin: raw-file, path: \(path), mode: \(mode) }]"
        return VirtioDriver(machine: try virtioMachine("virtio-blk, block: disk", backends: backends))
    }

    private func length() throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    }

    @Test func guestIsToldOfTheNewCapacity() throws {
        let driver = try driver()
        defer {
            driver.machine.tearDown()
            unlink(path)
        }
        let isUp = driver.bringUp(queues: [0])
        #expect(isUp && driver.config(0) == 2048 && driver.register(0x60) == 0)
        let generation = driver.register(0xfc)
        let result = driver.machine.call("disk", "resize", "3MiB")
        #expect(result == .success(.nothing) && driver.config(0) == 6144)
        let length = try length()
        #expect(length == 3 << 20)
        #expect(driver.register(0x60) == 2 && driver.register(0xfc) != generation, "a configuration change")
    }

    /// It may have read the capacity before (3.1.1): with DRIVER_OK it hears that it has changed.
    @Test func driverThatIsComingUpIsToldOnceItIsReady() throws {
        let driver = try driver()
        defer {
            driver.machine.tearDown()
            unlink(path)
        }
        for status in [0, 1, 3, 11] as [UInt64] { driver.set(VirtioDriver.registers + 0x70, status) }
        let result = driver.machine.call("disk", "resize", "3MiB")
        #expect(result == .success(.nothing) && driver.register(0x60) == 0, "not before")
        driver.set(VirtioDriver.registers + 0x70, 15)
        #expect(driver.register(0x60) == 2 && driver.config(0) == 6144)
    }

    @Test func driverThatComesLaterHasNothingToHear() throws {
        let driver = try driver()
        defer {
            driver.machine.tearDown()
            unlink(path)
        }
        let result = driver.machine.call("disk", "resize", "3MiB")
        let isUp = driver.bringUp(queues: [0])
        #expect(result == .success(.nothing) && isUp && driver.register(0x60) == 0 && driver.config(0) == 6144)
    }

    @Test func fileThatOthersMadeLongerIsFound() throws {
        let driver = try driver()
        defer {
            driver.machine.tearDown()
            unlink(path)
        }
        truncate(path, 2 << 20)
        let result = driver.machine.call("disk", "resize", "0")
        #expect(result == .success(.nothing) && driver.config(0) == 4096)
        truncate(path, 1 << 20)
        let shorter = driver.machine.call("disk", "resize", "0")
        #expect(throws: MethodError.self) { try shorter.get() }
        #expect(driver.config(0) == 4096)
    }

    @Test(arguments: ["512", "1048577", "0xffffffffffffffff", "9000000TiB", "x"])
    func noDiskShrinksOrHasHalfASector(_ size: String) throws {
        let driver = try driver()
        defer {
            driver.machine.tearDown()
            unlink(path)
        }
        let result = driver.machine.call("disk", "resize", size)
        #expect(throws: MethodError.self) { try result.get() }
        let length = try length()
        #expect(driver.config(0) == 2048 && length == 1 << 20)
    }

    @Test(arguments: ["read-only", "snapshot"]) func onlyWhatIsWrittenGrows(_ mode: String) throws {
        let driver = try driver(mode: mode)
        defer {
            driver.machine.tearDown()
            unlink(path)
        }
        let result = driver.machine.call("disk", "resize", "2MiB")
        #expect(result == .failure(MethodError("disk.resize: only mode: read-write has a size that changes")))
    }
}
