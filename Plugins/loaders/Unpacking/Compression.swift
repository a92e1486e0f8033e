/// How a payload is compressed, by the bytes that it starts with.
public enum Compression: String, Sendable, CaseIterable {
    case xz, lzma, zstd, gzip, bzip2, lz4, lzo

    public init?(_ bytes: some Collection<UInt8>) {
        let known = Self.allCases.first { bytes.starts(with: $0.magic) }
        guard let known else { return nil }
        self = known
    }

    /// The host's libraries can unpack it.
    public var isSupported: Bool {
        switch self {
        case .xz, .lzma, .zstd, .gzip: true
        case .bzip2, .lz4, .lzo: false
        }
    }

    private var magic: [UInt8] {
        switch self {
        case .xz: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00]
        case .lzma: [0x5D, 0x00, 0x00]
        case .zstd: [0x28, 0xB5, 0x2F, 0xFD]
        case .gzip: [0x1F, 0x8B]
        case .bzip2: [0x42, 0x5A, 0x68]
        case .lz4: [0x02, 0x21, 0x4C, 0x18]
        case .lzo: [0x89, 0x4C, 0x5A, 0x4F]
        }
    }
}
