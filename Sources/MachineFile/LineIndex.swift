/// Lines as libyaml counts them: they end with LF, CR, CR LF, NEL (U+0085), LS (U+2028) or PS (U+2029).
struct LineIndex {
    /// Byte ranges without the line ends.
    private(set) var lines: [Range<Int>] = []

    init(_ bytes: [UInt8]) {
        var start = 0
        var at = 0
        while at < bytes.count {
            let length = LineIndex.breakLength(bytes, at)
            if length > 0 {
                lines.append(start..<at)
                at += length
                start = at
            } else {
                at += 1
            }
        }
        lines.append(start..<bytes.count)
    }

    /// The place of a byte; of the end, where `offset` is beyond it.
    static func place(ofByte offset: Int, in bytes: some RandomAccessCollection<UInt8>) -> Mark {
        let bytes = Array(bytes.prefix(offset))
        let index = LineIndex(bytes)
        guard let last = index.lines.last else { return Mark(line: 1, column: 1) }
        return Mark(line: index.lines.count, column: scalars(bytes[last]) + 1)
    }

    /// Bytes that continue a scalar do not count.
    static func scalars(_ bytes: ArraySlice<UInt8>) -> Int { bytes.count { $0 & 0xc0 != 0x80 } }

    /// Where the scalar with that number, from 0, begins; the end, where there are fewer.
    static func position(ofScalar number: Int, in bytes: ArraySlice<UInt8>) -> Int {
        var left = number
        for position in bytes.indices where bytes[position] & 0xc0 != 0x80 {
            if left == 0 { return position }
            left -= 1
        }
        return bytes.endIndex
    }

    /// Bytes of the line end at `at`; 0: there is none.
    private static func breakLength(_ bytes: [UInt8], _ at: Int) -> Int {
        func byte(_ offset: Int) -> UInt8 { at + offset < bytes.count ? bytes[at + offset] : 0 }
        return switch bytes[at] {
        case 0x0a: 1
        case 0x0d: byte(1) == 0x0a ? 2 : 1
        case 0xc2: byte(1) == 0x85 ? 2 : 0
        case 0xe2: byte(1) == 0x80 && (byte(2) == 0xa8 || byte(2) == 0xa9) ? 3 : 0
        default: 0
        }
    }
}
