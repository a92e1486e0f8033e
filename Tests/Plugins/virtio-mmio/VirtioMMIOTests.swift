import SplitMix
import Testing
import Virtio
import VirtioMMIO

private final class Device: VirtioTarget {
    var statuses: [UInt8] = []
    var queues: [UInt16: VirtQueue.Layout] = [:]
    var kicks: [UInt16] = []

    func status(_ status: UInt8, features: UInt64) -> Bool {
        statuses.append(status)
        if status == 0 { queues = [:] }
        return true
    }
    func queue(_ number: UInt16, is layout: VirtQueue.Layout?) { queues[number] = layout }
    func kick(_ number: UInt16) { kicks.append(number) }
    func readConfig(_ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32? { 0x10 + offset }
    func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {}
}

/// Virtio 1.2, 4.2.2, by offsets.
@Suite struct VirtioMMIOTests {
    private let device = Device()
    private static let identity = VirtioIdentity(
        type: 1, features: [.ofQueues], queues: 3, entries: 128, configSize: 8)

    private func make() -> VirtioMMIO { VirtioMMIO(Self.identity) }
    private func get(_ chip: VirtioMMIO, _ offset: UInt32) -> UInt32 {
        chip.read(offset, width: 4, isPeek: false, device)
    }
    private func set(_ chip: inout VirtioMMIO, _ offset: UInt32, _ value: UInt32) {
        chip.write(offset, width: 4, value, device)
    }

    @Test func registersSayWhatItIs() {
        let chip = make()
        #expect(get(chip, 0x000) == 0x7472_6976 && get(chip, 0x004) == 2 && get(chip, 0x008) == 1)
        #expect(get(chip, 0x034) == 128 && get(chip, 0x044) == 0 && get(chip, 0x0FC) == 0)
        #expect(get(chip, 0x0B0) == .max && get(chip, 0x0B4) == .max, "there is no shared memory")
        #expect(chip.read(0x000, width: 1, isPeek: false, device) == 0, "registers are 32 bits wide")
        #expect(chip.read(0x104, width: 2, isPeek: false, device) == 0x14, "configuration has its own widths")
        #expect(get(chip, 0x108) == .max, "beyond configuration space")
    }

    @Test func driverBringsAQueueUpAndIsInterrupted() {
        var chip = make()
        for status in [0, 1, 3] as [UInt32] { set(&chip, 0x070, status) }
        set(&chip, 0x014, 1)
        #expect(get(chip, 0x010) & 1 == 1, "VERSION_1")
        set(&chip, 0x024, 1)
        set(&chip, 0x020, 1)
        set(&chip, 0x070, 11)
        #expect(get(chip, 0x070) == 11)
        set(&chip, 0x030, 2)
        set(&chip, 0x038, 64)
        for (offset, value) in [
            (0x080, 0x1000), (0x084, 1), (0x090, 0x2000), (0x094, 2), (0x0A0, 0x3000), (0x0A4, 3), (0x044, 1),
        ] as [(UInt32, UInt32)] { set(&chip, offset, value) }
        #expect(get(chip, 0x044) == 1)
        #expect(
            device.queues == [
                2: .init(entries: 64, descriptors: 0x1_0000_1000, driver: 0x2_0000_2000, device: 0x3_0000_3000)
            ])
        set(&chip, 0x070, 15)
        set(&chip, 0x050, 2)
        #expect(device.kicks == [2])

        chip.usedBuffers()
        #expect(chip.interruptAsserted && get(chip, 0x060) == 1)
        chip.configChanged()
        #expect(get(chip, 0x060) == 3 && get(chip, 0x0FC) == 1)
        set(&chip, 0x064, 1)
        #expect(chip.interruptAsserted && get(chip, 0x060) == 2)
        set(&chip, 0x064, 2)
        #expect(!chip.interruptAsserted)

        chip.needsReset()
        #expect(get(chip, 0x070) == 15 | 64 && get(chip, 0x060) == 2)
        set(&chip, 0x044, 0)
        #expect(device.queues.isEmpty && get(chip, 0x044) == 0)
        set(&chip, 0x070, 0)
        #expect(get(chip, 0x070) == 0 && !chip.interruptAsserted)
    }

    @Test func queueThatIsNotThereReadsAsNone() {
        var chip = make()
        set(&chip, 0x030, 3)
        #expect(get(chip, 0x034) == 0)
        set(&chip, 0x044, 1)
        set(&chip, 0x030, 0x1_0000)
        #expect(get(chip, 0x034) == 0, "not queue 0")
        #expect(device.queues.isEmpty)
    }

    @Test func randomAccessesNeitherTrapNorTellARestoredChipApart() throws {
        var random = SplitMix64(seed: 7)
        var (one, other) = (make(), make())
        for step in 0..<100_000 {
            let (offset, value) = (UInt32(random.next() & 0x1FC), UInt32(truncatingIfNeeded: random.next()))
            let width: UInt8 = [1, 2, 4, 4][Int(random.next() & 3)]
            let small = random.next() & 1 == 0 ? value & 15 : value
            switch random.next() % 8 {
            case 0:
                one.usedBuffers()
                other.usedBuffers()
            case 1...3:
                #expect(
                    one.read(offset, width: width, isPeek: false, device)
                        == other.read(offset, width: width, isPeek: false, device))
            default:
                one.write(offset, width: width, small, device)
                other.write(offset, width: width, small, device)
            }
            guard step % 97 == 0 else { continue }
            other = make()
            let state = try #require(VirtioNegotiation.State(bytes: one.negotiation.state.bytes, of: Self.identity))
            let isRestored = other.restore(state)
            #expect(isRestored)
        }
        #expect(one.negotiation.state == other.negotiation.state)
        #expect(!device.kicks.isEmpty || !device.statuses.isEmpty)
    }
}
