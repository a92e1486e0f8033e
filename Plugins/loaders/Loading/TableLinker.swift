public import Images

/// Firmware's tables - ACPI, SMBIOS, the MP table - in memory, where there is no firmware that puts them there: files as fw_cfg names them, placed and linked as
/// their script `etc/table-loader` asks. Source: QEMU, docs/specs/fw_cfg and hw/acpi/bios-linker-loader.c; DMTF, DSP0134 2.8, 5.2;
/// Intel, MultiProcessor Specification 1.4, 4.1.
///
/// High files lie at the end of RAM below 4 GiB, low ones from 0xF0000 to 0xFFFFF, where kernels look for SMBIOS too, or where there is no room from 0xE0000 on.
public struct TableLinker: Sendable {
    public static let scriptFile = "etc/table-loader"
    private static let pointerFile = "etc/acpi/rsdp"
    private static let anchorFile = "etc/smbios/smbios-anchor"
    private static let structuresFile = "etc/smbios/smbios-tables"
    private static let mpPointerFile = "etc/mptable/pointer"
    private static let mpTableFile = "etc/mptable/table"
    private static let lowZones: [Range<UInt64>] = [0xF0000..<0x100000, 0xE0000..<0xF0000]

    /// What goes to memory.
    public private(set) var pieces: [LoadPiece] = []
    /// RAM that the tables have, in whole pages: a memory map names it as ACPI's.
    public private(set) var taken: [Range<UInt64>] = []
    /// Where the RSDP is; nil: there is none.
    public private(set) var rootPointer: UInt64?

    public struct Failure: Error, Equatable, Sendable {
        public var text: String
    }

    private var files: [String: [UInt8]]
    private var addresses: [String: UInt64] = [:]
    private var free: Placement

    /// - Parameters:
    ///   - files: by their names; the script among them, where they need one.
    ///   - ram: where they may be put.
    public init(_ files: [String: [UInt8]], ram: RAMMap) throws(Failure) {
        self.files = files
        free = Placement(ram, taken: [0xA0000..<0xE0000])
        let script = files[Self.scriptFile] ?? []
        guard script.count % Command.size == 0 else {
            throw Failure(text: "\(Self.scriptFile) has \(script.count) bytes, and no whole number of commands")
        }
        for start in stride(from: 0, to: script.count, by: Command.size) {
            let command = Command(script[start..<start + Command.size])
            do throws(Failure) {
                try run(command)
            } catch {
                throw Failure(text: "\(Self.scriptFile), command \(start / Command.size): \(error.text)")
            }
        }
        try placeSMBIOS()
        try placeMPTable()
        rootPointer = addresses[Self.pointerFile]
        pieces = addresses.sorted { $0.value < $1.value }.map {
            LoadPiece(address: $0.value, bytes: self.files[$0.key] ?? [])
        }
    }

    // MARK: The script

    private struct Command {
        static let size = 128
        private static let nameSize = 56
        private let bytes: [UInt8]

        init(_ bytes: ArraySlice<UInt8>) { self.bytes = Array(bytes) }

        var code: UInt32 { number(0) }
        /// The numbers behind one or two names.
        func number(_ offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: bytes.number(at: offset, size: 4)) }
        func byte(_ offset: Int) -> UInt8 { bytes[offset] }
        var firstName: String { name(4) }
        var secondName: String { name(4 + Self.nameSize) }
        static let afterOne = 4 + nameSize
        static let afterTwo = 4 + 2 * nameSize

