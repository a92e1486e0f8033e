import KernelImages
import Testing
import Unpacking

@Suite struct UnpackerTests {
    private static let formats: [(Compression, @Sendable ([UInt8]) -> [UInt8])] = [
        (.xz, { Pack.xz($0) }), (.lzma, { Pack.lzma($0) }), (.zstd, { Pack.zstd($0) }), (.gzip, { Pack.gzip($0) }),
    ]

    @Test func whatRealCompressorsMadeComesOutWhole() throws {
        let sample = Pack.sample(3 << 20)
        for (format, pack) in Self.formats {
            let packed = pack(sample)
            #expect(Compression(packed) == format)
            #expect(packed.count < sample.count / 2)
            #expect(try Unpacker.unpack(packed[...], format, size: sample.count) == sample)
        }
    }

    @Test func bytesBehindTheStreamAreNotLookedAt() throws {
        let sample = Pack.sample(10_000)
        for (format, pack) in Self.formats {
            let packed = pack(sample) + [0x10, 0x27, 0, 0]
            #expect(try Unpacker.unpack(packed[...], format, size: sample.count) == sample)
        }
    }

    @Test func aSizeThatIsNotTheStreamsIsRefused() {
        let sample = Pack.sample(10_000)
        for (format, pack) in Self.formats {
            let packed = pack(sample)
            for size in [1, 9_999, 10_001, 1 << 28] {
                #expect(throws: UnpackingError.self, "\(format), \(size)") {
                    try Unpacker.unpack(packed[...], format, size: size)
                }
            }
        }
    }

    @Test func aStreamThatIsCutOffIsRefused() {
        let sample = Pack.sample(100_000)
        for (format, pack) in Self.formats {
            let packed = pack(sample)
            for count in [0, 1, 5, 6, 13, packed.count / 2, packed.count - 20] {
                #expect(throws: UnpackingError.self, "\(format), \(count)") {
                    try Unpacker.unpack(packed[..<count], format, size: sample.count)
                }
            }
        }
    }

    /// xz, zstd and gzip check what they unpack; lzma does not, and may give other bytes.
    @Test func aDamagedStreamIsRefusedOrGivesAsManyBytesAsAskedFor() {
        var numbers = Sequence64(0xDA3A6E)
        let sample = Pack.sample(20_000)
        for (format, pack) in Self.formats {
            let packed = pack(sample)
            for _ in 0..<300 {
                var damaged = packed
                damaged[numbers.below(damaged.count)] ^= UInt8(1 + numbers.below(255))
                let unpacked = try? Unpacker.unpack(damaged[...], format, size: sample.count)
                #expect(unpacked == nil || unpacked?.count == sample.count)
            }
        }
    }

    /// 1 GiB of zeros in little: the decoder stops at the size that it was given.
    @Test func aBombTakesNoMoreThanItsSize() {
        let packed = Pack.gzip([UInt8](repeating: 0, count: 64 << 20))
        #expect(throws: UnpackingError("it unpacks to more than 4096 bytes")) {
            try Unpacker.unpack(packed[...], .gzip, size: 4096)
        }
    }

    /// A header that asks for a dictionary of 4 GiB - 1 (.lzma: properties, then the size of the dictionary).
    @Test func aHugeDictionaryIsRefused() {
        var packed = Pack.lzma(Pack.sample(10_000))
        packed.replaceSubrange(1..<5, with: [0xFF, 0xFF, 0xFF, 0xFF])
        #expect(throws: UnpackingError("its dictionary takes more than 256 MiB")) {
            try Unpacker.unpack(packed[...], .lzma, size: 10_000)
        }
    }

    @Test func theFirstBytesTellTheFormat() {
        #expect(Compression([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0, 1]) == .xz)
        #expect(Compression([0x28, 0xB5, 0x2F, 0xFD, 0x24]) == .zstd)
        #expect(Compression([0x1F, 0x8B, 8]) == .gzip)
        #expect(Compression(Array("BZh9".utf8)) == .bzip2)
        #expect(Compression([0x02, 0x21, 0x4C, 0x18]) == .lz4)
        #expect(Compression([0x89, 0x4C, 0x5A, 0x4F, 0]) == .lzo)
        #expect(Compression([0x7F, 0x45, 0x4C, 0x46]) == nil)
        #expect(Compression([]) == nil)
        #expect(!Compression.bzip2.isSupported && !Compression.lz4.isSupported && !Compression.lzo.isSupported)
    }
}
