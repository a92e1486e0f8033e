extension ScaffoldSwift {
    static let queue = #"""
        /// Bytes on their way back: the queue only. `@TYPE@Plugin.swift` connects it to a stream.
        public struct @TYPE@Queue: Sendable {
            public static let capacity = 256

            // MARK: State: a snapshot is exactly this

            public struct State: Equatable, Sendable {
                /// At most `capacity`, the oldest first.
                public var waiting: [UInt8] = []
                /// Bytes that found no room.
                public var lost: UInt64 = 0

                public init() {}
            }

            public private(set) var state = State()
            private let isUpperCase: Bool

            /// `isUpperCase`: letters come back as capitals.
            public init(isUpperCase: Bool) {
                self.isUpperCase = isUpperCase
                state.waiting.reserveCapacity(Self.capacity)
            }

            public mutating func reset() { state = State() }

            /// False, and nothing changed, where no queue can have this state.
            public mutating func restore(_ saved: State) -> Bool {
                guard saved.waiting.count <= Self.capacity else { return false }
                state = saved
                return true
            }

            // MARK: In and out

            public mutating func put(_ byte: UInt8) {
                guard state.waiting.count < Self.capacity else {
                    state.lost &+= 1
                    return
                }
                let isLetter = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                state.waiting.append(isUpperCase && isLetter ? byte &- 32 : byte)
            }

            /// The oldest bytes, at most `room`.
            public mutating func take(_ room: UInt64) -> [UInt8] {
                let taken = Array(state.waiting.prefix(Int(clamping: room)))
                state.waiting.removeFirst(taken.count)
                return taken
            }

            // MARK: Pins, derived from the state and never stored

            /// Nobody should put more.
            public var hasEnough: Bool { state.waiting.count >= 192 }
        }

        """#

    static let backendPlugin = #"""
        import PluginKit
        import @TYPE@Queue

        /// A backend for stream/1: an echo. What a device writes comes back as fast as the device can take it. Each callback runs
        /// with the machine's lock held.
        final class @TYPE@Plugin: Instance {
            static let definition = ClassDefinition.backend(
                "@NAME@", summary: "an echo",
                properties: [Property("upper-case", .bool, default: "on", doc: "answers in capitals")],
                provides: [Provides("stream/1", doc: "comes back")],
                methods: [
                    Method(
                        "lost", result: .u64, doc: "Answers how many bytes found no room.",
                        function: { raw in instance(raw, as: @TYPE@Plugin.self).queue.state.lost }
                            as @convention(c) (UnsafeMutableRawPointer?) -> UInt64)
                ],
                make: { (host, values) in @TYPE@Plugin(host, values) })

            private var queue: @TYPE@Queue
            /// The device; nil: not wired.
            private var client: StreamClient?
            /// Bytes that the device can take.
            private var room: UInt64 = 0
            /// The device was told to write no more.
            private var isThrottled = false

            init(_ host: Host, _ values: Values) {
                queue = @TYPE@Queue(isUpperCase: values.bool("upper-case"))
                super.init(host)
            }

            override func reset(warm: Bool) {
                queue.reset()
                settle()
            }

            /// After a load too: the device learns what it has to know.
            override func start() throws(PluginError) { settle() }

            // MARK: stream/1: what the device calls

            override func streamClient(_ index: UInt32, is client: StreamClient) { self.client = client }

            override func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) {
                for byte in bytes { queue.put(byte) }
                settle()
            }

            override func streamReady(_ index: UInt32, room: UInt64) {
                self.room = room
                settle()
            }

            /// Sends what the device can take, and tells it to wait or to go on.
            private func settle() {
                guard let client else { return }
                let bytes = queue.take(room)
                if !bytes.isEmpty {
                    room -= UInt64(bytes.count)
                    // Copied, where the device is busy.
                    bytes.withUnsafeBytes { client.receive($0) }
                }
                guard queue.hasEnough != isThrottled else { return }
                isThrottled = queue.hasEnough
                client.throttle(isThrottled)
            }

            // MARK: State: tagged fields; what comes back is hostile

            override func save(to state: StateWriter) throws(PluginError) {
                state.put("waiting", queue.state.waiting)
                state.put("lost", queue.state.lost)
                state.put("room", room)
            }

            override func load(version: UInt32, from state: StateReader) throws(PluginError) {
                var saved = @TYPE@Queue.State()
                saved.waiting = try state.get("waiting", count: nil)
                saved.lost = try state.get("lost")
                let savedRoom: UInt64 = try state.get("room")
                guard queue.restore(saved) else { throw PluginError("more bytes wait than there is room for") }
                room = savedRoom
            }
        }

        let library = Library(
            "@NAME@", version: "0.1", summary: "an echo", licence: "NONE", classes: [@TYPE@Plugin.definition])

        /// The one symbol of the library.
        @c(backplane_plugin)
        public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
            library.descriptor(hostMajor: major, hostMinor: minor)
        }

        """#

    static let queueTests = #"""
        import Testing
        import @TYPE@Queue

        @Suite struct @TYPE@QueueTests {
            private func filled(_ count: Int) -> @TYPE@Queue {
                var queue = @TYPE@Queue(isUpperCase: false)
                for number in 0..<count { queue.put(UInt8(truncatingIfNeeded: number)) }
                return queue
            }

            @Test func lettersAloneBecomeCapitals() {
                var queue = @TYPE@Queue(isUpperCase: true)
                for byte in "aQz{`9".utf8 { queue.put(byte) }
                #expect(queue.take(9) == Array("AQZ{`9".utf8))
            }

            @Test func noMoreIsTakenThanThereIsRoomFor() {
                var queue = filled(3)
                #expect(queue.take(2) == [0, 1])
                #expect(queue.take(.max) == [2])
                #expect(queue.take(1) == [])
            }

            @Test func whatDoesNotFitIsLostAndCounted() {
                let queue = filled(258)
                #expect(queue.state.waiting.count == 256)
                #expect(queue.state.lost == 2)
            }

            @Test func itHasEnoughUntilMostIsTaken() {
                var queue = filled(191)
                #expect(!queue.hasEnough)
                queue.put(0)
                #expect(queue.hasEnough)
                _ = queue.take(1)
                #expect(!queue.hasEnough)
            }

            @Test func aStateThatNoQueueCanHaveIsRefused() {
                var queue = filled(1)
                var saved = queue.state
                saved.waiting = [UInt8](repeating: 0, count: 257)
                let isAccepted = queue.restore(saved)
                #expect(!isAccepted)
                #expect(queue.state.waiting == [0])
            }
        }

        """#
}
