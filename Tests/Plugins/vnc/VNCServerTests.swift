import BackendSupport
import CBackendSupport
import CBackplane
import Glibc
import Pictures
import PluginKit
import RFBClient
@testable import RemoteDisplay
import SocketEndpoint
import Testing

@testable import VNCServer

/// A server before a device that the test plays: it answers each refresh with a picture of one colour.
private final class Machine: @unchecked Sendable {
    private let monitor = Monitor()
    private var color: UInt8 = 0
    private var hasInput = false
    private var isAsked = false
    private var isEnded = false
    private var thread: WorkerThread?
    private(set) var server: VNCServer!
    let folder: String = {
        var template = Array("/tmp/backplane-vnc-XXXXXX".utf8CString)
        return mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
    }()
    static let (width, height) = (320, 200)

    init() throws {
        let link = HostLink(
            post: { [unowned self] argument in
                monitor.locked {
                    if argument == 3 { hasInput = true } else { isAsked = true }
                    monitor.wake()
                }
                return true
            }, log: { _, _ in })
        server = try VNCServer(
            .path(folder + "/s"), name: "machine", link: link, posts: .init(refresh: 1, refreshAll: 2, input: 3))
        try server.start()
        server.hub.run(true, pointer: [])
        // As a machine does: what is posted is done by another thread.
        thread = try WorkerThread("device") { [unowned self] in
            while waitForAsk() { show() }
        }
    }

    deinit { rmdir(folder) }

    private func waitForAsk() -> Bool {
        monitor.locked {
            while !isAsked, !isEnded { monitor.wait() }
            isAsked = false
            return !isEnded
        }
    }

    func stop() -> Bool {
        monitor.locked {
            isEnded = true
            monitor.wake()
        }
        return thread?.join(milliseconds: 30_000) == true && server.stop(milliseconds: 30_000)
    }

    private func show() {
        let color = monitor.locked {
            self.color &+= 1
            return self.color
        }
        var surface = bp_display_surface()
        surface.format = UInt32(BP_PIXELS_XRGB8888)
        (surface.width, surface.height) = (UInt32(Self.width), UInt32(Self.height))
        surface.stride = surface.width * 4
        let region = [UInt8](repeating: color, count: Self.width * Self.height * 4)
        let copy = region.withUnsafeBytes {
            PixelCopy(surface, $0, palette: UnsafeRawBufferPointer(start: nil, count: 0))
        }
        _ = server.hub.frame(copy.map { .pixels($0) })
    }

    var isTyped: Bool { monitor.locked { hasInput } }
}

private final class Peer {
    let socket: Descriptor
    var client = RFBClient()

    init(_ machine: Machine) throws {
        socket = try SocketAddress.path(machine.folder + "/s").connect().descriptor
    }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            switch rest.withUnsafeBytes({ socket.send($0) }) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock: _ = bh_poll(socket.raw, Int16(POLLOUT), 1000)
            case .end, .failed: return
            }
        }
    }

    /// False: the server has ended the connection, or says nothing for 30 s.
    func wait(until isDone: (RFBClient) -> Bool) throws -> Bool {
        while !isDone(client) {
            send(client.toSend)
            client.toSend = []
            guard bh_poll(socket.raw, Int16(POLLIN), 30_000) > 0 else { return false }
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            guard case .bytes(let count) = bytes.withUnsafeMutableBytes({ socket.read(into: $0) }) else { return false }
            try client.receive(Array(bytes[..<count]))
        }
        send(client.toSend)
        client.toSend = []
        return true
    }

    func look(isIncremental: Bool) throws -> Bool {
        let before = client.updates
        send(client.request(isIncremental: isIncremental))
        return try wait { $0.updates > before }
    }
}

@Suite struct VNCServerTests {
    @Test func aClientSeesWhatComes() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let peer = try Peer(machine)
        #expect(try peer.wait { $0.isReady })
        #expect((peer.client.width, peer.client.height, peer.client.name) == (320, 200, "machine"))
        peer.send(RFBClient.encodings(16))
        #expect(try peer.look(isIncremental: false))
        let first = peer.client.pixels[0]
        for _ in 0..<5 { #expect(try peer.look(isIncremental: true)) }
        #expect(peer.client.pixels[0] != first && Set(peer.client.pixels).count == 1)
    }

