import PluginKit
import Synchronization

/// The other end of a serial cable, in the test's hands: records what the guest writes, and types.
final class Recorder: Sendable {
    /// SAFETY: set from connect to disconnect; the test types only while the machine lives.
    private struct Attached: @unchecked Sendable { unowned(unsafe) let instance: RecorderInstance }
    private struct State {
        var text: [UInt8] = []
        var input: [UInt8] = []
        var events: [StreamEvent] = []
        var instance: Attached?
        var wasAttached = false
    }
    private let state = Mutex(State())

    private static let all = Mutex<[String: Recorder]>([:])

    /// `name` is the instance's property, unique in the test process.
    init(_ name: String) { Recorder.all.withLock { $0[name] = self } }

    static func named(_ name: String) -> Recorder? { all.withLock { $0[name] } }

    var text: String { state.withLock { String(decoding: $0.text, as: UTF8.self) } }
    /// CR LF is one Character.
    var lines: [String] { text.split(whereSeparator: \.isNewline).map(String.init) }

    /// What the guest's end has told of itself.
    var events: [StreamEvent] { state.withLock { $0.events } }
    fileprivate func append(_ event: StreamEvent) { state.withLock { $0.events.append(event) } }

    func append(_ bytes: UnsafeRawBufferPointer) {
        let copy = [UInt8](bytes)
        state.withLock { $0.text.append(contentsOf: copy) }
    }

    /// Types text once the guest has asked for it.
    func type(_ text: String) {
        let instance = state.withLock { state in
            state.input.append(contentsOf: text.utf8)
            return state.instance
        }
        instance?.instance.wake()
    }

    fileprivate func attach(_ instance: RecorderInstance?) {
        let attached = instance.map { Attached(instance: $0) }
        state.withLock { state in
            state.instance = attached
            state.wasAttached = state.wasAttached || attached != nil
        }
    }

    fileprivate func take(_ count: Int) -> [UInt8] {
        state.withLock { state in
            let taken = Array(state.input.prefix(count))
            state.input.removeFirst(taken.count)
            return taken
        }
    }

    private var hasGone: Bool { state.withLock { $0.wasAttached && $0.instance == nil } }

    /// Waits until `text` has been written; false where it has not come, and the machine has ended or `patience` with it.
    func waits(for text: String, times: Int = 1) async -> Bool {
        _ = await patiently { self.hasGone || self.text.components(of: text) >= times }
        return self.text.components(of: text) >= times
    }
}

extension String {
    /// How often `part` occurs.
    fileprivate func components(of part: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: part) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}

final class RecorderInstance: Instance {
    static let definition = ClassDefinition.backend(
        "recorder", summary: "a serial cable in the hands of a test",
        properties: [Property("name", .text, required: true, doc: "of the test's Recorder")],
        provides: [Provides("stream/1", doc: "the cable")],
        make: { (host, values) throws(PluginError) in
            guard let recorder = Recorder.named(values.text("name")) else { throw PluginError("no such recorder") }
            return RecorderInstance(host, recorder)
        })

    private let recorder: Recorder
    private var client: StreamClient?
    private var room = 0

    init(_ host: Host, _ recorder: Recorder) {
        self.recorder = recorder
        super.init(host)
    }

    override func connect() throws(PluginError) { recorder.attach(self) }
    override func disconnect() { recorder.attach(nil) }
    override func streamClient(_ index: UInt32, is client: StreamClient) { self.client = client }
    override func streamWritten(_ index: UInt32, _ bytes: UnsafeRawBufferPointer) { recorder.append(bytes) }
    override func streamEventFromClient(_ index: UInt32, _ event: StreamEvent) { recorder.append(event) }
    override func streamReady(_ index: UInt32, room: UInt64) {
        self.room = Int(clamping: room)
        feed()
    }
    override func posted(_ argument: UInt) { feed() }
    func wake() { _ = (try? host.events)?.post(0) }

    private func feed() {
        let bytes = recorder.take(room)
        room -= bytes.count
        if !bytes.isEmpty { bytes.withUnsafeBytes { client?.receive($0) } }
    }
}
