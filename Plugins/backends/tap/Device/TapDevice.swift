import BackendSupport
import CBackendSupport
import Glibc

/// A tap device of the host's kernel: what is written here the host receives by it, and what the host sends by it is read here.
public final class TapDevice: Sendable {
    public struct Problem: Error, Equatable, Sendable {
        public var text: String
        public init(text: String) { self.text = text }
    }

    /// Bytes of a frame without its FCS, at most: what the kernel's own are.
    public static let longestFrame = 65_549
    public static let path = "/dev/net/tun"

    public let descriptor: Descriptor

    /// Makes it where it is not there and this process may; then it goes with this object.
    public init(name: String) throws(Problem) {
        try Self.check(name: name)
        descriptor = try Self.open()
        do throws(HostCallError) { try HostCallError.check(Self.attach(descriptor, name)) } catch {
            throw Problem(text: Self.sentence(error, name))
        }
    }

    /// Whom another part of this process starts has what was open here until it is another program: for a moment a device may be in use that nobody has.
    private static func attach(_ descriptor: Descriptor, _ name: String) -> Int32 {
        var result = bh_tap_attach(descriptor.raw, name)
        for _ in 0..<50 where result == -EBUSY {
            usleep(20_000)
            result = bh_tap_attach(descriptor.raw, name)
        }
        return result
    }

    /// What can be said without touching the device.
    public static func check(name: String) throws(Problem) {
        guard (1...15).contains(name.utf8.count), name != ".", name != "..",
            name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") }),
            // The kernel would put a number there.
            !name.contains("%")
        else { throw Problem(text: "'\(name)' is no name of a network device: up to 15 letters, digits and the like") }
        _ = try open()
    }

    private static func open() throws(Problem) -> Descriptor {
        do throws(HostCallError) { return try Descriptor.open(path, O_RDWR | O_NONBLOCK) } catch {
            let isMissing = [ENOENT, ENODEV, ENXIO].contains(error.code)
            throw Problem(
                text: "\(path) cannot be opened: " + error.text
                    + (isMissing ? "; the kernel's module tun makes it" : ""))
        }
    }

    private static func sentence(_ error: HostCallError, _ name: String) -> String {
        switch error.code {
        case EPERM:
            "the tap device '\(name)' is not this user's, and making one takes CAP_NET_ADMIN: root makes it by "
                + "'ip tuntap add dev \(name) mode tap user NAME'"
        case EBUSY: "the tap device '\(name)' is in use by another program"
        case EINVAL: "the network device '\(name)' is no tap device, or one of several queues"
        default: "the tap device '\(name)': " + error.text
        }
    }
}
