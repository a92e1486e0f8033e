import Images
import PluginKit
import ROM

/// An image mapped into guest-physical memory: firmware, an option ROM. `ROMLayout` says where it answers.
final class ROMDevice: Instance {
    static let definition = ClassDefinition.device(
        "rom", summary: "an image mapped as ROM, with aliases",
        properties: [
            Property("image", .path, required: true, doc: "the file, at most 256 MiB; it is padded to 4 KiB with 0xff"),
            Property("at", .address, doc: "where the image starts; either this or end is given"),
            Property(
                "end", .address,
                doc: "the address after the image's last byte, 0x100000000 for a BIOS; either this or at is given"),
            Property("alias", .address, list: true, doc: "where the image's last bytes answer too, 0xe0000 for a BIOS"),
            Property(
                "alias-size", .size,
                doc: "how many bytes at the image's end an alias shows; without it 128KiB, or all of a smaller image"),
            Property(
                "writable", .bool, default: "off",
                doc: "the guest can write it; it holds the image again after each reset"),
            Property(
                "priority", .signed, default: "0", bounds: Int64(Int32.min)...Int64(Int32.max),
                doc: "the highest of overlapping mappings and claims answers; RAM is below all"),
        ],
        make: { (host, values) throws(PluginError) in try ROMDevice(host, values) })

    private let layout: ROMLayout
    private let region: Memory.Region
    /// Kept only where the guest can change the region.
    private let image: [UInt8]?
    private let priority: Int32

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let path = values.text("image")
        let bytes: [UInt8]
        do { bytes = try ImageFile.read(path, limit: 256 << 20) } catch { throw PluginError(error.text) }
        func given(_ name: String) -> UInt64? { values.isSet(name) ? values.unsigned(name) : nil }
        do {
            layout = try ROMLayout(
                imageSize: UInt64(bytes.count), at: given("at"), end: given("end"),
                aliases: values.unsignedList("alias"), aliasSize: given("alias-size"))
        } catch {
            throw PluginError(ImageFile.name(path) + ": " + error.text)
        }
        let isWritable = values.bool("writable")
        region = try host.memory.region("image", isWritable ? .device : .rom, length: layout.length)
        image = isWritable ? bytes : nil
        priority = Int32(truncatingIfNeeded: values.signed("priority"))
        super.init(host)
        fill(with: bytes)
        // Truncated, most likely: firmware and option ROMs come in whole pages or blocks of 512 bytes.
        if !bytes.count.isMultiple(of: 512) {
            host.log(.warning, "\(ImageFile.name(path)) has \(bytes.count) bytes, not a multiple of 512: is it whole?")
        }
    }

    override func connect() throws(PluginError) {
        for mapping in layout.mappings {
            do {
                try host.memory.map(
                    region, offset: mapping.offset, at: mapping.address, length: mapping.length, priority: priority)
            } catch {
                throw PluginError("\(hex(mapping.address)): \(error.text)", status: error.status)
            }
        }
    }

    override func reset(warm: Bool) {
        if let image { fill(with: image) }
    }

    private func fill(with bytes: [UInt8]) {
        // SAFETY: the region has `layout.length` bytes, which is at least `imageOffset` and the image.
        let before = Int(layout.imageOffset)
        let target = region.bytes
        for padding in [target[..<before], target[(before + bytes.count)...]] {
            UnsafeMutableRawBufferPointer(rebasing: padding)
                .initializeMemory(as: UInt8.self, repeating: ROMLayout.padding)
        }
        UnsafeMutableRawBufferPointer(rebasing: target[before...]).copyBytes(from: bytes)
    }
}

let library = Library(
    "rom", version: "1.0", summary: "images mapped as ROM", needsMinor: 0, classes: [ROMDevice.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
