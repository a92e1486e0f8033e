import BackendSupport
import PluginKit
import RFBClient
import Testing

@testable import RemoteDisplay

/// Milliseconds that pass when the test says so.
private final class Time: @unchecked Sendable {
    private let monitor = Monitor()
    private var now: Int64 = 1000

    func locked<R>(_ body: (inout Int64) -> R) -> R { monitor.locked { body(&now) } }
}

/// A hub between a device that the test plays and clients without sockets.
private final class Stage: @unchecked Sendable {
    private let monitor = Monitor()
    private var posted: [UInt] = []
    private let time = Time()
    private(set) var hub: DisplayHub!
    var clients: [Int: RFBClient] = [:]

    init(isRunning: Bool = true) {
        let link = HostLink(
            post: { [unowned self] argument in
                monitor.locked { posted.append(argument) }
                return true
            }, log: { _, _ in })
        hub = DisplayHub(
            name: "hub", link: link, posts: .init(refresh: 1, refreshAll: 2, input: 3),
            clock: { [time] in time.locked { $0 } }, wake: {})
        if isRunning { hub.run(true, pointer: []) }
    }

    func takePosts() -> [UInt] {
        monitor.locked {
            defer { posted = [] }
            return posted
        }
    }

    func request(_ viewer: Int, isIncremental: Bool) {
        let bytes = clients[viewer]?.request(isIncremental: isIncremental) ?? []
        clients[viewer]?.toSend += bytes
    }

    func join(isShared: Bool = true) -> Int {
        let viewer = hub.open()
        clients[viewer] = RFBClient(isShared: isShared)
        return viewer
    }

    /// Everybody's bytes, and as much time as the hub wants, until `isDone`; at most a minute of it.
    func play(until isDone: () -> Bool) throws {
        let end = time.locked { $0 + 60_000 }
        while !isDone(), time.locked({ $0 < end }) {
            let wait = hub.turn()
            for viewer in Array(clients.keys) { try serve(viewer) }
            pass(Int64(min(wait, 5)))
        }
    }

    func pass(_ milliseconds: Int64) { time.locked { $0 += milliseconds } }

    private func serve(_ viewer: Int) throws {
        var bytes: [UInt8] = []
        hub.takeOutput(for: viewer) {
            bytes = Array($0)
            return $0.count
        }
        try clients[viewer]?.receive(bytes)
        let toSend = clients[viewer]?.toSend ?? []
        clients[viewer]?.toSend = []
        toSend.withUnsafeBytes { _ = hub.receive($0, from: viewer) }
    }
}

@Suite struct HubTests {
    @Test func nobodyIsAskedWhileNobodyLooks() throws {
        let stage = Stage()
        for _ in 0..<20 { _ = stage.hub.turn() }
        #expect(stage.takePosts() == [])
        let viewer = stage.join()
        try stage.play { stage.takePosts() == [2] }
        #expect(stage.hub.frame(shown(90, 70) { _, _ in 5 }))
        try stage.play { stage.clients[viewer]?.isReady == true }
        #expect(stage.clients[viewer]?.width == 90, "the size is that of the first frame")
        // It has asked for no picture yet.
        for _ in 0..<5 {
            stage.pass(30)
            _ = stage.hub.turn()
        }
        #expect(stage.takePosts() == [])
    }

    @Test func aClientThatWaitsHasTheDeviceAskedOnceAtATime() throws {
        let stage = Stage()
        let viewer = stage.join()
        try stage.play { stage.takePosts() == [2] }
        _ = stage.hub.frame(shown(90, 70) { _, _ in 5 })
        try stage.play { stage.clients[viewer]?.isReady == true }
        stage.request(viewer, isIncremental: false)
        try stage.play { stage.clients[viewer]?.updates == 1 }
        stage.request(viewer, isIncremental: true)
        try stage.play { stage.takePosts() == [1] }
        for _ in 0..<10 { _ = stage.hub.turn() }
        #expect(stage.takePosts() == [])
        // Nothing has changed: it is asked again.
        _ = stage.hub.frame(nil)
        try stage.play { stage.takePosts() == [1] }
        #expect(stage.clients[viewer]?.updates == 1)
        _ = stage.hub.frame(shown(90, 70) { _, _ in 6 })
        try stage.play { stage.clients[viewer]?.updates == 2 }
        #expect(stage.clients[viewer]?.pixels.allSatisfy { $0 == [0, 0, 6] } == true)
    }

    @Test func aMachineThatStandsStillIsNotAsked() throws {
        let stage = Stage(isRunning: false)
        let viewer = stage.join()
        try stage.play { stage.clients[viewer]?.isReady == true }
        #expect(stage.takePosts() == [])
        stage.clients[viewer]?.toSend += RFBClient.key(0x61, isDown: true)
        stage.request(viewer, isIncremental: true)
        try stage.play { stage.clients[viewer]?.updates == 1 }
        #expect(stage.hub.nextInput() == nil)
        stage.request(viewer, isIncremental: true)
        try stage.play { stage.clients[viewer]?.toSend.isEmpty == true }
        stage.hub.run(true, pointer: [])
        var posts: Set<UInt> = []
        try stage.play {
            posts.formUnion(stage.takePosts())
            return posts == [2, 3]
        }
        #expect(stage.hub.nextInput()?.events == [.key(30, down: true)])
    }

    @Test func aSnapshotThatIsNotTakenYetKeepsItsPlace() {
        let stage = Stage()
        #expect(stage.hub.frame(shown(10, 10) { _, _ in 1 }))
        #expect(!stage.hub.frame(shown(10, 10) { _, _ in 2 }))
        _ = stage.hub.turn()
        #expect(stage.hub.frame(shown(10, 10) { _, _ in 2 }))
    }

    @Test func whoWantsToBeAloneHasTheOthersGo() throws {
        let stage = Stage(isRunning: false)
        let first = stage.join()
        try stage.play { stage.clients[first]?.isReady == true }
        stage.clients[first]?.toSend += RFBClient.key(0x61, isDown: true)
        let second = stage.join(isShared: false)
        try stage.play { stage.clients[second]?.isReady == true }
        #expect(stage.hub.takeEnding() == [first])
        stage.hub.close(first)
        stage.hub.run(true, pointer: [])
        #expect(stage.hub.nextInput()?.events == [.key(30, down: true)])
        #expect(stage.hub.nextInput()?.events == [.key(30, down: false)])
    }
}