        private func name(_ offset: Int) -> String {
            String(decoding: bytes[offset..<offset + Self.nameSize].prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    private mutating func run(_ command: Command) throws(Failure) {
        switch command.code {
        case 1:
            try place(
                command.firstName, alignment: command.number(Command.afterOne),
                isLow: command.byte(Command.afterOne + 4) == 2)
        case 2:
            try point(
                command.firstName, Int(command.number(Command.afterTwo)), size: Int(command.byte(Command.afterTwo + 4)),
                to: command.secondName)
        case 3:
            let start = Int(command.number(Command.afterOne + 4))
            try sum(
                command.firstName, Int(command.number(Command.afterOne)),
                over: start..<start + Int(command.number(Command.afterOne + 8)))
        default: break  // 4 writes to fw_cfg, which nobody has here; others firmware leaves out too
        }
    }

    private func bytes(of name: String) throws(Failure) -> [UInt8] {
        guard let bytes = files[name] else { throw Failure(text: "there is no file '\(name)'") }
        return bytes
    }

    private mutating func place(_ name: String, alignment: UInt32, isLow: Bool) throws(Failure) {
        let size = UInt64(try bytes(of: name).count)
        guard addresses[name] == nil else { throw Failure(text: "'\(name)' has its place already") }
        guard alignment.nonzeroBitCount == 1 else {
            throw Failure(text: "an alignment of \(alignment) is no power of two")
        }
        if isLow {
            var place: UInt64?
            for zone in Self.lowZones where place == nil {
                place = free.take(size, alignment: UInt64(alignment), in: zone)
            }
            guard let address = place else {
                throw Failure(
                    text: "'\(name)' has \(size) bytes, for which there is no RAM at 0xe0000 to 0xfffff")
            }
            addresses[name] = address
            return
        }
        let pages = (size + 4095) & ~4095
        let bounds: Range<UInt64> = 0x100000..<1 << 32
        guard let address = free.takeHighest(pages, alignment: max(UInt64(alignment), 4096), in: bounds) else {
            throw Failure(text: "'\(name)' has \(size) bytes, for which there is no room below 4 GiB")
        }
        addresses[name] = address
        taken.append(address..<address + pages)
    }

    private mutating func point(_ name: String, _ offset: Int, size: Int, to target: String) throws(Failure) {
        var bytes = try bytes(of: name)
        guard let base = addresses[target] else { throw Failure(text: "'\(target)' has no place") }
        guard [1, 2, 4, 8].contains(size), offset <= bytes.count - size else {
            throw Failure(text: "'\(name)' has no field of \(size) bytes at \(offset)")
        }
        bytes.put(bytes.number(at: offset, size: size) &+ base, at: offset, size: size)
        files[name] = bytes
    }

    private mutating func sum(_ name: String, _ offset: Int, over range: Range<Int>) throws(Failure) {
        var bytes = try bytes(of: name)
        guard bytes.indices.contains(offset), range.upperBound <= bytes.count else {
            throw Failure(
                text: "'\(name)' has no bytes \(range.lowerBound) to \(range.upperBound) with a sum at \(offset)")
        }
        bytes.balance(offset, over: range)
        files[name] = bytes
    }

    // MARK: SMBIOS, which has no script: firmware knows its two files

    /// The entry point is that of 2.x ("_SM_") or of 3.x ("_SM3_").
    private mutating func placeSMBIOS() throws(Failure) {
        guard var anchor = files[Self.anchorFile], files[Self.structuresFile] != nil else { return }
        do throws(Failure) {
            // First: kernels look for it in the first zone only.
            try place(Self.anchorFile, alignment: 16, isLow: true)
            try place(Self.structuresFile, alignment: 16, isLow: true)
        } catch {
            throw Failure(text: "SMBIOS: \(error.text)")
        }
        guard let address = addresses[Self.structuresFile] else { return }
        if anchor.starts(with: Array("_SM_".utf8)), anchor.count >= 0x1F, Int(anchor[5]) == 0x1F {
            anchor.put(address, at: 0x18, size: 4)
            anchor.balance(0x15, over: 0x10..<0x1F)
            anchor.balance(4, over: 0..<0x1F)
        } else if anchor.starts(with: Array("_SM3_".utf8)), anchor.count >= 0x18, Int(anchor[6]) == 0x18 {
            anchor.put(address, at: 0x10, size: 8)
            anchor.balance(5, over: 0..<0x18)
        } else {
            throw Failure(text: "SMBIOS: '\(Self.anchorFile)' is no entry point")
        }
        files[Self.anchorFile] = anchor
    }

    // MARK: The MP table, which firmware makes itself

    /// Its floating pointer ("_MP_") is looked for from 0xF0000 on, at multiples of 16.
    private mutating func placeMPTable() throws(Failure) {
        guard var pointer = files[Self.mpPointerFile], files[Self.mpTableFile] != nil else { return }
        guard pointer.count == 16, pointer.starts(with: Array("_MP_".utf8)) else {
            throw Failure(text: "MP table: '\(Self.mpPointerFile)' is no floating pointer")
        }
        do throws(Failure) {
            try place(Self.mpPointerFile, alignment: 16, isLow: true)
            try place(Self.mpTableFile, alignment: 16, isLow: true)
        } catch {
            throw Failure(text: "MP table: \(error.text)")
        }
        guard let address = addresses[Self.mpTableFile] else { return }
        pointer.put(address, at: 4, size: 4)
        pointer.balance(10, over: 0..<16)
        files[Self.mpPointerFile] = pointer
    }
}

extension [UInt8] {
    /// Little-endian.
    fileprivate func number(at offset: Int, size: Int) -> UInt64 {
        self[offset..<offset + size].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    fileprivate mutating func put(_ value: UInt64, at offset: Int, size: Int) {
        for i in 0..<size { self[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(i))) }
    }

    /// The byte at `offset` makes the sum of `range` zero.
    fileprivate mutating func balance(_ offset: Int, over range: Range<Int>) {
        self[offset] = 0
        self[offset] = 0 &- self[range].reduce(0, &+)
    }
}
