import Testing

@testable import Core

/// Virtio devices behind their transports as a guest programs them: virtio 1.2, by offsets.
@Suite struct VirtioTests {
    private static let registers: UInt64 = 0xd000_0000
    private static let (descriptors, available, used) = (0x1_0000 as UInt64, 0x1_1000 as UInt64, 0x1_2000 as UInt64)

    private func machine(_ device: String, transport: String = "virtio-mmio, at: 0xd0000000, irq: pic.5") throws
        -> Machine
    {
        let machine = try TestMachine(
            """
            machine: virtio
            cpu: { interrupts: apic }
            memory: 1MiB
            devices:
              - { id: pci, plugin: i440fx }
              - { id: apic, plugin: lapic, extint: pic }
              - { id: pic, plugin: pic8259 }
              - { id: way, plugin: \(transport) }
              - { id: device, plugin: \(device), transport: way }
            backends:
              - { id: disk, plugin: ram-disk, size: 1MiB }
            """, engine: false
        ).machine
        machine.resetInstances(warm: false)
        return machine
    }

    private func set(_ machine: Machine, _ address: UInt64, _ value: UInt64, _ width: UInt8 = 4) {
        _ = machine.access(address: address, width: width, value: value)
    }
    private func get(_ machine: Machine, _ address: UInt64, _ width: UInt8 = 4) -> UInt64 {
        machine.access(address: address, width: width)
    }

    private func descriptor(
        _ machine: Machine, _ index: UInt64, _ address: UInt64, _ length: UInt64, flags: UInt64 = 0, next: UInt64 = 0
    ) {
        set(machine, Self.descriptors + index * 16, address, 8)
        set(machine, Self.descriptors + index * 16 + 8, length | flags << 32 | next << 48, 8)
    }

    /// The chain at descriptor 0, as the `number`th buffer.
    private func offer(_ machine: Machine, _ number: UInt64, head: UInt64 = 0) {
        set(machine, Self.available + 4 + (number % 8) * 2, head, 2)
        set(machine, Self.available + 2, number + 1, 2)
    }

    /// 3.1.1, by 4.2.2: features, queue 0 of 8 entries, DRIVER_OK.
    private func bringUp(_ machine: Machine, features: UInt64 = 1 << 32) {
        func write(_ offset: UInt64, _ value: UInt64) { set(machine, Self.registers + offset, value) }
        for status in [0, 1, 3] as [UInt64] { write(0x70, status) }
        for half in 0..<2 as Range<UInt64> {
            write(0x24, half)
            write(0x20, features >> (32 * half) & 0xFFFF_FFFF)
        }
        write(0x70, 11)
        #expect(get(machine, Self.registers + 0x70) == 11, "FEATURES_OK stays")
        write(0x30, 0)
        write(0x38, 8)
        for (offset, value) in [(0x80, Self.descriptors), (0x90, Self.available), (0xa0, Self.used)]
            as [(UInt64, UInt64)]
        {
            write(offset, value)
        }
        write(0x44, 1)
        write(0x70, 15)
    }

    // MARK: By MMIO

    private func isInterrupted(_ machine: Machine) -> Bool {
        machine.lines.lines.contains { $0.endpoint == Endpoint(instance: "pic", index: 5) && $0.level }
    }

    /// A request of 5.2.6 with its header at 0x20000 and its status byte at 0x20100.
    private func request(
        _ machine: Machine, _ number: UInt64, type: UInt64, sector: UInt64, data: UInt64, length: UInt64
    ) {
        set(machine, 0x2_0000, type, 8)
        set(machine, 0x2_0008, sector, 8)
        set(machine, 0x2_0100, 0xEE, 1)
        descriptor(machine, 0, 0x2_0000, 16, flags: 1, next: 1)
        descriptor(machine, 1, data, length, flags: type == 0 ? 3 : 1, next: 2)
        descriptor(machine, 2, 0x2_0100, 1, flags: 2)
        offer(machine, number)
        set(machine, Self.registers + 0x50, 0)
    }

