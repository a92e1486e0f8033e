import BackendSupport
import NBDClient
import PluginKit

/// A disk that a server has: of the NBD protocol, by its URI, or a `qemu-nbd` of this backend's own for an image with a format.
/// Not modelled: FUA, which "block/1" does not have; several connections to one server.
final class NBDDisk: DiskBackend<NBDEngine> {
    static let definition = ClassDefinition.backend(
        "nbd", summary: "a disk behind an NBD server, or a qcow2 image by qemu-nbd",
        properties: [
            Property(
                "uri", .text,
                doc: "the server and its export: nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH; nbds for TLS"
            ),
            Property(
                "image", .path,
                doc: "in place of uri: an image, which a qemu-nbd of its own opens (Debian's package qemu-utils)"),
            Property(
                "format", .choice, default: "auto", choices: ["auto", "raw", "qcow2"],
                doc:
                    "of image; auto: qcow2 where its first bytes are that format's, else raw, and then the guest cannot write such bytes there"
            ),
            Property("export", .text, doc: "of uri, which names none then: what the server calls the disk"),
            Property(
                "read-only", .bool, default: "off",
                doc: "the guest cannot write; nor can it where the server does not let it"),
            Property(
                "sector-size", .choice, default: "512", unit: "bytes", choices: ["512", "1024", "2048", "4096"],
                doc: "bytes in a sector; some servers take no less than 4096"),
        ],
        provides: [Provides("block/1", doc: "the disk")],
        methods: [
            Method(
                "resize", [(name: "size", kind: .u64)], result: .status,
                doc: "makes the image larger while the guest runs, and tells it; the log says when that is done",
                function: { (raw, size) in instance(raw, as: NBDDisk.self).resize(size) }
                    as @convention(c) (UnsafeMutableRawPointer?, UInt64) -> Int32),
            Method(
                "statistics", result: .text,
                doc: "requests, bytes and errors since the start, commands to the server, connections",
                function: { (raw) in
                    let disk = instance(raw, as: NBDDisk.self)
                    disk.host.reply(disk.statistics)
                } as @convention(c) (UnsafeMutableRawPointer?) -> Void),
        ],
        check: { (_, values) throws(PluginError) in
            if case .image = try NBDDisk.source(values).place {
                do throws(NBDError) { _ = try NBDServer.program() } catch { throw PluginError(error.text) }
            }
        },
        make: { (host, values) throws(PluginError) in try NBDDisk(host, values) })

    private static func source(_ values: Values) throws(PluginError) -> NBDSource {
        let isReadOnly = values.bool("read-only")
        guard values.isSet("uri") != values.isSet("image") else {
            throw PluginError("it takes either uri, of a server, or image, of a file")
        }
        do throws(NBDError) {
            if values.isSet("uri") {
                guard !values.isGiven("format") else {
                    throw NBDError("format: goes with image; a server knows its own")
                }
                let export = values.isSet("export") ? values.text("export") : nil
                return try NBDSource(uri: values.text("uri"), export: export, isReadOnly: isReadOnly)
            }
            guard !values.isSet("export") else { throw NBDError("export: goes with uri") }
            let format: ImageFormat? = [nil, .raw, .qcow2][min(2, max(0, values.choice("format")))]
            return try NBDSource(image: values.text("image"), format: format, isReadOnly: isReadOnly)
        } catch {
            throw PluginError(error.text)
        }
    }

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let sectorSize: UInt32 = 512 << UInt32(truncatingIfNeeded: values.choice("sector-size"))
        let source = try NBDDisk.source(values)
        if case .image(let path, let format) = source.place, !values.isGiven("format") {
            host.log(
                .info,
                "'\(path)' is taken as \(format.rawValue) by its first bytes (format: \(format.rawValue) says so for good)"
            )
        }
        super.init(host, try NBDDisk.open(source, sectorSize, host))
    }

    private static func open(
        _ source: NBDSource, _ sectorSize: UInt32, _ host: Host
    ) throws(PluginError) -> OpenDisk<NBDEngine> {
        do throws(NBDError) {
            let engine = try NBDEngine(source, link: HostLink(host), postArgument: news)
            let export = try engine.open(sectorSize: sectorSize)
            let geometry = DiskGeometry(sectorSize: sectorSize, sectors: export.size / UInt64(sectorSize))
            guard geometry.sectors > 0 else {
                _ = engine.stop()
                throw NBDError("'\(source.name)' has \(export.size) bytes, less than one sector of \(sectorSize)")
            }
            for warning in warnings(export, geometry, source) { host.log(.warning, warning) }
            return OpenDisk(
                engine, name: source.name, geometry: geometry, isReadOnly: export.isReadOnly || source.isReadOnly,
                known: export.known)
        } catch {
            throw PluginError(error.text)
        }
    }

    private static func warnings(_ export: NBDExport, _ geometry: DiskGeometry, _ source: NBDSource) -> [String] {
        var warnings: [String] = []
        if export.size != geometry.length {
            warnings.append(
                "'\(source.name)' has \(export.size) bytes, not a multiple of \(geometry.sectorSize): the last \(export.size - geometry.length) are ignored"
            )
        }
        if export.isReadOnly, !source.isReadOnly { warnings.append("the server lets '\(source.name)' be read only") }
        if !export.canFlush, !export.isReadOnly, !source.isReadOnly {
            warnings.append(
                "the server of '\(source.name)' does not flush: what it has answered to may be lost with it")
        }
        return warnings
    }

    private func resize(_ size: UInt64) -> Int32 {
        do throws(NBDError) {
            guard let engine else { throw NBDError("the disk is closed") }
            guard case .image(let path, _) = engine.source.place else {
                throw NBDError(
                    "a server's disk grows where the server is, and a machine that is started then has its size")
            }
            guard !isReadOnly else { throw NBDError("'\(path)' is read only") }
            guard size % UInt64(geometry.sectorSize) == 0, size > geometry.length, size <= UInt64(Int64.max) else {
                throw NBDError(
                    "'\(path)' has \(geometry.length) bytes, and can have more, in whole sectors of \(geometry.sectorSize)"
                )
            }
            engine.grow(to: size)
            return Status.ok.rawValue
        } catch {
            host.fail(error.text)
            return Status.refused.rawValue
        }
    }

    private var statistics: String {
        guard let all = engine?.statistics else { return "closed" }
        return "reads \(all.reads) (\(all.readBytes) bytes), writes \(all.writes) (\(all.writtenBytes) bytes), "
            + "flushes \(all.flushes), discards \(all.discards), errors \(all.errors), waiting \(all.waiting), "
            + "commands \(all.parts), connections \(all.connections)\(all.isConnected ? "" : ", not connected")"
    }
}

let library = Library(
    "nbd", version: "1.0", summary: "a disk behind an NBD server", needsMinor: 0, classes: [NBDDisk.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
