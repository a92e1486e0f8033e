import SplitMix
import Testing
import Virtio
import VirtioNet

// Numbers of virtio 1.2, 5.1.3 and 5.1.6.5.
private let allFeatures = VirtioFeatures(
    rawValue: 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 32)
private let own: [UInt8] = [0x52, 0x54, 0, 1, 2, 3]
private let everybody = [UInt8](repeating: 0xFF, count: 6)
private let group: [UInt8] = [0x33, 0x33, 0, 0, 0, 1]
private let other: [UInt8] = [0x52, 0x54, 0, 9, 9, 9]

private func frame(_ destination: [UInt8], vlan: Int? = nil, count: Int = 60) -> [UInt8] {
    var tag: [UInt8] = []
    if let vlan { tag = [0x81, 0, UInt8(vlan >> 8), UInt8(vlan & 0xFF)] }
    let head: [UInt8] = destination + other + tag + [8, 0]
    return head + [UInt8](repeating: 0, count: max(count - head.count, 0))
}

private func table(_ addresses: [[UInt8]]) -> [UInt8] {
    [UInt8(addresses.count & 0xFF), UInt8(addresses.count >> 8), 0, 0] + Array(addresses.joined())
}

private func tables(_ unicast: [[UInt8]], _ multicast: [[UInt8]]) -> [UInt8] {
    [1, 0] + table(unicast) + table(multicast)
}

@Suite struct ControlTests {
    private var net = VirtioNet(address: own)

    private func tell(_ net: inout VirtioNet, _ bytes: [UInt8], _ features: VirtioFeatures = allFeatures) -> UInt8? {
        ControlCommand(bytes)?.run(on: &net, features).rawValue
    }

    private func heard(_ net: VirtioNet, _ features: VirtioFeatures = allFeatures) -> [Bool] {
        [own, other, group, everybody].map { net.wants(frame($0), features) }
    }

    @Test func driverThatSaysNothingGetsEverything() {
        #expect(heard(net) == [true, true, true, true])
        #expect(heard(net, []) == [true, true, true, true])
        #expect(!net.wants([UInt8](repeating: 0xFF, count: 13), []), "no frame")
    }

    @Test func modesOfReceptionFilter() {
        var net = net
        let told = tell(&net, [0, 0, 0])
        #expect(told == 0 && heard(net) == [true, false, false, true])
        for (command, expected) in [
            (1, [true, false, true, true]), (2, [true, true, false, true]), (4, [false, false, false, true]),
            (5, [true, false, false, false]),
        ] as [(UInt8, [Bool])] {
            let on = tell(&net, [0, command, 1])
            #expect(on == 0 && heard(net) == expected, "command \(command)")
            let off = tell(&net, [0, command, 0])
            #expect(off == 0 && heard(net) == [true, false, false, true])
        }
        let answers = [tell(&net, [0, 1, 1]), tell(&net, [0, 3, 1])]
        #expect(answers == [0, 0] && heard(net) == [true, false, true, true], "what accepts goes first")
        net.reset()
        #expect(heard(net) == [true, true, true, true])
    }

    @Test func tablesNameWhatIsReceivedBesideTheOwnAddress() {
        var net = net
        let answers = [tell(&net, [0, 0, 0]), tell(&net, tables([other], [group]))]
        #expect(answers == [0, 0] && heard(net) == [true, true, true, true])
        #expect(!net.wants(frame([0x52, 0x54, 0, 9, 9, 8]), allFeatures))
        #expect(!net.wants(frame([0x33, 0x33, 0, 0, 0, 2]), allFeatures))
        let emptied = tell(&net, tables([], []))
        #expect(emptied == 0 && heard(net) == [true, false, false, true])
        // More than there is room for: all of that kind.
        let many = (0..<65 as Range<UInt8>).map { [0x33, 0x33, 0, 0, 1, $0] }
        let told = tell(&net, tables([], many))
        #expect(told == 0 && heard(net) == [true, false, true, true])
    }

    @Test func addressIsTheDriversToSet() {
        var net = net
        let answers = [tell(&net, [0, 0, 0]), tell(&net, [1, 1] + other)]
        #expect(answers == [0, 0] && heard(net) == [false, true, false, true])
        #expect(net.readConfig(4, width: 2) == 0x0909)
        let ofGroup = tell(&net, [1, 1] + group)
        #expect(ofGroup == 1 && net.address == other)
        net.writeConfig(0, width: 1, 0x12, VirtioFeatures(rawValue: 1 << 17 | 1 << 23))
        #expect(net.address == other, "not by configuration space where there is a command for it")
        net.reset()
        #expect(net.address == own)
    }

