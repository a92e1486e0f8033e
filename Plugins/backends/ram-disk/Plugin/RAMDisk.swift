import BackendSupport
import CBackendSupport
import Glibc
import PluginKit
import RAMContents

/// A disk in the host's memory, which forgets everything at the end of the machine. Completes inside `submit`: the host
/// hands that to the client when its callback has returned.
final class RAMDisk: Instance {
    static let definition = ClassDefinition.backend(
        "ram-disk", summary: "a disk in the host's memory",
        properties: [
            Property("size", .size, required: true, bounds: 512...1 << 40, doc: "how large it is: whole sectors"),
            Property("image", .path, doc: "a regular file that it begins with; zeros follow"),
            Property(
                "sector-size", .choice, default: "512", unit: "bytes", choices: ["512", "1024", "2048", "4096"],
                doc: "bytes in a sector"),
        ],
        provides: [Provides("block/1", doc: "the disk")],
        // It only reads.
        check: { (host, values) throws(PluginError) in _ = try RAMDisk(host, values) },
        make: { (host, values) throws(PluginError) in try RAMDisk(host, values) })

    /// Of the contents that a saved state may hold.
    private static let savedLimit = 128 << 20

    private let contents: RAMContents
    private let sectorSize: UInt32
    private let sectors: UInt64
    private var client: BlockClient?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let size = values.unsigned("size")
        sectorSize = 512 << UInt32(truncatingIfNeeded: values.choice("sector-size"))
        guard size % UInt64(sectorSize) == 0, size > 0 else {
            throw PluginError("size: \(size) bytes are not whole sectors of \(sectorSize)")
        }
        sectors = size / UInt64(sectorSize)
        do throws(RAMContents.SizeError) {
            contents = try RAMContents(count: Int(clamping: size))
        } catch {
            throw PluginError("size: " + error.text, status: .noMemory)
        }
        if values.isSet("image") { try RAMDisk.fill(contents, from: values.text("image")) }
        super.init(host)
    }

    private static func fill(_ contents: RAMContents, from path: String) throws(PluginError) {
        do throws(HostCallError) {
            let file = try Descriptor.open(path, O_RDONLY | O_NONBLOCK)
            let status = try file.status()
            guard Int(status.kind) == BH_REGULAR else { throw HostCallError(code: ENODEV) }
            guard status.length <= Int64(contents.count) else { throw HostCallError(code: EFBIG) }
            try read(file, into: contents)
        } catch {
            switch error.code {
            case ENODEV: throw PluginError("image: '\(path)' is not a regular file")
            case EFBIG: throw PluginError("image: '\(path)' is larger than size, \(contents.count) bytes")
            default: throw PluginError("image: '\(path)' cannot be read: " + error.text)
            }
        }
    }

    private static func read(_ file: Descriptor, into contents: RAMContents) throws(HostCallError) {
        var (piece, offset) = ([UInt8](repeating: 0, count: 64 << 10), 0)
        while offset < contents.count {
            let limit = min(piece.count, contents.count - offset)
            let count = try HostCallError.check(bh_pread(file.raw, &piece, limit, Int64(offset)))
            guard count > 0 else { return }
            piece.withUnsafeBytes { bytes in
                let bytes = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                // A zero written is memory taken.
                if !RAMContents.isZero(bytes) { _ = contents.write(at: offset, bytes) }
            }
            offset += count
        }
    }

    override func disconnect() { client = nil }

    // MARK: Block

    override func blockClient(_ index: UInt32, is client: BlockClient) { self.client = client }

    override func blockInfo(_ index: UInt32) -> bp_block_info? {
        var info = bp_block_info()
        info.sector_size = sectorSize
        info.sectors = sectors
        return info
    }

    override func blockSubmitted(_ index: UInt32, _ request: BlockRequest) {
        client?.complete(tag: request.tag, perform(request))
    }

    private func perform(_ request: BlockRequest) -> Status {
        if request.operation == .flush { return .ok }
        guard request.operation == .read || request.operation == .write else { return .unsupported }
        guard request.sector <= sectors, request.count <= sectors - request.sector else { return .outOfRange }
        guard let data = request.data else { return request.count == 0 ? .ok : .invalid }
        let start = Int(request.sector * UInt64(sectorSize))
        let buffer = UnsafeMutableRawBufferPointer(start: data, count: Int(request.count * UInt64(sectorSize)))
        let isDone =
            request.operation == .read
            ? contents.read(at: start, into: buffer) : contents.write(at: start, UnsafeRawBufferPointer(buffer))
        return isDone ? .ok : .outOfRange
    }

    // MARK: State

    override func save(to state: StateWriter) throws(PluginError) {
        guard let saved = contents.sparse(limit: RAMDisk.savedLimit) else {
            throw PluginError(
                "it holds more than \(RAMDisk.savedLimit >> 20) MiB that are not zero, which is the most that is saved",
                status: .unsupported)
        }
        state.put("size", contents.count)
        state.put("contents", saved)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        let size: UInt64 = try state.get("size")
        guard size == UInt64(contents.count) else {
            throw PluginError("the state was saved with a disk of \(size) bytes; this one has \(contents.count)")
        }
        guard contents.restore(try state.get("contents", count: nil)) else {
            throw PluginError("the saved contents of the disk are damaged")
        }
    }
}

let library = Library(
    "ram-disk", version: "1.0", summary: "a disk in memory", needsMinor: 0, classes: [RAMDisk.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
