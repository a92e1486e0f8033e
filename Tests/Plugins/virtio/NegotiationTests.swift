import SplitMix
import Testing
import Virtio

/// A device that remembers what it was told.
final class Recorder: VirtioTarget {
    enum Event: Equatable {
        case status(UInt8, UInt64)
        case queue(UInt16, VirtQueue.Layout?)
        case kick(UInt16)
        case write(UInt32, UInt8, UInt32)
    }

    var events: [Event] = []
    var takesFeatures = true

    func status(_ status: UInt8, features: UInt64) -> Bool {
        events.append(.status(status, features))
        return takesFeatures
    }
    func queue(_ number: UInt16, is layout: VirtQueue.Layout?) { events.append(.queue(number, layout)) }
    func kick(_ number: UInt16) { events.append(.kick(number)) }
    func readConfig(_ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32? { 0xC0 + offset }
    func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) { events.append(.write(offset, width, value)) }

    func take() -> [Event] {
        defer { events = [] }
        return events
    }
}

let someIdentity = VirtioIdentity(
    type: 2, features: [.ofQueues, VirtioFeatures(rawValue: 1 << 9)], queues: 2, entries: 256, configSize: 12)

@Suite struct NegotiationTests {
    /// ANY_LAYOUT (27) is for legacy drivers only.
    private static let offered: UInt64 = 1 << 9 | 1 << 28 | 1 << 29 | 1 << 32 | 1 << 40

    private func accept(_ negotiation: inout VirtioNegotiation, _ features: UInt64) {
        for half in 0..<2 as Range<UInt32> {
            negotiation.selectDriverFeatures(half)
            negotiation.acceptFeatures(UInt32(truncatingIfNeeded: features >> (UInt64(half) * 32)))
        }
    }

    @Test func featuresAreReadInHalves() {
        var negotiation = VirtioNegotiation(someIdentity)
        #expect(UInt64(negotiation.deviceFeatures) == Self.offered & 0xFFFF_FFFF)
        negotiation.selectDeviceFeatures(1)
        #expect(UInt64(negotiation.deviceFeatures) == Self.offered >> 32)
        negotiation.selectDeviceFeatures(2)
        #expect(negotiation.deviceFeatures == 0)
        #expect(negotiation.legacyFeatures == 1 << 9 | 1 << 27 | 1 << 28 | 1 << 29)
    }

