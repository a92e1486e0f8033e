import CFIFlash
import PluginKit

/// A flash in guest-physical memory: while it reads as what it holds, reads cost no exit.
final class CFIFlashPlugin: Instance {
    static let definition = ClassDefinition.device(
        "cfi-flash", summary: "a NOR flash with a file behind it: firmware and its variables",
        properties: [
            Property(
                "image", .path, required: true,
                doc: "the file, whose size is the flash's; what the guest writes goes into it"),
            Property("template", .path, doc: "what the image is made of where there is none"),
            Property("at", .address, doc: "where the flash starts; either this or end is given"),
            Property("end", .address, doc: "the address after the flash's last byte; either this or at is given"),
            Property("writable", .bool, default: "on", doc: "off: the guest can program and erase nothing"),
            Property(
                "block-size", .size, default: "4KiB", doc: "what is erased at a time: a power of two from 4KiB to 1MiB"),
        ],
        make: { (host, values) throws(PluginError) in try CFIFlashPlugin(host, values) })

    private var chip: CFIFlash
    private let file: FlashFile
    private let region: Memory.Region
    private let address: UInt64
    private let memory: Memory
    private var mapping: Memory.Mapping?
    private var isFailing = false

    init(_ host: Host, _ values: Values) throws(PluginError) {
        let block = values.unsigned("block-size")
        guard block.nonzeroBitCount == 1, (4096...1 << 20).contains(block) else {
            throw PluginError("block-size is a power of two from 4KiB to 1MiB")
        }
        let isWritable = values.bool("writable")
        let path = values.text("image")
        file = try FlashFile(
            path, template: values.isSet("template") ? values.text("template") : nil, isWritable: isWritable)
        let size = UInt64(file.bytes.count)
        guard size.isMultiple(of: block) else {
            throw PluginError("\(path) has \(size) bytes, not a multiple of the block-size \(block)")
        }
        address = try CFIFlashPlugin.address(values, size)
        chip = CFIFlash(size: size, blockSize: block, isWritable: isWritable)
        memory = try host.memory
        region = try memory.region("flash", .rom, length: size)
        region.bytes.copyBytes(from: file.bytes)
        super.init(host)
    }

    private static func address(_ values: Values, _ size: UInt64) throws(PluginError) -> UInt64 {
        let address: UInt64
        switch (values.isSet("at"), values.isSet("end")) {
        case (true, false): address = values.unsigned("at")
        case (false, true):
            guard values.unsigned("end") >= size else {
                throw PluginError("end leaves no room below it for \(size) bytes")
            }
            address = values.unsigned("end") - size
        default: throw PluginError("either at or end says where the flash is")
        }
        guard address.isMultiple(of: 4096), address <= UInt64.max - (size - 1) else {
            throw PluginError("the flash starts at a multiple of 4096, and ends before the last address")
        }
        return address
    }

    override func connect() throws(PluginError) {
        let size = UInt64(region.bytes.count)
        try host.io.claimMemory(address, length: size, widths: .byte, name: "commands")
        mapping = try memory.map(region, offset: 0, at: address, length: size, .read, priority: 1)
    }

    override func reset(warm: Bool) {
        chip.reset()
        place()
    }

    /// Reads come here unless they are of what the flash holds.
    private func place() {
        if let mapping { try? memory.direct(mapping, chip.readsArray ? .read : []) }
    }

    // MARK: The guest's side

    override func read(_ access: Access) -> ReadResult {
        guard access.offset < UInt64(region.bytes.count) else { return .value(0xff) }
        return .value(UInt64(chip.read(access.offset, array: region.bytes[Int(access.offset)])))
    }

    override func write(_ access: Access, _ value: UInt64) -> Status {
        let before = chip.readsArray
        switch chip.write(access.offset, UInt8(truncatingIfNeeded: value)) {
        case .nothing: break
        case .program(let offset, let bytes):
            change(offset, bytes.count, erasing: false) { index in region.bytes[Int(offset) + index] & bytes[index] }
        case .erase(let offset): change(offset, Int(chip.blockSize), erasing: true) { _ in 0xff }
        }
        if chip.readsArray != before { place() }
        return .ok
    }

    private func change(_ offset: UInt64, _ count: Int, erasing: Bool, _ value: (Int) -> UInt8) {
        // SAFETY: the chip asks for bytes of its own size only; looked at once more, since it is the guest who asks.
        guard offset <= UInt64(region.bytes.count), UInt64(region.bytes.count) - offset >= UInt64(count) else { return }
        let place = UnsafeMutableRawBufferPointer(rebasing: region.bytes[Int(offset)..<Int(offset) + count])
        for index in 0..<count { place[index] = value(index) }
        guard file.write(UnsafeRawBufferPointer(place), at: offset) else {
            chip.fail(erasing: erasing)
            if !isFailing { host.log(.error, "the file of the flash could not be written: the guest is told") }
            return isFailing = true
        }
        isFailing = false
    }

    // MARK: State; what the flash holds is a region, which the host saves

    override func save(to state: StateWriter) throws(PluginError) {
        state.put("mode", chip.state.mode.rawValue)
        state.put("status", chip.state.status)
        state.put("start", chip.state.start)
        state.put("left", chip.state.left)
        state.put("buffer", chip.state.bytes)
    }

    override func load(version: UInt32, from state: StateReader) throws(PluginError) {
        var loaded = CFIFlash.State()
        (loaded.mode, loaded.status) = (try state.get("mode"), try state.get("status"))
        (loaded.start, loaded.left) = (try state.get("start"), try state.get("left"))
        loaded.bytes = try state.get("buffer", count: nil)
        guard chip.restore(loaded) else { throw PluginError("the buffer is none of this flash's") }
        place()
    }
}

let library = Library(
    "cfi-flash", version: "1.0", summary: "a NOR flash with a file behind it", needsMinor: 4,
    classes: [CFIFlashPlugin.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
