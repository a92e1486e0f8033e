import BackendSupport
import Glibc
import Testing
import UserNetwork

/// A card at the network's thread, which gets frames when they are posted.
private final class Card: @unchecked Sendable {
    static let address: [UInt8] = [0x52, 0x54, 0, 1, 2, 3]
    private let posts = Monitor()
    private var count = 0
    private(set) var network: NetworkThread!

    init(_ settings: NetworkSettings) throws {
        let link = HostLink(
            post: { [unowned self] _ in
                posts.locked {
                    count += 1
                    posts.wake()
                }
                return true
            }, log: { _, _ in })
        network = try NetworkThread(settings, link: link, postArgument: 1)
        try network.start()
    }

    func send(_ frame: [UInt8]) { frame.withUnsafeBytes { network.send($0) } }

    /// The first frame that `body` makes something of; nil: none comes in 30 s.
    func wait<T>(for body: ([UInt8]) -> T?) -> T? {
        let deadline = Monitor.Deadline(milliseconds: 30_000)
        while true {
            network.ready(64)
            for frame in network.take(limit: 64) { if let found = body(frame) { return found } }
            let isInTime = posts.locked {
                while count == 0 { if !posts.wait(until: deadline) { return false } }
                count = 0
                return true
            }
            if !isInTime { return nil }
        }
    }

    /// RFC 826.
    static func request(for address: [UInt8]) -> [UInt8] {
        [UInt8](repeating: 0xFF, count: 6) + Card.address + [0x08, 0x06]
            + [0, 1, 8, 0, 6, 4, 0, 1] + Card.address + [10, 0, 2, 15] + [0, 0, 0, 0, 0, 0] + address
    }

    /// RFC 2131: a DISCOVER without options, in UDP without a checksum.
    static var discover: [UInt8] {
        var dhcp: [UInt8] = [1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78] + [UInt8](repeating: 0, count: 20) + Card.address
        dhcp += [UInt8](repeating: 0, count: 236 - dhcp.count) + [0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]
        let udp: [UInt8] = [0, 68, 0, 67] + word(8 + dhcp.count) + [0, 0] + dhcp
        var ip: [UInt8] =
            [0x45, 0] + word(20 + udp.count) + [0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]
        let sum = stride(from: 0, to: 20, by: 2).reduce(0) { $0 + Int(ip[$1]) << 8 + Int(ip[$1 + 1]) }
        ip.replaceSubrange(10..<12, with: word(~(sum & 0xFFFF + sum >> 16) & 0xFFFF))
        return [UInt8](repeating: 0xFF, count: 6) + Card.address + [0x08, 0x00] + ip + udp
    }

    private static func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
}

@Suite struct NetworkThreadTests {
    private func settings(_ forwards: String...) throws -> NetworkSettings {
        try NetworkSettings(network: "10.0.2.0/24", forwards: forwards)
    }

    @Test func theGatewayAnswersARP() throws {
        let card = try Card(settings())
        card.send(Card.request(for: [10, 0, 2, 2]))
        let answer = card.wait { frame in frame.count >= 42 && frame[12..<14] == [8, 6] && frame[21] == 2 ? frame : nil
        }
        #expect(answer.map { Array($0[28..<32]) } == [10, 0, 2, 2], "the sender's protocol address")
        #expect(card.network.stop())
    }

    @Test func dhcpOffersTheFifteenthAddress() throws {
        var settings = try settings()
        settings.bootFile = "boot.ipxe"
        let card = try Card(settings)
        card.send(Card.discover)
        let offer = card.wait { frame in
            frame.count >= 14 + 28 + 240 && frame[23] == 17 && frame[34..<38] == [0, 67, 0, 68] ? frame : nil
        }
        let dhcp = try #require(offer).dropFirst(42)
        #expect(Array(dhcp.dropFirst(16).prefix(4)) == [10, 0, 2, 15], "yiaddr")
        #expect(Array(dhcp.dropFirst(108).prefix(9)) == Array("boot.ipxe".utf8), "file")
        #expect(card.network.stop())
    }

    @Test func aPortThatIsTakenIsAnError() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = UInt16(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        try #require(bound)
        let port = UInt16(bigEndian: address.sin_port)
        let error = #expect(throws: NetworkSettings.Problem.self) { try Card(settings("tcp:\(port):22")) }
        #expect(
            error?.text
                == "forward: the host does not let it listen for tcp:127.0.0.1:\(port):22: Address already in use")
    }

    /// Nobody takes frames: what comes is bounded, and the end is at once.
    @Test func aCardThatTakesNothingBlocksNothing() throws {
        let card = try Card(settings())
        for number in 0..<20_000 {
            card.send(Card.request(for: [10, 0, 2, UInt8(truncatingIfNeeded: 2 + number % 2)]))
        }
        #expect(card.network.counters.sent == 20_000)
        #expect(card.network.stop(milliseconds: 30_000))
    }

    @Test(arguments: 0..<UInt64(8)) func hostileFramesAreOnlyFrames(seed: UInt64) throws {
        let card = try Card(settings())
        var random = SystemRandomNumberGenerator()
        for number in 0..<500 {
            var frame = number % 2 == 0 ? Card.discover : Card.request(for: [10, 0, 2, 2])
            for _ in 0..<4 {
                frame[Int.random(in: 12..<frame.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if number % 5 == 0 { frame = Array(frame.prefix(Int.random(in: 0...frame.count, using: &random))) }
            card.send(frame)
        }
        card.send(Card.request(for: [10, 0, 2, 2]))
        #expect(card.wait { $0.count >= 42 && $0[12..<14] == [8, 6] && $0[21] == 2 ? true : nil } == true)
        #expect(card.network.stop(milliseconds: 30_000))
    }
}