    /// 3.1.1: reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK, queues, DRIVER_OK.
    @Test func driverBringsTheDeviceUp() {
        let device = Recorder()
        var negotiation = VirtioNegotiation(someIdentity)
        for status in [0, 1, 3] as [UInt8] { negotiation.writeStatus(status, device) }
        accept(&negotiation, 1 << 32 | 1 << 29)
        negotiation.writeStatus(11, device)
        #expect(negotiation.state.status.rawValue == 11)
        negotiation.selectQueue(1)
        negotiation.setQueue {
            ($0.entries, $0.descriptors, $0.driver, $0.device) = (64, 0x1000, 0x2000, 0x3000)
        }
        negotiation.enableQueue(device)
        negotiation.notify(1, device)
        negotiation.writeStatus(15, device)
        negotiation.notify(1, device)
        negotiation.notify(0, device)
        negotiation.notify(7, device)
        let features: UInt64 = 1 << 32 | 1 << 29
        #expect(
            device.take() == [
                .status(0, 0), .status(1, 0), .status(3, 0), .status(11, features),
                .queue(1, .init(entries: 64, descriptors: 0x1000, driver: 0x2000, device: 0x3000)),
                .status(15, features), .kick(1),
            ])
        negotiation.writeStatus(0, device)
        #expect(device.take() == [.status(0, 0)])
        #expect(negotiation.state.queues.allSatisfy { !$0.isEnabled && $0.entries == 256 })
    }

    @Test(arguments: [0, 1 << 29, 1 << 32 | 1 << 3, 1 << 32 | 1 << 27, 1 << 32 | 1 << 50] as [UInt64])
    func featuresThatWereNotOfferedOrLackVersion1AreNotOK(_ features: UInt64) {
        let device = Recorder()
        var negotiation = VirtioNegotiation(someIdentity)
        negotiation.writeStatus(3, device)
        accept(&negotiation, features)
        negotiation.writeStatus(11, device)
        #expect(negotiation.state.status.rawValue == 3)
    }

    @Test func deviceMayRefuseFeatures() {
        let device = Recorder()
        device.takesFeatures = false
        var negotiation = VirtioNegotiation(someIdentity)
        accept(&negotiation, 1 << 32)
        negotiation.writeStatus(11, device)
        #expect(negotiation.state.status.rawValue == 3)
    }

    @Test func featuresStayOnceTheyAreOK() {
        let device = Recorder()
        var negotiation = VirtioNegotiation(someIdentity)
        accept(&negotiation, 1 << 32)
        negotiation.writeStatus(11, device)
        accept(&negotiation, 1 << 32 | 1 << 28)
        #expect(negotiation.state.accepted.rawValue == 1 << 32)
    }

    @Test func deviceIsKeptFromMemoryWhileItIsNoBusMaster() {
        let device = Recorder()
        var negotiation = VirtioNegotiation(someIdentity)
        negotiation.setMayUseMemory(false, device)
        accept(&negotiation, 1 << 32)
        negotiation.writeStatus(11, device)
        negotiation.writeStatus(15, device)
        negotiation.setMayUseMemory(true, device)
        negotiation.setMayUseMemory(false, device)
        let features: UInt64 = 1 << 32
        #expect(
            device.take() == [
                .status(11, features), .status(11, features), .status(15, features), .status(11, features),
            ])
        #expect(negotiation.state.status.rawValue == 15)
    }

    @Test func queueIsLaidOutByPagesForLegacyDrivers() {
        let device = Recorder()
        var negotiation = VirtioNegotiation(someIdentity)
        negotiation.acceptLegacyFeatures(.max)
        negotiation.setLegacyPage(0x10, device)
        #expect(negotiation.legacyPage == 0x10)
        // 256 descriptors of 16 bytes; then 6 + 2 * 256 bytes; then the next page.
        #expect(
            device.take() == [
                .queue(0, .init(entries: 256, descriptors: 0x10000, driver: 0x11000, device: 0x12000))
            ])
        negotiation.writeStatus(7, isLegacy: true, device)
        let features: UInt64 = 1 << 9 | 1 << 27 | 1 << 28 | 1 << 29
        #expect(device.take() == [.status(7, features)])
        negotiation.setLegacyPage(0, device)
        #expect(device.take() == [.queue(0, nil)])
    }

    @Test func queueCannotBeMovedWhileItIsEnabled() {
        let device = Recorder()
        var negotiation = VirtioNegotiation(someIdentity)
        negotiation.enableQueue(device)
        negotiation.setQueue { $0.descriptors = 0x1000 }
        negotiation.enableQueue(device)
        #expect(device.take().count == 1 && negotiation.queue?.descriptors == 0)
        negotiation.resetQueue(device)
        negotiation.setQueue { $0.entries = 100 }
        negotiation.enableQueue(device)
        #expect(device.take() == [.queue(0, nil)], "100 is no power of two")
    }

    @Test func configurationEndsWhereTheDeviceSays() {
        let device = Recorder()
        let negotiation = VirtioNegotiation(someIdentity)
        #expect(negotiation.readConfig(8, width: 4, isPeek: false, device) == 0xC8)
        for (offset, width) in [(12, 1), (9, 4), (10, 4), (1, 2), (0, 8), (.max, 1)] as [(UInt32, UInt8)] {
            #expect(negotiation.readConfig(offset, width: width, isPeek: false, device) == .max)
            negotiation.writeConfig(offset, width: width, 1, device)
        }
        negotiation.writeConfig(4, width: 2, 7, device)
        #expect(device.take() == [.write(4, 2, 7)])
    }

    @Test func deviceThatNeedsAResetSaysSoUntilItGetsOne() {
        let device = Recorder()
        var negotiation = VirtioNegotiation(someIdentity)
        let isTold = negotiation.needsReset()
        #expect(!isTold, "no driver is there")
        negotiation.writeStatus(1, device)
        #expect(negotiation.state.status.rawValue == 65)
        negotiation.writeStatus(0, device)
        #expect(negotiation.state.status.isEmpty)
    }

    @Test func stateComesBackFromItsBytesAndForgedOnesAreRefused() throws {
        let device = Recorder()
        var random = SplitMix64(seed: 3)
        for _ in 0..<2000 {
            var negotiation = VirtioNegotiation(someIdentity)
            for _ in 0..<30 { operate(&negotiation, device, &random) }
            let bytes = negotiation.state.bytes
            var other = VirtioNegotiation(someIdentity)
            let saved = try #require(VirtioNegotiation.State(bytes: bytes, of: someIdentity))
            let isRestored = other.restore(saved)
            #expect(isRestored && other.state == negotiation.state)
            #expect(VirtioNegotiation.State(bytes: Array(bytes.dropLast()), of: someIdentity) == nil)
            var forged = bytes
            forged[Int(random.next() % UInt64(forged.count))] ^= UInt8(truncatingIfNeeded: random.next())
            if let state = VirtioNegotiation.State(bytes: forged, of: someIdentity), other.restore(state) {
                for _ in 0..<10 { operate(&other, device, &random) }
            }
        }
    }

    private func operate(_ negotiation: inout VirtioNegotiation, _ device: Recorder, _ random: inout SplitMix64) {
        let value = random.next()
        switch random.next() % 12 {
        case 0:
            negotiation.writeStatus(
                [0, 1, 3, 11, 15, 15, 15, UInt8(truncatingIfNeeded: value)][Int(value >> 8 & 7)], device)
        case 1: accept(&negotiation, value % 3 == 0 ? value : 1 << 32 | value & 1 << 29)
        case 2: negotiation.selectQueue(UInt16(value & 3))
        case 3: negotiation.setQueue { $0.entries = value % 2 == 0 ? 128 : UInt16(truncatingIfNeeded: value) }
        case 4: negotiation.setQueue { $0.descriptors = value & ~15 }
        case 5: negotiation.enableQueue(device)
        case 6: negotiation.resetQueue(device)
        case 7: negotiation.setLegacyPage(UInt32(truncatingIfNeeded: value), device)
        case 8: negotiation.notify(UInt16(value & 3), device)
        case 9: negotiation.setMayUseMemory(value & 1 != 0, device)
        case 10: negotiation.interrupt(value & 1 != 0 ? .usedBuffers : .configuration)
        default: _ = negotiation.needsReset()
        }
        device.events = []
    }
}
