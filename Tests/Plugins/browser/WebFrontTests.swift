import BackendSupport
import CBackplane
import Glibc
import Pictures
import PluginKit
import RFBClient
import Testing

@testable import RemoteDisplay
@testable import WebFront

/// A web server before a device that the test plays: each refresh is answered with a picture of another colour.
private final class Machine: @unchecked Sendable {
    private let monitor = Monitor()
    private var color: UInt8 = 0
    private var isAsked = false
    private var isEnded = false
    private var thread: WorkerThread?
    private(set) var front: WebFront!
    private let folder: String

    init() throws {
        var template = Array("/tmp/backplane-web-XXXXXX".utf8CString)
        folder = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
        // All members have their values: closures may have self from here on.
        mkdir(folder + "/core", 0o755)
        Self.write(folder + "/vnc.html", "<html>the page</html>")
        Self.write(folder + "/core/rfb.js", String(repeating: "x", count: 100_000))
        let link = HostLink(
            post: { [unowned self] argument in
                monitor.locked {
                    if argument != 3 { isAsked = true }
                    monitor.wake()
                }
                return true
            }, log: { _, _ in })
        front = try WebFront(
            port: 0, files: folder, name: "machine", link: link, posts: .init(refresh: 1, refreshAll: 2, input: 3))
        try front.start()
        front.hub.run(true, pointer: [])
        thread = try WorkerThread("device") { [unowned self] in
            while waitForAsk() { show() }
        }
    }

    deinit {
        for name in ["/vnc.html", "/core/rfb.js"] { unlink(folder + name) }
        rmdir(folder + "/core")
        rmdir(folder)
    }

    private static func write(_ path: String, _ text: String) {
        guard let file = fopen(path, "w") else { return }
        fputs(text, file)
        fclose(file)
    }

    private func waitForAsk() -> Bool {
        monitor.locked {
            while !isAsked, !isEnded { monitor.wait() }
            isAsked = false
            return !isEnded
        }
    }

    private func show() {
        color &+= 1
        var surface = bp_display_surface()
        surface.format = UInt32(BP_PIXELS_XRGB8888)
        (surface.width, surface.height, surface.stride) = (320, 200, 320 * 4)
        let region = [UInt8](repeating: color, count: 320 * 200 * 4)
        let copy = region.withUnsafeBytes {
            PixelCopy(surface, $0, palette: UnsafeRawBufferPointer(start: nil, count: 0))
        }
        _ = front.hub.frame(copy.map { .pixels($0) })
    }

    func stop() -> Bool {
        monitor.locked {
            isEnded = true
            monitor.wake()
        }
        return thread?.join(milliseconds: 30_000) == true && front.stop(milliseconds: 30_000)
    }

    func client() throws -> WebClient { try WebClient(port: front.policy.port) }
    var screen: String { "/screen?token=" + front.policy.token }
}

