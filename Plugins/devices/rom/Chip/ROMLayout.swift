/// Where a ROM and its aliases answer: what the properties of the plugin `rom` come to.
/// Source: a PC's firmware hub (82802 data sheet, section 3): the image ends at 4 GiB, its last part answers below 1
/// MiB too. Not modelled: the flash commands that program or identify a chip.
public struct ROMLayout: Equatable, Sendable {
    /// A part of the padded image in guest-physical memory; every number is a multiple of 4096.
    public struct Mapping: Equatable, Sendable {
        /// In the padded image.
        public var offset: UInt64
        public var address: UInt64
        public var length: UInt64
    }

    /// Of the image with its padding: a multiple of 4096.
    public let length: UInt64
    /// Of the image in it. Padding is in front where the image is placed by its end, else behind; it reads as 0xff.
    public let imageOffset: UInt64
    /// The whole image first, then its aliases as they are listed.
    public let mappings: [Mapping]

    public static let page: UInt64 = 4096
    public static let padding: UInt8 = 0xFF
    /// Of each alias where nothing else is said, if the image has as many.
    public static let usualAliasSize: UInt64 = 0x20000

    /// - Parameters:
    ///   - imageSize: bytes, at least 1.
    ///   - at: of the first byte.
    ///   - end: of the byte after the last one. Exactly one of the two is given.
    ///   - aliasSize: how many bytes at the end of the padded image each alias shows; nil: 128 KiB, or all if it has
    ///     fewer.
    public init(
        imageSize: UInt64, at: UInt64?, end: UInt64?, aliases: [UInt64], aliasSize: UInt64?
    ) throws(ROMProblem) {
        let length = (imageSize &+ (Self.page - 1)) & ~(Self.page - 1)
        guard length >= imageSize, length > 0 else { throw .beyondAddresses(address: at ?? 0, length: imageSize) }
        let base = try Self.base(length, at: at, end: end)
        let aliasLength = aliasSize ?? min(Self.usualAliasSize, length)
        guard aliasLength > 0, aliasLength.isMultiple(of: Self.page) else { throw .aliasSizeNotPages(aliasLength) }
        guard aliasLength <= length else { throw .aliasLargerThanImage(aliasLength, image: length) }
        var mappings = [Mapping(offset: 0, address: base, length: length)]
        for address in aliases {
            guard address.isMultiple(of: Self.page) else { throw .notAtPage("alias", address) }
            mappings.append(Mapping(offset: length - aliasLength, address: address, length: aliasLength))
        }
        try Self.check(mappings)
        self.length = length
        self.mappings = mappings
        imageOffset = end == nil ? 0 : length - imageSize
    }

    private static func base(_ length: UInt64, at: UInt64?, end: UInt64?) throws(ROMProblem) -> UInt64 {
        switch (at, end) {
        case (nil, nil): throw .noPlace
        case (.some, .some): throw .twoPlaces
        case (let at?, nil):
            guard at.isMultiple(of: page) else { throw .notAtPage("at", at) }
            return at
        case (nil, let end?):
            guard end.isMultiple(of: page) else { throw .notAtPage("end", end) }
            guard end >= length else { throw .endBelowSize(end, length: length) }
            return end - length
        }
    }

    private static func check(_ mappings: [Mapping]) throws(ROMProblem) {
        for mapping in mappings where mapping.length - 1 > UInt64.max - mapping.address {
            throw .beyondAddresses(address: mapping.address, length: mapping.length)
        }
        let ascending = mappings.sorted { $0.address < $1.address }
        for (lower, upper) in zip(ascending, ascending.dropFirst()) where upper.address - lower.address < lower.length {
            throw .overlap(lower.address, upper.address)
        }
    }
}

/// Why the properties do not go together.
public enum ROMProblem: Error, Equatable, Sendable {
    case noPlace
    case twoPlaces
    case notAtPage(String, UInt64)
    case endBelowSize(UInt64, length: UInt64)
    case beyondAddresses(address: UInt64, length: UInt64)
    case aliasSizeNotPages(UInt64)
    case aliasLargerThanImage(UInt64, image: UInt64)
    case overlap(UInt64, UInt64)

    public var text: String {
        switch self {
        case .noPlace: "neither at nor end says where the image goes"
        case .twoPlaces: "at and end are both given, but only one of them can say where the image goes"
        case .notAtPage(let property, let address): "\(property) \(Self.hex(address)) is not a multiple of 4096"
        case .endBelowSize(let end, let length):
            "end \(Self.hex(end)) leaves no room below it for the image, which takes \(length) bytes"
        case .beyondAddresses(let address, let length):
            "\(length) bytes at \(Self.hex(address)) go beyond the last address"
        case .aliasSizeNotPages(let size): "alias-size \(size) is not a multiple of 4096 above 0"
        case .aliasLargerThanImage(let size, let image):
            "alias-size \(size) is more than the image, which takes \(image) bytes"
        case .overlap(let lower, let upper):
            "the mappings at \(Self.hex(lower)) and \(Self.hex(upper)) overlap"
        }
    }

    private static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
