import SplitMix
import Testing
import Virtio
import VirtioPCI

private final class Device: VirtioTarget {
    var statuses: [UInt8] = []
    var queues: [UInt16: VirtQueue.Layout] = [:]
    var kicks: [UInt16] = []
    var config: [UInt32] = []

    func status(_ status: UInt8, features: UInt64) -> Bool {
        statuses.append(status)
        return true
    }
    func queue(_ number: UInt16, is layout: VirtQueue.Layout?) { queues[number] = layout }
    func kick(_ number: UInt16) { kicks.append(number) }
    func readConfig(_ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32? { 0x10 + offset }
    func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) { config.append(offset) }
}

/// Virtio 1.2, 4.1, by offsets.
@Suite struct VirtioPCITests {
    private let device = Device()
    private static let identity = VirtioIdentity(
        type: 2, features: [.ofQueues], queues: 2, entries: 128, configSize: 60)

    private func make() -> VirtioPCI { VirtioPCI(Self.identity) }
    private func get(_ chip: inout VirtioPCI, _ offset: UInt32, _ width: UInt8) -> UInt32 {
        chip.read(offset, width: width, isPeek: false, device)
    }
    private func used(_ chip: inout VirtioPCI, _ queue: UInt32, _ hasMessages: Bool) -> UInt16? {
        chip.usedBuffers(queue, hasMessages: hasMessages)
    }
    private func changed(_ chip: inout VirtioPCI, _ hasMessages: Bool) -> UInt16? {
        chip.configChanged(hasMessages: hasMessages)
    }
    private func set(_ chip: inout VirtioPCI, _ offset: UInt32, _ width: UInt8, _ value: UInt32) {
        chip.write(offset, width: width, value, device)
    }

    // MARK: The common configuration (4.1.4.3)

    @Test func commonConfigurationHasItsFieldsInPlace() {
        var chip = make()
        #expect(get(&chip, 18, 2) == 2, "num_queues")
        #expect(get(&chip, 16, 2) == 0xFFFF && get(&chip, 26, 2) == 0xFFFF, "no vectors")
        #expect(get(&chip, 24, 2) == 128, "queue_size")
        set(&chip, 22, 2, 1)
        #expect(get(&chip, 22, 2) == 1 && get(&chip, 30, 2) == 1, "queue_notify_off")
        set(&chip, 22, 2, 2)
        #expect(get(&chip, 24, 2) == 0, "there is no queue 2")
        set(&chip, 0, 4, 1)
        #expect(get(&chip, 4, 4) == 1 | 1 << 8, "VERSION_1, RING_RESET")
        #expect(get(&chip, 0, 4) == 1)
    }

    private func bringUp(_ chip: inout VirtioPCI) {
        for status in [0, 1, 3] as [UInt32] { set(&chip, 20, 1, status) }
        set(&chip, 8, 4, 1)
        set(&chip, 12, 4, 1 | 1 << 8)
        set(&chip, 20, 1, 11)
        set(&chip, 22, 2, 1)
        for (offset, value) in [(32, 0x1000), (36, 1), (40, 0x2000), (44, 2), (48, 0x3000), (52, 3)]
            as [(UInt32, UInt32)]
        {
            set(&chip, offset, 4, value)
        }
        set(&chip, 26, 2, 2)
        set(&chip, 28, 2, 1)
        set(&chip, 20, 1, 15)
    }

