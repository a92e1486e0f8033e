import BackendSupport
import Glibc
import PluginKit
import RawImage

/// A disk whose sectors are those of a host file or block device, without any format around them.
/// Not modelled: direct I/O (the host's page cache is used; a flush reaches the disk).
final class RawFile: DiskBackend<DiskWorker> {
    static let definition = ClassDefinition.backend(
        "raw-file", summary: "a disk image without a format: a host file or block device",
        properties: [
            Property("path", .path, required: true, doc: "the image; `backplane disk create` makes one"),
            Property(
                "mode", .choice, default: "read-write", choices: ["read-write", "read-only", "snapshot"],
                doc: "snapshot: writes go to a temporary file in TMPDIR and are forgotten at the end"),
            Property(
                "sector-size", .choice, default: "512", unit: "bytes", choices: ["512", "1024", "2048", "4096"],
                doc: "bytes in a sector"),
        ],
        provides: [Provides("block/1", doc: "the disk")],
        methods: [
            Method(
                "resize", [(name: "size", kind: .u64)], result: .status,
                doc: "makes the file larger while the guest runs, and tells it; size 0: it has grown by other hands",
                function: { (raw, size) in instance(raw, as: RawFile.self).resize(size) }
                    as @convention(c) (UnsafeMutableRawPointer?, UInt64) -> Int32),
            Method(
                "statistics", result: .text, doc: "requests, bytes and errors since the start",
                function: { (raw) in
                    let disk = instance(raw, as: RawFile.self)
                    disk.host.reply(disk.statistics)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void),
        ],
        check: { (_, values) throws(PluginError) in try RawFile.check(values) },
        make: { (host, values) throws(PluginError) in try RawFile(host, values) })

    /// As the machine file has it.
    private let properties: (mode: ImageMode, sectorSize: UInt32)
    private var mode: ImageMode
    /// Until disconnect.
    private var image: ImageFile?

    private static func mode(_ values: Values) -> ImageMode { ImageMode(rawValue: values.choice("mode")) ?? .readOnly }
    private static func sectorSize(_ values: Values) -> UInt32 {
        512 << UInt32(truncatingIfNeeded: values.choice("sector-size"))
    }
    /// Where snapshot mode keeps what is written.
    private static var temporaryDirectory: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

    private static func check(_ values: Values) throws(PluginError) {
        do throws(ImageError) {
            try ImageFile.check(
                path: values.text("path"), mode: mode(values), sectorSize: sectorSize(values),
                temporaryDirectory: temporaryDirectory)
        } catch {
            throw PluginError(error.text)
        }
    }

    init(_ host: Host, _ values: Values) throws(PluginError) {
        properties = (RawFile.mode(values), RawFile.sectorSize(values))
        mode = properties.mode
        let disk = try RawFile.open(values.text("path"), mode, properties.sectorSize, host)
        image = disk.image
        super.init(host, disk.opened)
    }

    private static func open(
        _ path: String, _ mode: ImageMode, _ sectorSize: UInt32, _ host: Host
    ) throws(PluginError) -> (image: ImageFile, opened: OpenDisk<DiskWorker>) {
        do throws(ImageError) {
            let image = try ImageFile(path: path, mode: mode, sectorSize: sectorSize)
            let medium = try ImageMedium(image, directory: temporaryDirectory)
            for warning in image.warnings { host.log(.warning, warning) }
            let opened = OpenDisk(
                DiskWorker(medium, link: HostLink(host), postArgument: news), name: path, geometry: image.geometry,
                isReadOnly: mode == .readOnly, known: [.discard, .writeZeroes])
            return (image, opened)
        } catch {
            throw PluginError(error.text)
        }
    }

    private var statistics: String {
        guard let all = engine?.statistics else { return "closed" }
        let overlay = mode == .snapshot ? ", overlay \(all.overlay >> 10) KiB" : ""
        return "reads \(all.reads) (\(all.readBytes) bytes), writes \(all.writes) (\(all.writtenBytes) bytes), "
            + "flushes \(all.flushes), discards \(all.discards), errors \(all.errors), waiting \(all.waiting)" + overlay
    }

    override func save(to state: StateWriter) throws(PluginError) {
        let overlay = engine?.statistics.overlay ?? 0
        guard overlay == 0 else {
            throw PluginError(
                "'\(name)' in mode: snapshot holds \(overlay >> 10) KiB of changes, which cannot be saved",
                status: .unsupported)
        }
        try super.save(to: state)
    }

    override func blockInsert(_ index: UInt32, path: String, isReadOnly: Bool) throws(PluginError) {
        let mode = isReadOnly ? .readOnly : properties.mode
        let disk = try RawFile.open(path, mode, properties.sectorSize, host)
        try replace(by: disk.opened)
        (self.mode, image) = (mode, disk.image)
    }

    override func disconnect() {
        image = nil
        super.disconnect()
    }

    private func resize(_ size: UInt64) -> Int32 {
        do throws(ImageError) {
            guard let grown = try image?.grow(to: size == 0 ? nil : size, from: geometry) else {
                return Status.refused.rawValue
            }
            hasGrown(to: grown.sectors)
        } catch {
            host.fail(error.text)
            return Status.refused.rawValue
        }
        return Status.ok.rawValue
    }
}

let library = Library(
    "raw-file", version: "1.0", summary: "a disk image without a format", needsMinor: 0, classes: [RawFile.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
