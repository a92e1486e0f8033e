import PluginKit
import Virtio
import VirtioBlock
import VirtioKit

/// Connects the device to its medium: several requests under way, each in pieces that are bounded.
final class VirtioBlockPlugin: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-blk", summary: "virtio block device",
        properties: [
            Property("serial", .text, default: "", doc: "its serial number, up to 20 characters; empty: its id")
        ],
        slots: [VirtioDevice.slot, Slot("block", "block/1", doc: "its medium")],
        make: { (host, values) throws(PluginError) in try VirtioBlockPlugin(host, values) })

    /// A request that the medium works at.
    private struct Job {
        let chain: Chain
        let operation: VirtioBlock.Operation
        /// SAFETY: the medium touches it until it completes the piece or `cancelAll` returns; freed only then.
        let buffer: UnsafeMutableRawBufferPointer
        /// What is left, the piece that is under way first.
        var left: [VirtioBlock.Range]
        /// Bytes of the guest's that are done.
        var done: UInt32 = 0
        /// The data has arrived, and is being made to last.
        var isFlushing = false
    }

    /// Bytes of a piece, and of all buffers together.
    private static let (piece, most) = (1 << 20, 16 << 20)
    /// Bytes that a medium is asked to clear at once.
    private static let longestClearing = 64 << 20
    private static let queue = 0

    private let serial: String
    private var chip: VirtioBlock?
    private var medium = BlockPeer.unwired
    private var known: BlockOperations = []
    /// Bytes of a piece that this medium takes.
    private var pieceSize = VirtioBlockPlugin.piece
    private var jobs: [UInt64: Job] = [:]
    private var lastTag: UInt64 = 0
    private var buffered = 0
    private let pool = BufferPool()
    /// Buffers of requests that were dropped while the medium could not be told: until it completes them.
    private var orphans: [UInt64: UnsafeMutableRawBufferPointer] = [:]

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let text = values.text("serial")
        guard text.utf8.count <= 20 else { throw PluginError("serial: '\(text)' has more than 20 characters") }
        serial = text.isEmpty ? host.id : text
        super.init(host)
    }

    override func connectDevice() throws(PluginError) -> VirtioIdentity {
        medium = try host.block("block")
        // Where a machine file is only shown it has no backends.
        guard medium.isWired else { return makeChip(bp_block_info()) }
        guard let info = medium.info else { throw PluginError("block: the medium gives no size") }
        guard info.sector_size >= 512, info.sector_size.nonzeroBitCount == 1, Int(info.sector_size) <= Self.piece else {
            throw PluginError("block: sectors of \(info.sector_size) bytes are not supported")
        }
        if info.maximum_sectors > 0 {
            pieceSize = min(Self.piece, Int(clamping: UInt64(info.maximum_sectors) * UInt64(info.sector_size)))
        }
        return makeChip(info)
    }

    private func makeChip(_ info: bp_block_info) -> VirtioIdentity {
        known = info.known
        let chip = VirtioBlock(
            .init(
                sectors: info.sectors, sectorSize: max(info.sector_size, 512), isReadOnly: info.read_only != 0,
                canDiscard: known.contains(.discard)), serial: serial)
        self.chip = chip
        return chip.identity
    }

    // MARK: The device

    override func readConfig(_ offset: UInt32, width: UInt8) -> UInt32 {
        chip?.readConfig(offset, width: width) ?? .max
    }

    override func writeConfig(_ offset: UInt32, width: UInt8, _ value: UInt32) {
        chip?.writeConfig(offset, width: width, value, features)
    }

    override func wasReset() { chip?.reset() }

    override func blockResized(slot: Int, sectors: UInt64) {
        chip?.resize(to: sectors)
        configChanged()
    }

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        guard let chip, let memory, buffered < Self.most else { return false }
        let operation = try chip.operation(of: chain, features, memory)
        switch operation {
        case .answer(let bytes, let outcome):
            try chain.write([UInt8](bytes.prefix(Int(chain.writableLength - 1))), memory)
            answer(chain, outcome)
        case .flush: begin(chain, operation, [])
        case .read(let range), .write(let range): begin(chain, operation, [range])
        case .zero(let ranges), .discard(let ranges): begin(chain, operation, ranges)
        }
        return true
    }

    private func begin(_ chain: Chain, _ operation: VirtioBlock.Operation, _ ranges: [VirtioBlock.Range]) {
        let sectorSize = Int(chip?.medium.sectorSize ?? 512)
        let longest = hasData(operation) ? ranges.map { Int(clamping: $0.count) }.max() ?? 0 : 0
        let buffer = pool.take(min(longest, pieceSize / sectorSize) * sectorSize)
        if case .zero = operation { buffer.initializeMemory(as: UInt8.self, repeating: 0) }
        buffered += buffer.count
        lastTag += 1
        jobs[lastTag] = Job(
            chain: chain, operation: operation, buffer: buffer, left: ranges.filter { $0.count > 0 })
        if case .flush = operation {
            jobs[lastTag]?.isFlushing = true
            medium.submit(.flush, sector: 0, count: 0, data: nil, tag: lastTag)
        } else {
            advance(lastTag)
        }
    }

    /// Zeros are written where the medium does not know how to make them.
    private func hasData(_ operation: VirtioBlock.Operation) -> Bool {
        switch operation {
        case .discard: false
        case .zero: !known.contains(.writeZeroes)
        default: true
        }
    }

    /// Sectors of a job's next piece.
    private func sectors(of job: Job) -> UInt64 {
        let (left, size) = (job.left.first?.count ?? 0, UInt64(chip?.medium.sectorSize ?? 512))
        return min(left, UInt64(hasData(job.operation) ? job.buffer.count : Self.longestClearing) / size)
    }

    /// The next piece, or the end.
    private func advance(_ tag: UInt64) {
        guard let job = jobs[tag], let memory, let chip else { return }
        guard let range = job.left.first else {
            guard job.operation.changesMedium, chip.writesThrough(features) else { return end(tag, .ok) }
            jobs[tag]?.isFlushing = true
            return medium.submit(.flush, sector: 0, count: 0, data: nil, tag: tag)
        }
        let count = sectors(of: job)
        guard hasData(job.operation) else {
            let kind: BlockOperation = if case .discard = job.operation { .discard } else { .writeZeroes }
            return medium.submit(kind, sector: range.sector, count: count, data: nil, tag: tag)
        }
        let bytes = UnsafeMutableRawBufferPointer(rebasing: job.buffer[..<(Int(count) * Int(chip.medium.sectorSize))])
        if case .write = job.operation {
            do throws(VirtQueue.Violation) {
                try memory.copy(job.chain.readable, from: VirtioBlock.headerSize &+ job.done, into: bytes)
            } catch { return drop(tag, error) }
        }
        let kind: BlockOperation = if case .read = job.operation { .read } else { .write }
        medium.submit(kind, sector: range.sector, count: count, data: bytes.baseAddress, tag: tag)
    }

    override func blockCompleted(slot: Int, tag: UInt64, _ status: Status) {
        if let orphan = orphans.removeValue(forKey: tag) {
            pool.give(orphan)
            return settleQuiet()
        }
        guard let job = jobs[tag], let memory, let chip else { return }
        guard isLive, status == .ok else { return finishJob(tag, .ioError) }
        guard !job.isFlushing else { return finishJob(tag, .ok) }
        let count = sectors(of: job)
        let length = Int(count) * Int(chip.medium.sectorSize)
        if case .read = job.operation {
            do throws(VirtQueue.Violation) {
                try memory.copy(
                    UnsafeRawBufferPointer(rebasing: job.buffer[..<length]), to: job.chain.writable, at: job.done)
            } catch { return drop(tag, error) }
        }
        jobs[tag]?.done &+= UInt32(truncatingIfNeeded: length)
        if job.left[0].count == count {
            jobs[tag]?.left.removeFirst()
        } else {
            jobs[tag]?.left[0].sector += count
            jobs[tag]?.left[0].count -= count
        }
        advance(tag)
        afterCompletion()
    }

    private func finishJob(_ tag: UInt64, _ outcome: VirtioBlock.Outcome) {
        end(tag, outcome)
        afterCompletion()
    }

    /// What has been finished is shown, and what did not fit before is taken.
    private func afterCompletion() {
        publish(Self.queue)
        resume(Self.queue)
        settleQuiet()
    }

    /// The guest's buffer is no memory: the device works no more.
    private func drop(_ tag: UInt64, _ violation: VirtQueue.Violation) {
        fail(violation, Self.queue)
        finishJob(tag, .ioError)
    }

    private func end(_ tag: UInt64, _ outcome: VirtioBlock.Outcome) {
        guard let job = jobs.removeValue(forKey: tag) else { return }
        buffered -= job.buffer.count
        pool.give(job.buffer)
        answer(job.chain, outcome)
    }

    /// The outcome is the last byte that the device writes, so that all of them count as written (2.7.8.2).
    private func answer(_ chain: Chain, _ outcome: VirtioBlock.Outcome) {
        guard isLive, let memory else { return }
        do throws(VirtQueue.Violation) {
            try chain.write([outcome.rawValue], at: chain.writableLength - 1, memory)
        } catch { return fail(error, Self.queue) }
        finish(Self.queue, chain, written: chain.writableLength)
    }

    // MARK: Stopping

    override var isBusy: Bool { !jobs.isEmpty || !orphans.isEmpty }

    override func abandon() {
        guard !jobs.isEmpty else { return }
        let isFree = medium.cancelAll()
        for (tag, job) in jobs {
            if isFree { pool.give(job.buffer) } else { orphans[tag] = job.buffer }
        }
        jobs = [:]
        buffered = 0
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        try super.save(to: state)
        state.put("writeback", chip?.writeback ?? true)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let writeback: Bool = try state.get("writeback")
        try super.load(version: version, from: state)
        chip?.writeback = writeback
    }
}

extension VirtioBlock.Operation {
    fileprivate var changesMedium: Bool {
        switch self {
        case .write, .zero, .discard: true
        default: false
        }
    }
}

let library = Library(
    "virtio-blk", version: "1.0", summary: "virtio block device", needsMinor: 6, classes: [VirtioBlockPlugin.definition]
)

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