    @Test func diskGivesBackWhatIsWrittenToIt() throws {
        let machine = try machine("virtio-blk, block: disk")
        defer { machine.tearDown() }
        #expect(get(machine, Self.registers + 0x08) == 2 && get(machine, Self.registers + 0x100) == 2048)
        bringUp(machine)
        for index in 0..<256 as Range<UInt64> { set(machine, 0x3_0000 + index * 4, index &* 0x9e37_79b1 & 0xFFFF_FFFF) }
        request(machine, 0, type: 1, sector: 7, data: 0x3_0000, length: 1024)
        #expect(get(machine, 0x2_0100, 1) == 0, "OK")
        #expect(get(machine, Self.used + 2, 2) == 1 && get(machine, Self.registers + 0x60) == 1)
        #expect(isInterrupted(machine))
        set(machine, Self.registers + 0x64, 1)
        #expect(!isInterrupted(machine))
        request(machine, 1, type: 0, sector: 7, data: 0x4_0000, length: 1024)
        #expect(get(machine, 0x2_0100, 1) == 0 && get(machine, Self.used + 2, 2) == 2)
        #expect(get(machine, Self.used + 4 + 8, 4) == 0 && get(machine, Self.used + 4 + 12, 4) == 1025)
        #expect(
            (0..<256 as Range<UInt64>).allSatisfy { get(machine, 0x4_0000 + $0 * 4) == $0 &* 0x9e37_79b1 & 0xFFFF_FFFF }
        )
        request(machine, 2, type: 0, sector: 2047, data: 0x4_0000, length: 1024)
        #expect(get(machine, 0x2_0100, 1) == 1, "beyond the end: IOERR")
        request(machine, 3, type: 99, sector: 0, data: 0x4_0000, length: 512)
        #expect(get(machine, 0x2_0100, 1) == 2, "UNSUPP")
    }

    @Test(arguments: [0x20_0000, 0xFFFF_FFFF_FFFF_FF00, 0xd000_0000] as [UInt64])
    func bufferThatIsNoMemoryEndsInNeedsReset(_ address: UInt64) throws {
        let machine = try machine("virtio-blk, block: disk")
        defer { machine.tearDown() }
        bringUp(machine)
        for type in [0, 1] as [UInt64] {
            request(machine, 0, type: type, sector: 0, data: address, length: 512)
            #expect(get(machine, Self.registers + 0x70) == 15 | 64)
            #expect(get(machine, Self.used + 2, 2) == 0, "nothing is used")
            #expect(get(machine, Self.registers + 0x60) == 2, "the driver is told of its configuration")
            set(machine, Self.used + 2, 0, 2)
            set(machine, Self.available + 2, 0, 2)
            bringUp(machine)
        }
        request(machine, 0, type: 0, sector: 0, data: 0x4_0000, length: 512)
        #expect(get(machine, 0x2_0100, 1) == 0, "after a reset it works again")
    }

    @Test func loopEndsInNeedsReset() throws {
        let machine = try machine("virtio-entropy")
        defer { machine.tearDown() }
        bringUp(machine)
        descriptor(machine, 0, 0x3_0000, 16, flags: 3, next: 0)
        offer(machine, 0)
        set(machine, Self.registers + 0x50, 0)
        #expect(get(machine, Self.registers + 0x70) == 15 | 64)
    }

    @Test func entropyIsWrittenAndCounted() throws {
        let machine = try machine("virtio-entropy")
        defer { machine.tearDown() }
        bringUp(machine)
        descriptor(machine, 0, 0x3_0000, 64, flags: 2)
        offer(machine, 0)
        set(machine, Self.registers + 0x50, 0)
        #expect(get(machine, Self.used + 2, 2) == 1 && get(machine, Self.used + 8, 4) == 64)
        #expect((0..<8 as Range<UInt64>).contains { get(machine, 0x3_0000 + $0 * 8, 8) != 0 })
    }

    @Test func resetOfTheMachineLeavesNothingEnabled() throws {
        let machine = try machine("virtio-blk, block: disk")
        defer { machine.tearDown() }
        bringUp(machine)
        machine.resetInstances(warm: true)
        #expect(get(machine, Self.registers + 0x70) == 0 && get(machine, Self.registers + 0x44) == 0)
        request(machine, 0, type: 0, sector: 0, data: 0x4_0000, length: 512)
        #expect(get(machine, Self.used + 2, 2) == 0)
    }

    // MARK: On PCI

    private static let banks: UInt64 = 0xe000_0000, messages: UInt64 = 0xe100_0000

    private func configure(_ machine: Machine, _ offset: UInt64, _ value: UInt64, _ width: UInt8 = 4) {
        _ = machine.access(port: 0xcf8, width: 4, value: 0x8000_1000 | offset & 0xFC)
        _ = machine.access(port: 0xcfc + UInt16(offset & 3), width: width, value: value)
    }
    private func configuration(_ machine: Machine, _ offset: UInt64, _ width: UInt8 = 4) -> UInt64 {
        _ = machine.access(port: 0xcf8, width: 4, value: 0x8000_1000 | offset & 0xFC)
        return machine.access(port: 0xcfc + UInt16(offset & 3), width: width)
    }

    /// Offsets of capabilities by ID and, of vendor-specific ones, by type.
    private func capabilities(_ machine: Machine) -> [UInt64: UInt64] {
        var (found, place) = ([UInt64: UInt64](), configuration(machine, 0x34, 1))
        while place != 0, found.count < 20 {
            let id = configuration(machine, place, 1)
            found[id == 9 ? 0x900 | configuration(machine, place + 3, 1) : id] = place
            place = configuration(machine, place + 1, 1)
        }
        return found
    }

    private func pci(legacy: String = "on") throws -> Machine {
        let machine = try machine("virtio-blk, block: disk", transport: "virtio-pci, bus: pci.2, legacy: \(legacy)")
        configure(machine, 0x10, 0xc000)
        configure(machine, 0x14, Self.messages)
        configure(machine, 0x20, Self.banks)
        configure(machine, 0x24, 0)
        configure(machine, 0x04, 7, 2)
        return machine
    }

    @Test func functionSaysWhereItsRegistersAre() throws {
        let machine = try pci()
        defer { machine.tearDown() }
        #expect(configuration(machine, 0) == 0x1001_1af4 && configuration(machine, 0x2c) == 0x0002_1af4)
        let found = capabilities(machine)
        #expect(Set(found.keys) == [0x11, 0x901, 0x902, 0x903, 0x904, 0x905])
        for (type, offset) in [(0x901, 0), (0x903, 0x1000), (0x904, 0x2000), (0x902, 0x3000)] as [(UInt64, UInt64)] {
            let place = try #require(found[type])
            #expect(configuration(machine, place + 4, 1) == 4 && configuration(machine, place + 8) == offset)
        }
        #expect(configuration(machine, try #require(found[0x902]) + 16) == 4, "notify_off_multiplier")
        let modern = try pci(legacy: "off")
        defer { modern.tearDown() }
        #expect(configuration(modern, 0) == 0x1042_1af4 && configuration(modern, 0x10) == 0, "and no ports")
    }

    /// 4.1.4.9: by configuration space alone.
    @Test func registersAreReachedByConfigurationSpaceToo() throws {
        let machine = try pci()
        defer { machine.tearDown() }
        let place = try #require(capabilities(machine)[0x905])
        configure(machine, place + 4, 4, 1)
        configure(machine, place + 8, 0x2000)
        configure(machine, place + 12, 4)
        #expect(configuration(machine, place + 16) == 2048, "the capacity")
        configure(machine, place + 8, 0x3ffe)
        #expect(configuration(machine, place + 16) == 0, "beyond the end there is nothing")
    }

    /// The same as by MMIO, by 4.1.4.3; queue 0's interrupt is vector 1.
    private func bringUpOnPCI(_ machine: Machine) {
        func write(_ offset: UInt64, _ value: UInt64, _ width: UInt8) {
            set(machine, Self.banks + offset, value, width)
        }
        for status in [0, 1, 3] as [UInt64] { write(20, status, 1) }
        write(8, 1, 4)
        write(12, 1, 4)
        write(20, 11, 1)
        write(22, 0, 2)
        write(24, 8, 2)
        write(26, 1, 2)
        for (offset, value) in [(32, Self.descriptors), (40, Self.available), (48, Self.used)] as [(UInt64, UInt64)] {
            write(offset, value, 4)
        }
        write(28, 1, 2)
        write(20, 15, 1)
    }

    private func flush(_ machine: Machine, _ number: UInt64) {
        set(machine, 0x2_0000, 8, 8)
        set(machine, 0x2_0100, 0xEE, 1)
        descriptor(machine, 0, 0x2_0000, 16, flags: 1, next: 1)
        descriptor(machine, 1, 0x2_0080, 20, flags: 3, next: 2)
        descriptor(machine, 2, 0x2_0100, 1, flags: 2)
        offer(machine, number)
        set(machine, Self.banks + 0x3000, 0, 2)
    }

    @Test func messagesReachTheCPU() throws {
        let machine = try pci()
        defer { machine.tearDown() }
        set(machine, 0xfee0_00f0, 0x1ff)
        bringUpOnPCI(machine)
        let place = try #require(capabilities(machine)[0x11])
        configure(machine, place + 2, 0x8000, 2)
        set(machine, Self.messages + 16, 0xfee0_0000)
        set(machine, Self.messages + 24, 0x55)
        flush(machine, 0)
        #expect(get(machine, 0x2_0100, 1) == 0 && get(machine, Self.used + 2, 2) == 1)
        #expect(!machine.interruptPin(), "masked at first")
        #expect(get(machine, Self.messages + 0x800) == 2, "and pending")
        set(machine, Self.messages + 28, 0)
        #expect(machine.acknowledgeInterrupt() == 0x55)
        #expect(get(machine, Self.messages + 0x800) == 0)
        set(machine, 0xfee0_00b0, 0)
        flush(machine, 1)
        #expect(machine.acknowledgeInterrupt() == 0x55)
    }

    @Test func deviceLeavesMemoryAloneWhileItIsNoBusMaster() throws {
        let machine = try pci()
        defer { machine.tearDown() }
        bringUpOnPCI(machine)
        configure(machine, 0x04, 3, 2)
        flush(machine, 0)
        #expect(get(machine, Self.used + 2, 2) == 0)
        configure(machine, 0x04, 7, 2)
        #expect(get(machine, Self.used + 2, 2) == 1, "what waits is taken then")
    }

    @Test func legacyDriverReadsTheDisk() throws {
        let machine = try pci()
        defer { machine.tearDown() }
        func write(_ offset: UInt16, _ value: UInt64, _ width: UInt8) {
            _ = machine.access(port: 0xc000 + offset, width: width, value: value)
        }
        func read(_ offset: UInt16, _ width: UInt8) -> UInt64 { machine.access(port: 0xc000 + offset, width: width) }
        for status in [0, 1, 3] as [UInt64] { write(18, status, 1) }
        write(14, 0, 2)
        #expect(read(12, 2) == 128)
        // 128 entries from page 0x20 on: descriptors, 6 + 256 bytes of available ring, the used ring on the page behind them.
        write(8, 0x20, 4)
        write(18, 7, 1)
        let (table, available, used) = (0x2_0000 as UInt64, 0x2_0800 as UInt64, 0x2_1000 as UInt64)
        set(machine, 0x3_0000, 8, 8)
        for (index, (address, length, flags)) in [(0x3_0000, 16, 1), (0x3_0100, 20, 3), (0x3_0200, 1, 2)].enumerated() {
            set(machine, table + UInt64(index) * 16, UInt64(address), 8)
            set(
                machine, table + UInt64(index) * 16 + 8, UInt64(length) | UInt64(flags) << 32 | UInt64(index + 1) << 48,
                8)
        }
        set(machine, available + 2, 1, 2)
        write(16, 0, 2)
        #expect(get(machine, used + 2, 2) == 1 && get(machine, 0x3_0200, 1) == 0)
        #expect(get(machine, 0x3_0100, 4) == 0x6976_6564, "the serial number is its id, \"device\"")
        #expect(read(19, 1) == 1 && read(19, 1) == 0, "ISR is cleared by reading it")
        #expect(read(20, 4) == 2048, "the capacity")
    }
}
