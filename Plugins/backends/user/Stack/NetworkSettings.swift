/// An IPv4 address: the first byte is the most significant.
public struct IPv4Address: Equatable, Hashable, Sendable, CustomStringConvertible {
    public var value: UInt32

    public init(_ value: UInt32) { self.value = value }

    /// Four decimal numbers with dots.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.allSatisfy(\.isASCII) && $0.first != "+" ? UInt8($0) : nil }
        guard parts.count == 4, bytes.count == 4 else { return nil }
        value = bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    public var description: String {
        [24, 16, 8, 0].map { String(value >> $0 & 0xFF) }.joined(separator: ".")
    }
}

/// What the machine file says of a network, checked.
public struct NetworkSettings: Equatable, Sendable {
    public struct Problem: Error, Equatable, Sendable {
        public var text: String
    }

    /// A port of the host that leads to one of the guest.
    public struct Forward: Equatable, Sendable {
        public var isUDP: Bool
        /// Where the host listens.
        public var hostAddress: IPv4Address
        public var hostPort: UInt16
        /// nil: the first address that DHCP gives.
        public var guestAddress: IPv4Address?
        public var guestPort: UInt16

        /// `tcp:2222:22`, with an address before either port, too: `udp:0.0.0.0:53:10.0.2.20:53`.
        public init(_ text: String) throws(Problem) {
            let problem = Problem(
                text: "'\(text)' is not PROTOCOL:[HOST-ADDRESS:]PORT:[GUEST-ADDRESS:]PORT, such as tcp:2222:22")
            var parts = text.split(separator: ":", omittingEmptySubsequences: false)[...]
            func address() -> IPv4Address? {
                guard let first = parts.first, first.contains("."), let address = IPv4Address(first) else { return nil }
                parts.removeFirst()
                return address
            }
            func port() throws(Problem) -> UInt16 {
                guard let first = parts.popFirst(), first.allSatisfy(\.isNumber), let port = UInt16(first), port > 0
                else {
                    throw problem
                }
                return port
            }
            switch parts.popFirst() {
            case "tcp": isUDP = false
            case "udp": isUDP = true
            default: throw problem
            }
            hostAddress = address() ?? IPv4Address(0x7F00_0001)
            hostPort = try port()
            guestAddress = address()
            guestPort = try port()
            guard parts.isEmpty else { throw problem }
        }

        /// As the machine file has it.
        public var text: String {
            let guest = guestAddress.map { "\($0):" } ?? ""
            return (isUDP ? "udp" : "tcp") + ":\(hostAddress):\(hostPort):\(guest)\(guestPort)"
        }
    }

    public var network: IPv4Address
    public var mask: IPv4Address
    public var forwards: [Forward]
    public var hostname = "guest"
    /// The directory that TFTP serves; nil: none.
    public var tftp: String?
    /// What DHCP tells a guest to boot; nil: nothing.
    public var bootFile: String?
    /// Nothing goes out but by forwards.
    public var isRestricted = false
    /// The guest reaches services of the host's own loopback by `gateway`.
    public var reachesHost = true
    public var hasIPv6 = true

    /// - Parameters:
    ///   - network: address and length of its prefix, `10.0.2.0/24`; 8 to 27 bits, for the last address used is the 15th above.
    ///   - forwards: as `Forward` reads them, or several of them with commas between.
    public init(network text: String, forwards: [String]) throws(Problem) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]), parts[1].allSatisfy(\.isNumber),
            let length = UInt32(parts[1]), (8...27).contains(length)
        else { throw Problem(text: "network: '\(text)' is not ADDRESS/BITS with 8 to 27 bits, such as 10.0.2.0/24") }
        mask = IPv4Address(~0 << (32 - length))
        guard address.value & ~mask.value == 0 else {
            throw Problem(
                text:
                    "network: \(text) has bits of a host in it; the network is \(IPv4Address(address.value & mask.value))/\(length)"
            )
        }
        network = address
        self.forwards = []
        for forward in forwards.flatMap({ $0.split(separator: ",") }) {
            do throws(Problem) { self.forwards.append(try Forward(String(forward))) } catch {
                throw Problem(text: "forward: " + error.text)
            }
        }
    }

    /// The host, as the guest sees it: DHCP, TFTP, and the way out.
    public var gateway: IPv4Address { IPv4Address(network.value + 2) }
    public var nameServer: IPv4Address { IPv4Address(network.value + 3) }
    /// The first address that DHCP gives.
    public var firstGuest: IPv4Address { IPv4Address(network.value + 15) }
}
