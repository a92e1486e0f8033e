import PluginKit
import Virtio
import VirtioBalloon
import VirtioKit

/// Connects the balloon to the machine's memory and to its operator.
final class VirtioBalloonPlugin: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-balloon", summary: "virtio memory balloon: the guest gives memory back to the host",
        properties: [
            Property(
                "deflate-on-oom", .bool, default: "on",
                doc: "a guest that runs out of memory may take back what it has given"),
            Property(
                "reporting", .bool, default: "on",
                doc: "the guest says which memory is free, and the host has it until the guest uses it"),
        ],
        slots: [VirtioDevice.slot],
        methods: [
            Method(
                "inflate", [(name: "size", kind: .u64)], result: .status,
                doc: "asks the guest to give so many bytes in all; 0: it has all of its memory",
                function: { (raw, size) in instance(raw, as: VirtioBalloonPlugin.self).inflate(size) }
                    as @convention(c) (UnsafeMutableRawPointer?, UInt64) -> Int32),
            Method(
                "inflated", result: .u64, doc: "bytes that the guest says it has given",
                function: { (raw) in instance(raw, as: VirtioBalloonPlugin.self).inflated }
                    as @convention(c) (UnsafeMutableRawPointer?) -> UInt64),
            Method(
                "statistics", result: .text,
                doc:
                    "what is in the balloon, and what the guest last said of its memory; it is asked anew for the next time",
                function: { (raw) in
                    let device = instance(raw, as: VirtioBalloonPlugin.self)
                    device.host.reply(device.statistics)
                    device.askForStatistics()
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void),
        ],
        make: { (host, values) throws(PluginError) in VirtioBalloonPlugin(host, values) })

    private var chip: VirtioBalloon
    private var said = BalloonStatistics([])
    /// The driver's buffer for statistics, by its queue and descriptor: given back, it comes with new ones (5.5.6.3).
    private var held: (queue: Int, chain: Chain)?
    /// Bytes that the host has got, whether the guest uses them again or not.
    private var freed: UInt64 = 0
    private var hasComplained = false

    init(_ host: Host, _ values: Values) {
        chip = VirtioBalloon(deflatesOnOOM: values.bool("deflate-on-oom"), reports: values.bool("reporting"))
        super.init(host)
    }

    override func connectDevice() throws(PluginError) -> VirtioIdentity { chip.identity }

    // MARK: The device

    override func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 { chip.readConfig(offset, width: width) }
    override func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        chip.writeConfig(offset, width: width, value)
    }

    override func poweredOn() {
        chip.target = 0
        freed = 0
    }

    override func wasReset() {
        chip.reset()
        said = BalloonStatistics([])
    }

    override func abandon() { held = nil }
    override func abandonQueue(_ queue: Int) { if held?.queue == queue { held = nil } }

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        guard let memory else { return false }
        switch VirtioBalloon.queue(queue, features) {
        case .inflate:
            let numbers = try chain.read(count: UInt32(VirtioBalloon.mostPages * 4), memory)
            free(VirtioBalloon.ranges(of: numbers), memory)
        case .reporting: free(VirtioBalloon.ranges(of: chain), memory)
        case .statistics:
            said = BalloonStatistics(try chain.read(count: BalloonStatistics.longest, memory))
            // The driver has one buffer; of several the last is kept.
            askForStatistics()
            held = (queue, chain)
            return true
        // What it takes back is there as soon as it writes to it.
        case .deflate, nil: break
        }
        finish(queue, chain, written: 0)
        return true
    }

    /// Each is a call of the host's kernel, with the machine's lock held.
    private func free(_ ranges: [Chain.Range], _ memory: GuestRAM) {
        for range in ranges { free(range, memory) }
        spend(ranges.count)
    }

    /// Memory that the guest has no use for. What is none of its RAM stays as it is.
    private func free(_ range: Chain.Range, _ memory: GuestRAM) {
        switch memory.discard(range.address, length: range.length) {
        case .ok: freed &+= range.length
        case .unsupported where !hasComplained:
            hasComplained = true
            host.log(.warning, "the host does not take back what the guest gives: its memory stays in use")
        default: break
        }
    }

    // MARK: The operator's side

    private func inflate(_ size: UInt64) -> Int32 {
        guard let pages = UInt32(exactly: size / VirtioBalloon.pageSize) else {
            host.fail("a balloon of \(size) bytes is larger than 16 TiB")
            return Status.invalid.rawValue
        }
        chip.target = pages
        configChanged()
        return Status.ok.rawValue
    }

    private var inflated: UInt64 { UInt64(chip.actual) * VirtioBalloon.pageSize }

    private var statistics: String {
        let target = UInt64(chip.target) * VirtioBalloon.pageSize
        let text = "inflated \(inflated >> 10) KiB of \(target >> 10), freed \(freed >> 10) KiB in all"
        return said.numbers.isEmpty ? text : text + "; the guest: " + said.text
    }

    private func askForStatistics() {
        guard let (queue, chain) = held else { return }
        held = nil
        finish(queue, chain, written: 0)
        publish(queue)
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        try super.save(to: state)
        state.put("target", chip.target)
        state.put("actual", chip.actual)
        state.put("has-buffer", held != nil)
        state.put("buffer", held?.chain.head ?? 0)
        state.put("buffer-queue", UInt32(held?.queue ?? 0))
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let (target, actual): (UInt32, UInt32) = (try state.get("target"), try state.get("actual"))
        let (hasBuffer, head): (Bool, UInt16) = (try state.get("has-buffer"), try state.get("buffer"))
        let queue: UInt32 = try state.get("buffer-queue")
        guard queue < identity.queues else { throw PluginError("a buffer of queue \(queue), which it has not") }
        try super.load(version: version, from: state)
        chip.restore(target: target, actual: actual)
        said = BalloonStatistics([])
        held = hasBuffer ? (Int(queue), Chain(head: head)) : nil
    }
}

let library = Library(
    "virtio-balloon", version: "1.0", summary: "virtio memory balloon", needsMinor: 6,
    classes: [VirtioBalloonPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