    @Test func driverBringsAQueueUpAndNotifiesItByItsPlace() {
        var chip = make()
        bringUp(&chip)
        #expect(get(&chip, 20, 1) == 15 && get(&chip, 28, 2) == 1)
        #expect(
            device.queues == [
                1: .init(entries: 128, descriptors: 0x1_0000_1000, driver: 0x2_0000_2000, device: 0x3_0000_3000)
            ])
        set(&chip, 0x3000 + 4, 2, 1)
        #expect(device.kicks == [1])
        set(&chip, 58, 2, 1)
        #expect(
            device.queues.isEmpty && get(&chip, 28, 2) == 0 && get(&chip, 58, 2) == 0, "queue_reset is done at once")
    }

    @Test func interruptStatusIsClearedByReadingIt() {
        var chip = make()
        bringUp(&chip)
        #expect(used(&chip, 1, false) == nil && chip.interruptPending)
        let peeked = chip.read(0x1000, width: 1, isPeek: true, device)
        #expect(peeked == 1 && chip.interruptPending)
        #expect(get(&chip, 0x1000, 1) == 1 && !chip.interruptPending)
        #expect(changed(&chip, false) == nil)
        #expect(get(&chip, 21, 1) == 1, "config_generation")
        #expect(get(&chip, 0x1000, 1) == 2)
    }

    @Test func messagesHaveTheQueuesOwnVector() {
        var chip = make()
        bringUp(&chip)
        #expect(used(&chip, 1, true) == 2 && !chip.interruptPending)
        #expect(used(&chip, 0, true) == nil, "none was given")
        #expect(used(&chip, 9, true) == nil)
        set(&chip, 16, 2, 0)
        #expect(changed(&chip, true) == 0)
        set(&chip, 26, 2, 3)
        #expect(get(&chip, 26, 2) == 0xFFFF, "there are three vectors")
    }

    @Test func deviceConfigurationIsItsOwnBank() {
        var chip = make()
        #expect(get(&chip, 0x2000 + 20, 4) == 0x24)
        #expect(get(&chip, 0x2000 + 60, 1) == 0xFF || get(&chip, 0x2000 + 60, 1) == .max)
        set(&chip, 0x2000 + 32, 1, 0)
        #expect(device.config == [32])
    }

    // MARK: The legacy interface (4.1.4.10)

    @Test func legacyDriverBringsAQueueUp() {
        var chip = make()
        func read(_ offset: UInt32, _ width: UInt8, _ hasMessages: Bool = false) -> UInt32 {
            chip.readLegacy(offset, width: width, hasMessages: hasMessages, isPeek: false, device)
        }
        func write(_ offset: UInt32, _ width: UInt8, _ value: UInt32) {
            chip.writeLegacy(offset, width: width, value, hasMessages: false, device)
        }
        #expect(read(0, 4) == 1 << 27 | 1 << 28 | 1 << 29)
        for status in [0, 1, 3] as [UInt32] { write(18, 1, status) }
        write(4, 4, 1 << 28)
        write(14, 2, 0)
        #expect(read(12, 2) == 128)
        write(8, 4, 0x100)
        #expect(read(8, 4) == 0x100)
        // 128 descriptors of 16 bytes, then 6 + 2 * 128 bytes; the used ring on the next page.
        #expect(device.queues == [0: .init(entries: 128, descriptors: 0x10_0000, driver: 0x10_0800, device: 0x10_1000)])
        write(18, 1, 7)
        #expect(device.statuses.last == 7)
        write(16, 2, 0)
        #expect(device.kicks == [0])
        _ = used(&chip, 0, false)
        #expect(read(19, 1) == 1 && !chip.interruptPending)
        #expect(read(20, 4) == 0x10 && read(24, 4) == 0x14, "the device's configuration follows")
        #expect(read(24, 4, true) == 0x10 && read(20, 2, true) == 0xFFFF, "behind two vectors, with MSI-X")
        #expect(chip.legacySize == 128)
    }

    @Test func identitiesAreThoseOfTheSpecification() {
        #expect(PCIIdentity(1, allowsLegacy: true).device == 0x1000)
        #expect(PCIIdentity(2, allowsLegacy: true).device == 0x1001)
        #expect(PCIIdentity(4, allowsLegacy: true).device == 0x1005)
        #expect(PCIIdentity(2, allowsLegacy: true).subsystem == 2 && PCIIdentity(2, allowsLegacy: true).revision == 0)
        let modern = PCIIdentity(2, allowsLegacy: false)
        #expect(modern.device == 0x1042 && modern.revision >= 1 && modern.subsystem >= 0x40 && !modern.isTransitional)
        #expect(PCIIdentity(18, allowsLegacy: true).device == 0x1052, "input has no legacy drivers")
    }

    @Test func randomAccessesNeitherTrapNorTellARestoredChipApart() throws {
        var random = SplitMix64(seed: 9)
        var (one, other) = (make(), make())
        for step in 0..<100_000 {
            let (place, value) = (UInt32(truncatingIfNeeded: random.next()), UInt32(truncatingIfNeeded: random.next()))
            let width: UInt8 = [1, 2, 4, 4][Int(random.next() & 3)]
            let offset = (place & 0x3FFF & (random.next() & 1 == 0 ? 0x3F : 0x3FFF)) & ~UInt32(width - 1)
            let small = random.next() & 1 == 0 ? value & 15 : value
            let hasMessages = value & 1 << 30 != 0
            switch random.next() % 8 {
            case 0:
                let vectors = (
                    one.usedBuffers(value & 3, hasMessages: hasMessages),
                    other.usedBuffers(value & 3, hasMessages: hasMessages)
                )
                #expect(vectors.0 == vectors.1)
            case 1, 2:
                let values = (get(&one, offset, width), get(&other, offset, width))
                #expect(values.0 == values.1)
            case 3:
                let place = offset & 0x7F
                let values = (
                    one.readLegacy(place, width: width, hasMessages: hasMessages, isPeek: false, device),
                    other.readLegacy(place, width: width, hasMessages: hasMessages, isPeek: false, device)
                )
                #expect(values.0 == values.1)
            case 4:
                one.writeLegacy(offset & 0x7F, width: width, small, hasMessages: hasMessages, device)
                other.writeLegacy(offset & 0x7F, width: width, small, hasMessages: hasMessages, device)
            default:
                set(&one, offset, width, small)
                set(&other, offset, width, small)
            }
            guard step % 97 == 0 else { continue }
            other = make()
            let state = try #require(VirtioNegotiation.State(bytes: one.negotiation.state.bytes, of: Self.identity))
            let isRestored = other.restore(state)
            #expect(isRestored)
        }
        #expect(one.negotiation.state == other.negotiation.state)
    }
}