    @Test func vlansAreThoseThatTheDriverNamed() {
        var net = net
        let mode = tell(&net, [0, 0, 0])
        #expect(mode == 0)
        #expect(!net.wants(frame(own, vlan: 5), allFeatures) && net.wants(frame(own), allFeatures))
        #expect(net.wants(frame(own, vlan: 5), VirtioFeatures(rawValue: 1 << 17 | 1 << 18)), "not negotiated: all")
        let added = [tell(&net, [2, 0, 5, 0]), tell(&net, [2, 0, 0xFF, 0x0F])]
        #expect(added == [0, 0])
        #expect([5, 4095, 6].map { net.wants(frame(own, vlan: $0), allFeatures) } == [true, true, false])
        #expect(net.wants(frame(own, vlan: 5 | 0xE000), allFeatures), "its priority is no part of the number")
        let removed = tell(&net, [2, 1, 5, 0])
        #expect(removed == 0 && !net.wants(frame(own, vlan: 5), allFeatures))
        let beyond = tell(&net, [2, 0, 0, 0x10])
        #expect(beyond == 1)
        #expect(!net.wants(Array(frame(own, vlan: 4095).prefix(15)), allFeatures), "a tag that is not whole")
    }

    @Test func whatWasNotNegotiatedOrIsUnknownIsAnError() {
        for command in [
            [0, 0, 0], [0, 2, 1], tables([], []), [1, 1] + own, [2, 0, 5, 0],
        ] as [[UInt8]] {
            var net = net
            #expect(tell(&net, command, .version1) == 1)
            #expect(tell(&net, command, VirtioFeatures(rawValue: 1 << 17)) == 1)
            #expect(heard(net) == [true, true, true, true])
        }
        for command in [
            [0, 6, 1], [0, 0], [0, 0, 2], [0, 0, 0, 0], [1, 2, 0, 0, 0, 0], [1, 1, 1, 2, 3], [1, 0],
            [1, 0, 0, 0, 0, 0],
            [1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0] + own, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
            [2, 2, 0, 0], [2, 0, 5], [3, 0, 0], [4, 0, 1, 0], [255, 255],
        ] as [[UInt8]] {
            var net = net
            #expect(tell(&net, command) == 1, "\(command)")
            #expect(heard(net) == [true, true, true, true] && net.address == own)
        }
        #expect(ControlCommand([]) == nil && ControlCommand([0]) == nil)
    }

    @Test func controlNeedsItsQueue() {
        #expect(VirtioNet.accepts(allFeatures))
        for bit in [18, 19, 20, 23] { #expect(!VirtioNet.accepts(VirtioFeatures(rawValue: 1 << UInt64(bit)))) }
        let identity = net.identity
        #expect(identity.queues == 3 && identity.features.isSuperset(of: allFeatures) && identity.configSize == 12)
    }

    @Test func driverThatKnowsTheMTUGetsNothingLonger() {
        let net = VirtioNet(address: own, mtu: 1000)
        #expect(net.identity.features.rawValue & 8 != 0 && self.net.identity.features.rawValue & 8 == 0)
        #expect(net.readConfig(10, width: 2) == 1000)
        let known = VirtioFeatures(rawValue: 8)
        #expect(net.wants(frame(own, count: 1018), known) && !net.wants(frame(own, count: 1019), known))
        #expect(net.wants(frame(own, count: 1514), []), "one that does not know it gets all")
    }

    @Test func filterIsSavedWhole() throws {
        var net = net
        let answers = [
            tell(&net, [0, 0, 0]), tell(&net, [0, 5, 1]), tell(&net, tables([other], [group, group])),
            tell(&net, [2, 0, 77, 0]),
        ]
        #expect(answers == [0, 0, 0, 0])
        let bytes = net.filter.bytes
        #expect(ReceiveFilter(bytes: bytes) == net.filter)
        for count in 0..<bytes.count { #expect(ReceiveFilter(bytes: Array(bytes.prefix(count))) == nil) }
        #expect(ReceiveFilter(bytes: bytes + [0]) == nil)
        #expect(ReceiveFilter(bytes: [0x40] + bytes.dropFirst()) == nil, "a mode that there is not")
    }

    @Test func randomCommandsTrapNothing() {
        var random = SplitMix64(seed: 13)
        var net = net
        var carriedOut = 0
        for _ in 0..<100_000 {
            var bytes: [UInt8] = [UInt8(random.next() % 4), UInt8(random.next() % 7)]
            bytes += (0..<random.next() % 30).map { _ in
                UInt8(truncatingIfNeeded: random.next() & random.next() & random.next())
            }
            if tell(&net, bytes) == 0 { carriedOut += 1 }
            _ = net.wants(bytes, allFeatures)
        }
        #expect(carriedOut > 200)
        #expect(ReceiveFilter(bytes: net.filter.bytes) == net.filter)
    }
}