@Suite struct WebFrontTests {
    @Test func thePageAndItsFilesAreServed() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let client = try machine.client()
        let page = client.ask("/vnc.html?autoconnect=true")
        #expect(page?.status == 200 && page?.headers["content-type"] == "text/html; charset=utf-8")
        #expect(page.map { String(decoding: $0.body, as: UTF8.self) } == "<html>the page</html>")
        // In the same connection.
        #expect(client.ask("/core/rfb.js")?.body.count == 100_000)
        let way = client.ask("/?token=" + machine.front.policy.token)
        #expect(way?.status == 302 && way?.headers["location"]?.hasPrefix("/vnc.html?") == true)
    }

    @Test func whatIsNotThereOrNotOursIsRefused() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        for (target, status) in [
            ("/", 403), ("/?token=wrong", 403), ("/none.js", 404), ("/core", 404), ("/../../../../etc/passwd", 404),
            ("/core/../../../etc/hosts.js", 404), ("/%2e%2e/%2e%2e/etc/passwd", 404), ("/core%2f..%2f..%2fx.js", 404),
        ] {
            #expect(try machine.client().ask(target)?.status == status, "\(target)")
        }
        #expect(try machine.client().ask("/vnc.html", host: "evil.example")?.status == 403)
        #expect(try machine.client().ask("/vnc.html", method: "POST", "Content-Length: 0")?.status == 405)
    }

    @Test func theScreenIsRefusedWithoutItsTokenAndToForeignPages() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let screen = machine.screen
        #expect(try machine.client().upgrade("/screen")?.status == 403)
        #expect(try machine.client().upgrade("/screen?token=0")?.status == 403)
        #expect(try machine.client().upgrade(screen + "0")?.status == 403)
        #expect(try machine.client().upgrade("/vnc.html")?.status == 403)
        #expect(try machine.client().upgrade(screen, origin: "http://evil.example")?.status == 403)
        let port = machine.front.policy.port
        #expect(
            try machine.client().upgrade(screen, host: "evil.example:\(port)", origin: "http://evil.example:\(port)")?
                .status == 403)
        let good = try machine.client().upgrade(screen)
        // Section 1.3 has this key and this answer.
        #expect(good?.status == 101 && good?.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test func theScreenComesInBinaryMessages() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let web = try machine.client()
        #expect(web.upgrade(machine.screen)?.status == 101)
        var client = RFBClient()
        #expect(try web.wait(&client) { $0.isReady })
        #expect((client.width, client.height, client.name) == (320, 200, "machine"))
        client.toSend += client.request(isIncremental: false)
        #expect(try web.wait(&client) { $0.updates == 1 })
        let first = client.pixels[0]
        client.toSend += client.request(isIncremental: true)
        #expect(try web.wait(&client) { $0.updates == 2 })
        #expect(client.pixels[0] != first && Set(client.pixels).count == 1)
        web.send(frame: 2, RFBClient.key(0x61, isDown: true))
        while true {
            if let packet = machine.front.hub.nextInput() {
                #expect(packet.events == [.key(30, down: true)])
                break
            }
            usleep(1000)
        }
    }

    @Test func aMessageMayComeInFragments() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let web = try machine.client()
        #expect(web.upgrade(machine.screen)?.status == 101)
        #expect(web.frame()?.payload == Array("RFB 003.008\n".utf8))
        web.send(frame: 2, Array("RFB 0".utf8), isFinal: false)
        web.send(frame: 9, [1, 2, 3])
        web.send(frame: 0, Array("03.008\n".utf8))
        var opcodes: [UInt8] = []
        for _ in 0..<2 {
            guard let frame = web.frame() else { break }
            opcodes.append(frame.opcode)
            #expect(frame.payload == (frame.opcode == 10 ? [1, 2, 3] : [1, 1]))
        }
        #expect(opcodes.sorted() == [2, 10])
    }

    @Test func garbageEndsTheConnectionAndNoOther() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let other = try machine.client()
        #expect(other.upgrade(machine.screen)?.status == 101)
        var client = RFBClient()
        #expect(try other.wait(&client) { $0.isReady })
        let ways: [(WebClient) -> Void] = [
            { $0.send(frame: 2, Array("not RFB at all".utf8)) },
            { $0.send(frame: 1, Array("RFB 003.008\n".utf8)) },
            { $0.send(frame: 7, [1]) },
            { $0.send([0xC2, 0x85, 0, 0, 0, 0, 1, 2, 3, 4, 5]) },
            {
                $0.send(
                    [0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]
                        + [UInt8](repeating: 7, count: 100))
            },
        ]
        for way in ways {
            let web = try machine.client()
            #expect(web.upgrade(machine.screen)?.status == 101)
            #expect(web.frame()?.payload == Array("RFB 003.008\n".utf8))
            way(web)
            var frame = web.frame()
            // A frame of close may come before the end.
            while frame?.opcode == 8 { frame = web.frame() }
            #expect(frame == nil)
        }
        let silent = try machine.client()
        silent.send([UInt8](repeating: 0x41, count: 1 << 20))
        client.toSend += client.request(isIncremental: false)
        #expect(try other.wait(&client) { $0.updates > 0 })
    }

    @Test func aBrowserThatTakesNothingKeepsNobodyElseWaiting() throws {
        let machine = try Machine()
        defer { #expect(machine.stop()) }
        let stalled = try machine.client()
        #expect(stalled.upgrade(machine.screen)?.status == 101)
        var stalledClient = RFBClient()
        #expect(try stalled.wait(&stalledClient) { $0.isReady })
        for _ in 0..<200 { stalled.send(frame: 2, stalledClient.request(isIncremental: false)) }
        let web = try machine.client()
        #expect(web.upgrade(machine.screen)?.status == 101)
        var client = RFBClient()
        #expect(try web.wait(&client) { $0.isReady })
        for count in 1...5 {
            client.toSend += client.request(isIncremental: true)
            #expect(try web.wait(&client) { $0.updates == count })
        }
        withExtendedLifetime(stalled) {}
    }

    @Test func furtherScreensAreTurnedAwayAndAllEndWithTheServer() throws {
        let machine = try Machine()
        var browsers: [WebClient] = []
        for _ in 0..<WebFront.viewerLimit {
            let web = try machine.client()
            #expect(web.upgrade(machine.screen)?.status == 101 && web.frame() != nil)
            browsers.append(web)
        }
        let further = try machine.client()
        #expect(further.upgrade(machine.screen)?.status == 101)
        #expect(further.frame().map { $0.opcode == 8 } ?? true)
        #expect(machine.stop())
        for web in browsers { #expect(web.frame().map { $0.opcode == 8 } ?? true) }
    }
}
