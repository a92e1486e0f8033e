import BackendSupport
import CBackendSupport
import Glibc
import TapDevices
import Testing

private let canMakeDevices: Bool = {
    let can = geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 && (try? TapDevice(name: "bp-probe")) != nil
    if !can { print("tap devices are not tested: this user may not make them, or there is no /dev/net/tun") }
    return can
}()

@Suite(.serialized) struct TapDeviceTests {
    @Test(arguments: ["", "a/b", "tap 0", "sixteen-letters-", "..", "tap:0", "t%d", "t\u{e9}"])
    func namesThatAreNoneAreRefused(_ name: String) {
        #expect(
            throws: TapDevice.Problem(
                text: "'\(name)' is no name of a network device: up to 15 letters, digits and the like")
        ) {
            try TapDevice.check(name: name)
        }
    }

    @Test(.enabled(if: canMakeDevices)) func deviceIsUsedOnce() throws {
        let device = try TapDevice(name: "bp-once")
        #expect(throws: TapDevice.Problem(text: "the tap device 'bp-once' is in use by another program")) {
            _ = try TapDevice(name: "bp-once")
        }
        #expect(throws: TapDevice.Problem(text: "the network device 'lo' is no tap device, or one of several queues")) {
            _ = try TapDevice(name: "lo")
        }
        withExtendedLifetime(device) {}
    }

    /// What the host sends by it is read, and what is written the host receives: it answers a request for its address.
    @Test(.enabled(if: canMakeDevices)) func framesGoBothWays() throws {
        let device = try TapDevice(name: "bp-both")
        let down = [UInt8](repeating: 0xFF, count: 60).withUnsafeBytes { device.descriptor.write($0) }
        #expect(down == .failed(EIO), "it is down")
        #expect(system("ip address add 192.0.2.1/24 dev bp-both && ip link set bp-both up") == 0)
        // RFC 826: who has 192.0.2.1?
        let request =
            [UInt8](repeating: 0xFF, count: 6) + [0x52, 0x54, 0, 1, 2, 3] + [0x08, 0x06]
            + [0, 1, 8, 0, 6, 4, 0, 1] + [0x52, 0x54, 0, 1, 2, 3] + [192, 0, 2, 77] + [0, 0, 0, 0, 0, 0] + [
                192, 0, 2, 1,
            ]
        let written = request.withUnsafeBytes { device.descriptor.write($0) }
        #expect(written == .bytes(request.count))
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: TapDevice.longestFrame)
        // Others than the answer come too: IPv6 looks for its neighbours.
        for _ in 0..<1000 where answer.isEmpty {
            guard bh_poll(device.descriptor.raw, Int16(POLLIN), 10_000) != 0 else { break }
            guard case .bytes(let count) = buffer.withUnsafeMutableBytes({ device.descriptor.read(into: $0) }) else {
                break
            }
            if buffer[12] == 8, buffer[13] == 6, buffer[21] == 2 { answer = Array(buffer[..<count]) }
        }
        #expect(answer.count >= 42 && Array(answer[28..<32]) == [192, 0, 2, 1])
    }
}
