import Glibc
import Testing

@testable import Core

/// Virtio 1.2, 5.5, by MMIO.
@Suite struct BalloonTests {
    private static let (statistics, reporting) = (2, 32) as (UInt64, UInt64)

    private func driver() throws -> VirtioDriver {
        let driver = VirtioDriver(machine: try virtioMachine("virtio-balloon"))
        let isUp = driver.bringUp(queues: [0, 1, 2, 3], features: 1 << 32 | Self.statistics | Self.reporting)
        try #require(isUp)
        return driver
    }

    /// Of the machine's RAM, on the host.
    private func bytes(_ machine: Machine) -> Int {
        var file = stat()
        return fstat(machine.ram?.descriptor ?? -1, &file) == 0 ? Int(file.st_blocks) * 512 : -1
    }

    @Test func guestIsAskedForMemory() throws {
        let driver = try driver()
        defer { driver.machine.tearDown() }
        let result = driver.machine.call("device", "inflate", "256KiB")
        #expect(result == .success(.nothing) && driver.config(0) == 64 && driver.register(0x60) == 2)
        driver.set(VirtioDriver.registers + 0x104, 5)
        let inflated = driver.machine.call("device", "inflated")
        #expect(inflated == .success(.unsigned(5 * 4096)))
        let tooMuch = driver.machine.call("device", "inflate", "17TiB")
        #expect(throws: MethodError.self) { try tooMuch.get() }
    }

    @Test func pagesInTheBalloonAreTheHosts() throws {
        let driver = try driver()
        defer { driver.machine.tearDown() }
        for page in 0x80..<0x90 as Range<UInt64> { driver.set(page << 12, 0x1122_3344) }
        // Two of them, one that is no memory, the transport's registers, and one far beyond.
        driver.put(0x2_0000, [0x82, 0, 0, 0, 0x81, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x0d, 0, 0xff, 0xff, 0xff, 0xff])
        let before = bytes(driver.machine)
        driver.offer(0, 0, .init(address: 0x2_0000, length: 20))
        #expect(driver.used(0) == 1 && driver.written(0, 0) == 0 && !driver.needsReset)
        #expect(bytes(driver.machine) == before - 2 * 4096)
        #expect(driver.get(0x8_1000) == 0 && driver.get(0x8_2000) == 0)
        #expect(driver.get(0x8_0000) == 0x1122_3344 && driver.get(0x8_3000) == 0x1122_3344)
        driver.set(0x8_1000, 7)
        driver.offer(1, 0, .init(address: 0x2_0000, length: 8))
        #expect(driver.used(1) == 1 && driver.get(0x8_1000) == 7)
    }

    /// Each of its pages is a call of the host's kernel: eight buffers of 256 are more than one callback does.
    @Test func aBalloonFullOfPagesIsTakenInTurns() throws {
        let driver = try driver()
        defer { driver.machine.tearDown() }
        // No neighbours, which would be one range. That there is no memory takes the same search.
        driver.put(0x2_0000, (0..<256).flatMap { [UInt8($0 % 128 * 2), UInt8($0 / 128), 1, 0] })
        driver.set(VirtioDriver.registers + 0x70, 11)
        for number in 0..<2 as Range<UInt64> { driver.offer(0, number, .init(address: 0x2_0000, length: 1024)) }
        driver.set(VirtioDriver.registers + 0x70, 15)
        #expect(driver.used(0) == 1, "the second waits for its turn")
    }

    @Test func hostHasFreePagesUntilTheGuestWritesThere() throws {
        let driver = try driver()
        defer { driver.machine.tearDown() }
        for page in 0x80..<0x90 as Range<UInt64> { driver.set(page << 12, 1) }
        let before = bytes(driver.machine)
        // All but the ends of the first and the last page.
        driver.offer(3, 0, .init(address: 0x8_0800, length: 0xf000, isWritable: true))
        #expect(driver.used(3) == 1 && bytes(driver.machine) == before - 14 * 4096)
        #expect(driver.get(0x8_0000) == 1 && driver.get(0x8_1000) == 0 && driver.get(0x8_f000) == 1)
        driver.offer(3, 1, .init(address: 0xf_f000, length: 0x4000, isWritable: true))
        #expect(driver.used(3) == 2 && !driver.needsReset, "what is not all RAM stays")
    }

    @Test func statisticsComeByTheDriversBuffer() throws {
        let driver = try driver()
        defer { driver.machine.tearDown() }
        driver.put(0x2_0000, [4, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 3, 0, 9, 0, 0, 0, 0, 0, 0, 0])
        driver.offer(2, 0, .init(address: 0x2_0000, length: 20))
        #expect(driver.used(2) == 0, "it is kept")
        let told = driver.machine.call("device", "statistics")
        #expect(
            told
                == .success(.text("inflated 0 KiB of 0, freed 0 KiB in all; the guest: minor-faults 9, free 1024 KiB")))
        #expect(driver.used(2) == 1, "and given back for new ones")
        #expect(driver.machine.call("device", "statistics") == told && driver.used(2) == 1)
    }

    @Test func resetForgetsTheBuffer() throws {
        let driver = try driver()
        defer { driver.machine.tearDown() }
        driver.offer(2, 0, .init(address: 0x2_0000, length: 20))
        let isUp = driver.bringUp(queues: [0, 1, 2, 3], features: 1 << 32 | Self.statistics)
        let told = driver.machine.call("device", "statistics")
        #expect(isUp && driver.used(2) == 0 && told == .success(.text("inflated 0 KiB of 0, freed 0 KiB in all")))
    }
}
