/// An ISO 9660 image of a few small files in its root directory, with their names as they are in Joliet's.
///
/// Sources: ECMA-119 (2nd edition), sections in the comments; Joliet specification (1995). Every byte follows from the files, no date from the
/// clock, so that runs repeat.
///
/// Departures, and who needs them:
/// - The volume's name may have small letters (8.4.7 has d-characters): cloud-init's tools write `cidata` so, and it is looked for.
public struct ISOImage: Equatable, Sendable {
    public struct File: Equatable, Sendable {
        public var name: String
        public var bytes: [UInt8]
        public init(name: String, bytes: [UInt8]) { (self.name, self.bytes) = (name, bytes) }
    }

    public static let blockSize = 2048
    /// Numbers of blocks; 0 to 15 are the system area (6.2.1).
    private enum Place {
        static let descriptors = 16, tables = 19, joliet = 21, root = 23, jolietRoot = 24, files = 25
    }

    public private(set) var bytes: [UInt8]

    /// - Parameter files: at most 16, with names of 1 to 30 letters, digits, `-` and `.`.
    public init(volume: String, files: [File]) {
        let files = files.sorted { $0.name < $1.name }
        bytes = [UInt8](repeating: 0, count: Place.files * Self.blockSize)
        var entries: [Entry] = []
        for file in files {
            entries.append(Entry(name: file.name, block: bytes.count / Self.blockSize, length: file.bytes.count))
            bytes += file.bytes
            bytes += [UInt8](repeating: 0, count: (Self.blockSize - bytes.count % Self.blockSize) % Self.blockSize)
        }
        put(Self.directory(entries, at: Place.root, Self.primaryName), Place.root)
        put(Self.directory(entries, at: Place.jolietRoot, Self.jolietName), Place.jolietRoot)
        for (place, root) in [(Place.tables, Place.root), (Place.joliet, Place.jolietRoot)] {
            put(Self.pathTable(Self.little32(root), [1, 0]), place)
            put(Self.pathTable(Self.big32(root), [0, 1]), place + 1)
        }
        put(descriptor(Self.padded(volume, 32), type: 1, tables: Place.tables, root: Place.root), Place.descriptors)
        var joliet = descriptor(Self.wide(volume, 32), type: 2, tables: Place.joliet, root: Place.jolietRoot)
        // 8.5.6: UCS-2, level 3.
        joliet.replaceSubrange(88..<91, with: Array("%/E".utf8))
        put(joliet, Place.descriptors + 1)
        put(Self.joined([[255], Array("CD001".utf8), [1]]), Place.descriptors + 2)
    }

    private mutating func put(_ part: [UInt8], _ block: Int) {
        let start = block * Self.blockSize
        bytes.replaceSubrange(start..<start + part.count, with: part)
    }

    // MARK: Numbers and texts

    private static func little32(_ value: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
    private static func big32(_ value: Int) -> [UInt8] { little32(value).reversed() }
    /// 7.3.3
    private static func both32(_ value: Int) -> [UInt8] { little32(value) + big32(value) }
    /// 7.2.3
    private static func both16(_ value: Int) -> [UInt8] { Array(little32(value)[..<2]) + Array(big32(value)[2...]) }

    private static func joined(_ parts: [[UInt8]]) -> [UInt8] { parts.flatMap { $0 } }

    private static func padded(_ text: String, _ count: Int) -> [UInt8] {
        Array((Array(text.utf8) + [UInt8](repeating: 0x20, count: count)).prefix(count))
    }
    private static func wide(_ text: String, _ count: Int) -> [UInt8] {
        let units = Array(text.utf16) + [UInt16](repeating: 0x20, count: count / 2)
        return units.prefix(count / 2).flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    }

    // MARK: Directories

    private struct Entry {
        var name: String
        var block: Int
        var length: Int
    }

    /// 7.5: capital letters, digits and `_`, a point, a version.
    private static func primaryName(_ name: String) -> [UInt8] {
        let letters = name.uppercased().utf8.map { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) ? byte : UInt8(ascii: "_")
        }
        return Array(letters.prefix(28)) + Array(".;1".utf8)
    }
    private static func jolietName(_ name: String) -> [UInt8] { wide(name, name.utf16.count * 2) }

    /// 9.1
    private static func record(_ name: [UInt8], block: Int, length: Int, isDirectory: Bool) -> [UInt8] {
        var record = joined([
            [0, 0], both32(block), both32(length),
            // 9.1.5: the beginning of 2000, UTC.
            [100, 1, 1, 0, 0, 0, 0, isDirectory ? 2 : 0, 0, 0], both16(1), [UInt8(truncatingIfNeeded: name.count)],
            name,
        ])
        if record.count % 2 != 0 { record.append(0) }
        record[0] = UInt8(truncatingIfNeeded: record.count)
        return record
    }

    /// Itself and its parent first (6.8.2.2), the others by their names (9.3).
    private static func directory(_ entries: [Entry], at place: Int, _ encode: (String) -> [UInt8]) -> [UInt8] {
        let own = [[0], [1]].flatMap { record($0, block: place, length: blockSize, isDirectory: true) }
        return entries.reduce(own) {
            $0 + record(encode($1.name), block: $1.block, length: $1.length, isDirectory: false)
        }
    }

    /// 9.4, of the root alone.
    private static func pathTable(_ root: [UInt8], _ parent: [UInt8]) -> [UInt8] {
        joined([[1, 0], root, parent, [0, 0]])
    }

    // MARK: Descriptors

    /// 8.4 and 8.5.
    private func descriptor(_ volume: [UInt8], type: UInt8, tables: Int, root: Int) -> [UInt8] {
        func space(_ count: Int) -> [UInt8] {
            guard type != 1 else { return Self.padded("", count) }
            return Self.wide("", count) + [UInt8](repeating: 0, count: count % 2)
        }
        let zeros = [UInt8](repeating: 0, count: 32)
        var part = Self.joined([
            [type], Array("CD001".utf8), [1, 0], space(32), volume, Array(zeros[..<8]),
            Self.both32(bytes.count / Self.blockSize), zeros, Self.both16(1), Self.both16(1),
            Self.both16(Self.blockSize), Self.both32(Self.pathTable([0, 0, 0, 0], [0, 0]).count),
            Self.little32(tables), Self.little32(0), Self.big32(tables + 1), Self.big32(0),
            Self.record([0], block: root, length: Self.blockSize, isDirectory: true),
        ])
        for length in [128, 128, 128, 128, 37, 37, 37] { part += space(length) }
        // 8.4.26.1; the last two are not specified.
        let (date, never) = (Array("2000010100000000".utf8) + [0], Array("0000000000000000".utf8) + [0])
        return Self.joined([part, date, date, never, never, [1]])
    }
}
