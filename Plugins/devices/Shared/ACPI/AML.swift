/// ACPI machine language: a term, or several in a row, as its bytes.
/// Source: ACPI 6.5, chapter 20. Terms are made by the functions here and in `AMLExpressions.swift`; resource templates
/// come from `Resource`.
public struct AML: Equatable, Sendable {
    public private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    public init(_ terms: [AML]) { bytes = terms.flatMap(\.bytes) }

    /// Terms that somebody else has encoded.
    public init(verbatim bytes: [UInt8]) { self.bytes = bytes }

    /// PkgLength and contents: the length counts its own bytes (20.2.4).
    static func package(_ contents: [UInt8]) -> [UInt8] {
        if contents.count + 1 < 1 << 6 { return [UInt8(contents.count + 1)] + contents }
        let following = contents.count + 2 < 1 << 12 ? 1 : contents.count + 3 < 1 << 20 ? 2 : 3
        let length = UInt32(clamping: contents.count + 1 + following)
        let rest = (0..<following).map { UInt8(truncatingIfNeeded: length &>> UInt32(4 + 8 * $0)) }
        return [UInt8(following << 6) | UInt8(length & 15)] + rest + contents
    }

    // MARK: Names

    /// NameString: `\` and `^` in front, then segments with dots between. A segment is made to fit: four characters of A to
    /// Z, 0 to 9 and `_`, the first no digit.
    public static func path(_ name: String) -> AML {
        var characters = Array(name.utf8)[...]
        var bytes: [UInt8] = []
        while let first = characters.first, first == UInt8(ascii: "\\") || first == UInt8(ascii: "^") {
            bytes.append(first)
            characters = characters.dropFirst()
        }
        let segments = characters.split(separator: UInt8(ascii: ".")).prefix(255)
        switch segments.count {
        case 0: bytes.append(0x00)
        case 1: break
        case 2: bytes.append(0x2E)
        default: bytes += [0x2F, UInt8(segments.count)]
        }
        return AML(bytes + segments.flatMap { segment(Array($0)) })
    }

    static func segment(_ characters: [UInt8]) -> [UInt8] {
        var bytes = characters.prefix(4).map { character -> UInt8 in
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): character
            case UInt8(ascii: "a")...UInt8(ascii: "z"): character &- 32
            default: UInt8(ascii: "_")
            }
        }
        if let first = bytes.first, first < UInt8(ascii: "A") { bytes[0] = UInt8(ascii: "_") }
        return bytes + [UInt8](repeating: UInt8(ascii: "_"), count: 4 - bytes.count)
    }

    // MARK: Data

    public static func integer(_ value: UInt64) -> AML {
        switch value {
        case 0: AML([0x00])
        case 1: AML([0x01])
        case ...0xFF: AML([0x0A, UInt8(value)])
        case ...0xFFFF: AML([0x0B] + UInt16(value).littleEndianBytes)
        case ...0xFFFF_FFFF: AML([0x0C] + UInt32(value).littleEndianBytes)
        default: AML([0x0E] + value.littleEndianBytes)
        }
    }

    /// Characters that are not ASCII, and zeroes, are left out.
    public static func string(_ text: String) -> AML { AML([0x0D] + text.utf8.filter { $0 > 0 && $0 < 128 } + [0]) }

    public static func buffer(_ contents: [UInt8]) -> AML {
        AML([0x11] + package(integer(UInt64(contents.count)).bytes + contents))
    }

    /// Up to 255 elements; more go into the form with a length that is computed.
    public static func package(_ elements: [AML]) -> AML {
        let contents = elements.flatMap(\.bytes)
        guard elements.count > 255 else { return AML([0x12] + package([UInt8(elements.count)] + contents)) }
        return AML([0x13] + package(integer(UInt64(elements.count)).bytes + contents))
    }

    public static func resources(_ resources: [Resource]) -> AML {
        buffer(resources.flatMap(\.bytes) + [0x79, 0x00])
    }

    /// EISAID: three letters and four hexadecimal digits, compressed; others stay strings, as _HID allows.
    public static func hardwareID(_ id: String) -> AML {
        let characters = Array(id.utf8)
        guard characters.count == 7, id.suffix(4).allSatisfy(\.isHexDigit),
            let product = UInt16(id.suffix(4), radix: 16),
            characters[0..<3].allSatisfy({ (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) })
        else { return string(id) }
        let letters = characters[0..<3].reduce(UInt16(0)) { $0 << 5 | UInt16($1 & 0x1F) }
        return AML([0x0C] + [letters, product].flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] })
    }

    // MARK: Named objects

    public static func name(_ name: String, _ value: AML) -> AML { AML([0x08] + path(name).bytes + value.bytes) }

    public static func scope(_ name: String, _ terms: [AML]) -> AML {
        AML([0x10] + package(path(name).bytes + AML(terms).bytes))
    }

    public static func device(_ name: String, _ terms: [AML]) -> AML {
        AML([0x5B, 0x82] + package(path(name).bytes + AML(terms).bytes))
    }

    /// `arguments`: 0...7.
    public static func method(_ name: String, arguments: UInt8 = 0, isSerialized: Bool = false, _ terms: [AML]) -> AML {
        let flags = min(arguments, 7) | (isSerialized ? 8 : 0)
        return AML([0x14] + package(path(name).bytes + [flags] + AML(terms).bytes))
    }

    public enum Space: UInt8, Sendable { case memory = 0, io = 1, configuration = 2 }

    public static func operationRegion(_ name: String, _ space: Space, offset: UInt64, length: UInt64) -> AML {
        AML([0x5B, 0x80] + path(name).bytes + [space.rawValue] + integer(offset).bytes + integer(length).bytes)
    }

    public enum FieldAccess: UInt8, Sendable { case any = 0, byte, word, doubleWord, quadWord }
    public enum FieldUpdate: UInt8, Sendable { case preserve = 0, ones, zeroes }
    /// Bits from the region's start on, in order; a gap has no name.
    public enum FieldUnit: Equatable, Sendable {
        case field(String, bits: UInt32)
        case gap(bits: UInt32)
    }

    public static func field(
        _ region: String, access: FieldAccess, isLocked: Bool = false, update: FieldUpdate = .preserve,
        _ units: [FieldUnit]
    ) -> AML {
        let flags = access.rawValue | (isLocked ? 0x10 : 0) | update.rawValue << 5
        let list = units.flatMap { unit -> [UInt8] in
            switch unit {
            case .field(let name, let bits): segment(Array(name.utf8)) + fieldLength(bits)
            case .gap(let bits): [0x00] + fieldLength(bits)
            }
        }
        return AML([0x5B, 0x81] + package(path(region).bytes + [flags] + list))
    }

    /// PkgLength's form for a count of bits, which does not count itself.
    private static func fieldLength(_ bits: UInt32) -> [UInt8] {
        if bits < 1 << 6 { return [UInt8(bits)] }
        let following = bits < 1 << 12 ? 1 : bits < 1 << 20 ? 2 : 3
        return [UInt8(following << 6) | UInt8(bits & 15)]
            + (0..<following).map { UInt8(truncatingIfNeeded: bits &>> UInt32(4 + 8 * $0)) }
    }

    public static func mutex(_ name: String) -> AML { AML([0x5B, 0x01] + path(name).bytes + [0]) }
}