    @Test func aClientThatTakesNothingKeepsNobodyElseWaiting() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let stalled = try Peer(machine)
        #expect(try stalled.wait { $0.isReady })
        for _ in 0..<50 { stalled.send(stalled.client.request(isIncremental: false)) }
        let peer = try Peer(machine)
        #expect(try peer.wait { $0.isReady })
        for _ in 0..<5 { #expect(try peer.look(isIncremental: true)) }
        withExtendedLifetime(stalled) {}
    }

    @Test func whatAClientHeldIsLetGoWhenItIsGone() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        var peer: Peer? = try Peer(machine)
        #expect(try peer?.wait { $0.isReady } == true)
        peer?.send(RFBClient.key(0x61, isDown: true))
        while !machine.isTyped { usleep(1000) }
        peer = nil
        let other = try Peer(machine)
        #expect(try other.wait { $0.isReady })
        #expect(try other.look(isIncremental: false))
        // Those of the first client are before.
        other.send(RFBClient.key(0x62, isDown: true))
        var events: [InputEvent] = []
        while events.count < 3 {
            if let packet = machine.server.hub.nextInput() { events += packet.events } else { usleep(1000) }
        }
        #expect(events == [.key(30, down: true), .key(30, down: false), .key(48, down: true)])
    }

    /// As programs do that type: they do not wait for a picture that they have asked for.
    @Test func whatAClientTypedBeforeItWentIsHeard() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        for _ in 0..<50 {
            var peer: Peer? = try Peer(machine)
            #expect(try peer?.wait { $0.isReady } == true)
            let request = peer?.client.request(isIncremental: false) ?? []
            peer?.send(request)
            peer?.send(request + RFBClient.key(0x61, isDown: true) + RFBClient.key(0x61, isDown: false))
            peer = nil
            var events: [InputEvent] = []
            for _ in 0..<30_000 where events.count < 2 {
                if let packet = machine.server.hub.nextInput() { events += packet.events } else { usleep(1000) }
            }
            #expect(events == [.key(30, down: true), .key(30, down: false)])
        }
    }

    @Test func garbageEndsTheConnectionAndNoOther() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let peer = try Peer(machine)
        #expect(try peer.wait { $0.isReady })
        let bad = try Peer(machine)
        bad.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        #expect(try !bad.wait { $0.isReady })
        #expect(try peer.look(isIncremental: false))
    }

    @Test func furtherClientsAreTurnedAwayAndTheSocketGoesWithItsServer() throws {
        let machine = try Machine()
        var peers: [Peer] = []
        for _ in 0..<VNCServer.clientLimit {
            let peer = try Peer(machine)
            #expect(try peer.wait { $0.isReady })
            peers.append(peer)
        }
        let further = try Peer(machine)
        #expect(try !further.wait { $0.isReady })
        #expect(machine.stop())
        for peer in peers { #expect(try !peer.look(isIncremental: false)) }
    }
}

@Suite struct VNCAddressTests {
    @Test func addressesOfThisHostAreTaken() throws {
        #expect(try VNCAddress.parse("127.0.0.1:5900") == .port(5900))
        #expect(try VNCAddress.parse("localhost:0") == .port(0))
        #expect(try VNCAddress.parse("unix:/run/vnc") == .path("/run/vnc"))
    }

    @Test func addressesThatOthersReachAreRefusedWithASentence() {
        for text in ["0.0.0.0:5900", "192.168.1.1:5900", "[::]:5900", "example.org:1"] {
            let error = #expect(throws: SocketAddress.Failure.self) { try VNCAddress.parse(text) }
            #expect(error?.text.contains("can be reached from other hosts") == true, "\(text)")
        }
        for text in ["", "5900", ":5900", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "127.0.0.1:５", "unix:"] {
            #expect(throws: SocketAddress.Failure.self) { try VNCAddress.parse(text) }
        }
    }
}
