import BackendSupport
import CBackendSupport
import CloudSeed
import Glibc
import PluginKit

/// A disk from which cloud-init configures a guest at its first start. Completes inside `submit`: the host hands that to the client when its
/// callback has returned.
final class NoCloudDisk: Instance {
    static let definition = ClassDefinition.backend(
        "nocloud", summary: "a read-only disk with what cloud-init is to do, from the machine file",
        properties: [
            Property("user-data", .text, doc: "what is to be done: text that begins with '#cloud-config', a script..."),
            Property("user-data-file", .path, doc: "in place of user-data: a file that holds it"),
            Property("network-config", .text, doc: "the guest's network; without it the guest asks by DHCP"),
            Property("network-config-file", .path, doc: "in place of network-config: a file that holds it"),
            Property("meta-data", .text, doc: "in place of instance-id and hostname: all of it"),
            Property("hostname", .text, doc: "the guest's name"),
            Property(
                "instance-id", .text,
                doc: "cloud-init configures a guest once for each; without one, again whenever the rest is another"),
        ],
        provides: [Provides("block/1", doc: "the disk")],
        // It only reads.
        check: { (host, values) throws(PluginError) in _ = try NoCloudDisk(host, values) },
        make: { (host, values) throws(PluginError) in try NoCloudDisk(host, values) })

    /// Bytes of a file.
    private static let longest = 16 << 20
    private static let sectorSize = 512

    private let image: [UInt8]
    private var client: BlockClient?

    init(_ host: Host, _ values: Values) throws(PluginError) {
        var seed = Seed(userData: try NoCloudDisk.bytes("user-data", values) ?? [])
        seed.networkConfig = try NoCloudDisk.bytes("network-config", values)
        seed.metaData = values.isSet("meta-data") ? Array(values.text("meta-data").utf8) : nil
        for name in ["hostname", "instance-id"] where values.isSet(name) {
            guard seed.metaData == nil else { throw PluginError("\(name): meta-data says it, where that is given") }
            guard values.text(name).utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }), !values.text(name).isEmpty else {
                throw PluginError("\(name): '\(values.text(name))' is no name")
            }
        }
        (seed.hostname, seed.instanceID) = (values.text("hostname"), values.text("instance-id"))
        image = seed.image.bytes
        super.init(host)
    }

    private static func bytes(_ name: String, _ values: Values) throws(PluginError) -> [UInt8]? {
        guard values.isSet(name + "-file") else { return values.isSet(name) ? Array(values.text(name).utf8) : nil }
        guard !values.isSet(name) else { throw PluginError("\(name): it is in \(name)-file already") }
        let path = values.text(name + "-file")
        do throws(HostCallError) {
            let file = try Descriptor.open(path, O_RDONLY | O_NONBLOCK)
            let status = try file.status()
            guard Int(status.kind) == BH_REGULAR else { throw HostCallError(code: ENODEV) }
            guard status.length <= Int64(longest) else { throw HostCallError(code: EFBIG) }
            var bytes = [UInt8](repeating: 0, count: Int(status.length))
            let length = bytes.count
            let count = try HostCallError.check(bh_pread(file.raw, &bytes, length, 0))
            guard count == length else { throw HostCallError(code: EIO) }
            return bytes
        } catch {
            switch error.code {
            case ENODEV: throw PluginError("\(name)-file: '\(path)' is not a regular file")
            case EFBIG: throw PluginError("\(name)-file: '\(path)' is larger than \(longest >> 20) MiB")
            default: throw PluginError("\(name)-file: '\(path)' cannot be read: " + error.text)
            }
        }
    }

    override func disconnect() { client = nil }

    // MARK: Block

    override func blockClient(_ index: UInt32, is client: BlockClient) { self.client = client }

    override func blockInfo(_ index: UInt32) -> bp_block_info? {
        var info = bp_block_info()
        info.sector_size = UInt32(Self.sectorSize)
        info.sectors = UInt64(image.count / Self.sectorSize)
        info.read_only = 1
        return info
    }

    override func blockSubmitted(_ index: UInt32, _ request: BlockRequest) {
        client?.complete(tag: request.tag, perform(request))
    }

    private func perform(_ request: BlockRequest) -> Status {
        switch request.operation {
        case .flush: return .ok
        case .read: break
        default: return .readOnly
        }
        let sectors = UInt64(image.count / Self.sectorSize)
        guard request.sector <= sectors, request.count <= sectors - request.sector else { return .outOfRange }
        guard let data = request.data else { return request.count == 0 ? .ok : .invalid }
        let (start, count) = (Int(request.sector) * Self.sectorSize, Int(request.count) * Self.sectorSize)
        UnsafeMutableRawBufferPointer(start: data, count: count).copyBytes(from: image[start..<start + count])
        return .ok
    }
}

let library = Library(
    "nocloud", version: "1.0", summary: "cloud-init's data source as a disk", needsMinor: 0,
    classes: [NoCloudDisk.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
