import BackendSupport
import CBackendSupport
import PluginKit
import SharedFolder
import Virtio
import VirtioKit

/// A folder of the host's that the guest mounts by 9P: `mount -t 9p -o trans=virtio,version=9p2000.L TAG /mnt`.
///
/// Source: virtio 1.2, device type 9, of which it says no more; QEMU's and Linux's tag (VIRTIO_9P_MOUNT_TAG) and one queue, in which a buffer is a message and
/// room for its answer.
final class Virtio9P: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-9p", summary: "a folder of the host's, shared by 9P",
        properties: [
            Property("path", .path, required: true, doc: "the folder; nothing outside of it can be reached"),
            Property(
                "tag", .text, default: "", doc: "by which the guest mounts it, up to 32 characters; empty: its id"),
            Property(
                "mode", .choice, default: "read-write", choices: ["read-write", "read-only"],
                doc: "read-only: the guest changes nothing"),
        ],
        slots: [VirtioDevice.slot],
        methods: [
            Method(
                "statistics", result: .text, doc: "answers, errors among them, and fids in use",
                function: { (raw) in
                    let share = instance(raw, as: Virtio9P.self)
                    share.host.reply(share.statistics)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void)
        ],
        check: { (_, values) throws(PluginError) in _ = try Virtio9P.session(values) },
        make: { (host, values) throws(PluginError) in try Virtio9P(host, values) })

    private static let news: UInt = 1
    /// Virtual ns from a message to its answer where runs repeat exactly.
    private static let latency: UInt64 = 100_000
    private static let mountTag = VirtioFeatures(rawValue: 1 << 0)
    private static let longestTag = 32
    /// Bytes of messages and answers that may be under way together.
    private static let most = 16 << 20

    private struct Job {
        let chain: Chain
        let size: Int
    }

    private let tag: [UInt8]
    private let path: String
    /// nil after disconnect.
    private var worker: FolderWorker?
    private var jobs: [UInt64: Job] = [:]
    private var lastTag: UInt64 = 0
    private var buffered = 0

    private static func session(_ values: Values) throws(PluginError) -> FolderSession {
        let path = values.text("path")
        do throws(HostCallError) {
            return try FolderSession(path: path, isReadOnly: values.choice("mode") == 1)
        } catch { throw PluginError("path: '\(path)' cannot be shared: \(error.text)") }
    }

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let text = values.text("tag")
        tag = Array((text.isEmpty ? host.id : text).utf8)
        guard tag.count <= Self.longestTag else { throw PluginError("tag: more than \(Self.longestTag) characters") }
        path = values.text("path")
        worker = FolderWorker(
            try Self.session(values), link: HostLink(host), postArgument: Self.news)
        if bh_is_root() != 0, values.choice("mode") == 0 {
            host.log(.warning, "this VMM runs as root: its guest can change everything in '\(path)', whosever it is")
        }
        super.init(host)
    }

    private var statistics: String {
        guard let all = worker?.statistics else { return "closed" }
        return "answers \(all.answers), errors \(all.errors), fids \(all.fids), waiting \(all.waiting)"
    }

    override func connectDevice() throws(PluginError) -> VirtioIdentity {
        do throws(HostCallError) { try worker?.start() } catch {
            throw PluginError("a thread cannot be started: " + error.text)
        }
        return VirtioIdentity(
            type: 9, features: [.ofQueues, Self.mountTag], queues: 1, entries: 128, configSize: UInt32(2 + tag.count))
    }

    // MARK: The device

    /// tag_len[2] tag[tag_len]
    override func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        VirtioConfiguration.read([UInt8(tag.count), 0] + tag, offset, width: width)
    }

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        guard let memory, let worker, buffered < Self.most else { return false }
        guard chain.readableLength >= Message.headerSize, chain.writableLength >= Message.errorSize else {
            throw .badRequest
        }
        let longest = UInt32(FolderSession.longestMessage)
        let message = try chain.read(count: min(chain.readableLength, longest), memory)
        let room = Int(min(chain.writableLength, longest))
        lastTag += 1
        jobs[lastTag] = Job(chain: chain, size: message.count + room)
        buffered += message.count + room
        worker.submit(.init(tag: lastTag, message: message, room: room))
        (try? host.events)?.expect(Self.news, after: Self.latency)
        return true
    }

    override func posted(_ argument: UInt) {
        guard let answer = worker?.takeAnswer(), let job = jobs.removeValue(forKey: answer.tag) else { return }
        buffered -= job.size
        if isLive, let memory {
            do throws(VirtQueue.Violation) {
                finish(0, job.chain, written: try job.chain.write(answer.message, memory))
                publish(0)
            } catch { fail(error, 0) }
        }
        resume(0)
        settleQuiet()
    }

    // MARK: Stopping

    override var isBusy: Bool { !jobs.isEmpty }

    /// A driver that begins anew has no fids any more, and one that has failed has no use for them.
    override func abandon() {
        (jobs, buffered) = ([:], 0)
        worker?.reset()
        (try? host.events)?.forget(Self.news)
    }

    override func disconnect() {
        super.disconnect()
        if let worker, !worker.stop() {
            host.log(
                .error, "the host's file system under '\(path)' does not answer: what was being written may be lost")
        }
        worker = nil
    }

    // MARK: State: a fid is an open file of this host's, so there may be none

    override func save(to state: StateWriter) throws(PluginError) {
        guard let all = worker?.statistics else { throw PluginError("it is closed") }
        guard all.fids == 0 else {
            throw PluginError(
                "the guest has mounted '\(String(decoding: tag, as: UTF8.self))', and what it has open there cannot be saved: it has to unmount it before",
                status: .unsupported)
        }
        try super.save(to: state)
        state.put("message-size", UInt32(all.messageSize))
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let messageSize: UInt32 = try state.get("message-size")
        guard messageSize <= FolderSession.longestMessage else { throw PluginError("messages that are too long") }
        try super.load(version: version, from: state)
        worker?.reset(messageSize: Int(messageSize))
    }
}

let library = Library(
    "virtio-9p", version: "1.0", summary: "a folder of the host's, shared by 9P", needsMinor: 6,
    classes: [Virtio9P.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
