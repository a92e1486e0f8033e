import Testing
import UserNetwork

/// What a machine file can say of the network, and the addresses that QEMU's users know.
@Suite struct NetworkSettingsTests {
    private func settings(_ network: String = "10.0.2.0/24", _ forwards: String...) throws -> NetworkSettings {
        try NetworkSettings(network: network, forwards: forwards)
    }

    private func complaint(_ network: String = "10.0.2.0/24", _ forwards: String...) -> String {
        do {
            _ = try NetworkSettings(network: network, forwards: forwards)
            return ""
        } catch { return error.text }
    }

    @Test func addressesAreThoseThatPeopleKnow() throws {
        let settings = try settings()
        #expect(settings.gateway.description == "10.0.2.2" && settings.nameServer.description == "10.0.2.3")
        #expect(settings.firstGuest.description == "10.0.2.15" && settings.mask.description == "255.255.255.0")
        let other = try self.settings("192.168.76.0/27")
        #expect(other.firstGuest.description == "192.168.76.15" && other.mask.description == "255.255.255.224")
    }

    @Test(arguments: [
        "10.0.2.0", "10.0.2.0/7", "10.0.2.0/28", "10.0.2/24", "a.b.c.d/24", "10.0.2.0/x", "10.0.2.256/24", "/", "",
    ])
    func networksThatAreNoneAreRefused(_ text: String) {
        #expect(complaint(text).contains("'\(text)' is not ADDRESS/BITS"))
    }

    @Test func hostBitsAreNamed() {
        #expect(
            complaint("10.0.2.15/24") == "network: 10.0.2.15/24 has bits of a host in it; the network is 10.0.2.0/24")
    }

    /// As a machine file's parameter gives them, which may be empty.
    @Test func severalForwardsMayHaveCommasBetween() throws {
        #expect(try settings("10.0.2.0/24", "tcp:2222:22,udp:53:53").forwards.map(\.guestPort) == [22, 53])
        #expect(try settings("10.0.2.0/24", "").forwards.isEmpty)
    }

    @Test func forwardsHaveFourForms() throws {
        let forwards = try settings(
            "10.0.2.0/24", "tcp:2222:22", "udp:0.0.0.0:5353:53", "tcp:8080:10.0.2.20:80",
            "tcp:127.0.0.2:1:10.0.2.16:65535"
        ).forwards
        #expect(forwards.map(\.isUDP) == [false, true, false, false])
        #expect(forwards.map(\.hostAddress.description) == ["127.0.0.1", "0.0.0.0", "127.0.0.1", "127.0.0.2"])
        #expect(forwards.map(\.hostPort) == [2222, 5353, 8080, 1])
        #expect(forwards.map { $0.guestAddress?.description } == [nil, nil, "10.0.2.20", "10.0.2.16"])
        #expect(forwards.map(\.guestPort) == [22, 53, 80, 65535])
    }

    @Test(arguments: [
        "tcp", "tcp:22", "tcp:2222:", "tcp:2222:22:", "sctp:1:2", "tcp:0:22", "tcp:65536:22", "tcp:-1:22",
        "tcp:+1:22",
        "tcp:1.2.3:22:22", "tcp:2222:22:1.2.3.4", "TCP:1:2", "tcp: 1:2",
    ])
    func forwardsThatAreNoneAreRefused(_ text: String) {
        #expect(complaint("10.0.2.0/24", text).hasPrefix("forward: '\(text)' is not PROTOCOL:"))
    }
}
