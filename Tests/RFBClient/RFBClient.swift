/// A client of RFB that restates RFC 6143, without a socket: what the server sends goes in, what is to be sent comes out.
public struct RFBClient {
    public struct Violation: Error, Equatable { public var text: String }

    /// PIXEL_FORMAT, 7.4.
    public struct Format: Sendable {
        public var bits = 32, depth = 24, isBigEndian = false
        public var max = (255, 255, 255), shift = (16, 8, 0)
        public init() {}
        public init(
            bits: Int, depth: Int, isBigEndian: Bool, max: (Int, Int, Int), shift: (Int, Int, Int)
        ) {
            (self.bits, self.depth, self.isBigEndian, self.max, self.shift) = (bits, depth, isBigEndian, max, shift)
        }

        public var wire: [UInt8] {
            [UInt8(bits), UInt8(depth), isBigEndian ? 1 : 0, 1] + u16(max.0) + u16(max.1) + u16(max.2)
                + [UInt8(shift.0), UInt8(shift.1), UInt8(shift.2), 0, 0, 0]
        }

        /// Bytes of a CPIXEL, and whether the lowest of a pixel's four is the one that is left out (7.7.5).
        var compact: (bytes: Int, isHigh: Bool) {
            let all = max.0 << shift.0 | max.1 << shift.1 | max.2 << shift.2
            guard bits == 32, depth <= 24 else { return (bits / 8, false) }
            if all < 1 << 24 { return (3, false) }
            return all & 0xFF == 0 ? (3, true) : (4, false)
        }
    }

    public struct Rectangle: Equatable, Sendable {
        public var x, y, width, height: Int
        public var encoding: Int32
        public init(x: Int, y: Int, width: Int, height: Int, encoding: Int32) {
            (self.x, self.y, self.width, self.height, self.encoding) = (x, y, width, height, encoding)
        }
    }

    private enum Stage { case version, security, result, initialisation, message, rectangle(left: Int) }

    public let minor: Int
    public var format = Format()
    /// To be sent, in answer to what came.
    public var toSend: [UInt8] = []
    public private(set) var (width, height) = (0, 0)
    public private(set) var name = ""
    /// Levels of red, green and blue as they came.
    public private(set) var pixels: [[Int]] = []
    /// Whole updates.
    public private(set) var updates = 0
    public private(set) var rectangles: [Rectangle] = []
    /// Subencodings of ZRLE's tiles that were met.
    public private(set) var subencodings: Set<UInt8> = []
    private let isShared: Bool
    private var stage = Stage.version
    private var input: [UInt8] = []
    private let stream = Inflate()
    private let tightStreams = [Inflate(), Inflate(), Inflate(), Inflate()]
    /// Kinds of Tight's rectangles that were met: 0 pixels, 1 palette, 8 one colour.
    public private(set) var tightKinds: Set<UInt8> = []

    public init(minor: Int = 8, isShared: Bool = true) { (self.minor, self.isShared) = (minor, isShared) }

    public var isReady: Bool { width > 0 }

    // MARK: What a client says

    public mutating func set(_ format: Format) {
        self.format = format
        toSend += [0, 0, 0, 0] + format.wire
    }
    public static func encodings(_ names: Int32...) -> [UInt8] {
        [2, 0] + u16(names.count) + names.flatMap { u32(UInt32(bitPattern: $0)) }
    }
    public func request(isIncremental: Bool) -> [UInt8] {
        [3, isIncremental ? 1 : 0, 0, 0, 0, 0] + u16(width) + u16(height)
    }
    public static func key(_ keysym: UInt32, isDown: Bool) -> [UInt8] { [4, isDown ? 1 : 0, 0, 0] + u32(keysym) }
    /// QEMU's, of rfbproto.
    public static func key(_ keysym: UInt32, scanCode: UInt32, isDown: Bool) -> [UInt8] {
        [255, 0, 0, isDown ? 1 : 0] + u32(keysym) + u32(scanCode)
    }
    public static func pointer(_ buttons: UInt8, _ x: Int, _ y: Int) -> [UInt8] { [5, buttons] + u16(x) + u16(y) }

    // MARK: What the server says

    public mutating func receive(_ bytes: [UInt8]) throws {
        input += bytes
        while try step() {}
    }

    /// The next bytes, if so many are there.
    private func peek(_ count: Int) -> [UInt8]? { input.count >= count ? Array(input.prefix(count)) : nil }

    private mutating func take(_ count: Int) -> [UInt8]? {
        guard let bytes = peek(count) else { return nil }
        input.removeFirst(count)
        return bytes
    }

    private mutating func step() throws -> Bool {
        switch stage {
        case .version:
            guard let bytes = take(12) else { return false }
            guard bytes == Array("RFB 003.008\n".utf8) else { throw Violation(text: "version") }
            toSend += Array("RFB 003.00\(minor)\n".utf8)
            stage = .security
        case .security: return try takeSecurity()
        case .result:
            guard let bytes = take(4) else { return false }
            guard bytes == [0, 0, 0, 0] else { throw Violation(text: "security failed") }
            beginSession()
        case .initialisation: return try takeInitialisation()
        case .message:
            guard let bytes = take(4) else { return false }
            guard bytes[0] == 0 else { throw Violation(text: "message \(bytes[0])") }
            beginRectangle(left: Int(bytes[2]) << 8 | Int(bytes[3]))
        case .rectangle(let left):
            guard try takeRectangle() else { return false }
            beginRectangle(left: left - 1)
        }
        return true
    }

    private mutating func takeSecurity() throws -> Bool {
        if minor == 3 {
            guard let bytes = take(4) else { return false }
            guard bytes == [0, 0, 0, 1] else { throw Violation(text: "no security type 1") }
            beginSession()
            return true
        }
        guard let count = peek(1)?[0], let bytes = take(1 + Int(count)) else { return false }
        guard bytes.dropFirst().contains(1) else { throw Violation(text: "no security type 1") }
        toSend.append(1)
        // 7.2.1: only 3.8 has a result where there was no authentication.
        if minor == 8 { stage = .result } else { beginSession() }
        return true
    }

    private mutating func beginSession() {
        toSend.append(isShared ? 1 : 0)
        stage = .initialisation
    }

    private mutating func takeInitialisation() throws -> Bool {
        guard let bytes = peek(24) else { return false }
        let length = number(bytes[20...])
        guard length < 1000, let all = take(24 + length) else { return false }
        guard Array(all[4..<20]) == Format().wire else { throw Violation(text: "another format than is tested") }
        name = String(decoding: all[24...], as: UTF8.self)
        resize(number(all[0..<2]), number(all[2..<4]))
        stage = .message
        return true
    }

    private mutating func resize(_ width: Int, _ height: Int) {
        (self.width, self.height) = (width, height)
        pixels = [[Int]](repeating: [], count: width * height)
    }

    private mutating func beginRectangle(left: Int) {
        if left > 0 { return stage = .rectangle(left: left) }
        updates += 1
        stage = .message
    }

    private mutating func takeRectangle() throws -> Bool {
        guard let head = peek(12) else { return false }
        let area = Rectangle(
            x: number(head[0..<2]), y: number(head[2..<4]), width: number(head[4..<6]), height: number(head[6..<8]),
            encoding: Int32(truncatingIfNeeded: number(head[8..<12])))
        switch area.encoding {
        case 0:
            let length = area.width * area.height * format.bits / 8
            guard let data = take(12 + length) else { return false }
            try check(area)
            var reader = PixelReader(Array(data[12...]), format, isCompact: false)
            for place in 0..<area.width * area.height { try put(reader.pixel(), place, area) }
        case 16:
            guard let length = peek(16).map({ number($0[12...]) }), let data = take(16 + length) else { return false }
            try check(area)
            guard let plain = stream.unpack(Array(data[16...])) else { throw Violation(text: "deflate") }
            try takeTiles(area, plain)
        case 7:
            guard try takeTight(area) else { return false }
        case -223:
            _ = take(12)
            resize(area.width, area.height)
        case -258: _ = take(12)
        default: throw Violation(text: "encoding \(area.encoding)")
        }
        rectangles.append(area)
        return true
    }

    private func check(_ area: Rectangle) throws {
        guard area.width > 0, area.height > 0, area.x + area.width <= width, area.y + area.height <= height else {
            throw Violation(text: "a rectangle outside of the picture")
        }
    }

    private mutating func put(_ pixel: [Int], _ place: Int, _ area: Rectangle) throws {
        pixels[(area.y + place / area.width) * width + area.x + place % area.width] = pixel
    }

    /// rfbproto, 7.7.8. False: it is not whole yet.
    private mutating func takeTight(_ area: Rectangle) throws -> Bool {
        guard area.width <= 2048 else { throw Violation(text: "a rectangle wider than 2048") }
        var reader = PixelReader(Array(input.dropFirst(12)), format, isCompact: false)
        reader.isTight = true
        guard let control = try? reader.byte() else { return false }
        guard control & 0xF == 0, control == 0x80 || control < 0x80 else { throw Violation(text: "control \(control)") }
        guard let rectangle = try reader.tight(control, area.width, area.height, tightStreams) else { return false }
        try check(area)
        tightKinds.insert(control == 0x80 ? 8 : control >> 6)
        for (place, pixel) in rectangle.enumerated() { try put(pixel, place, area) }
        _ = take(12 + reader.place)
        return true
    }

    /// 7.7.6.
    private mutating func takeTiles(_ area: Rectangle, _ plain: [UInt8]) throws {
        var reader = PixelReader(plain, format, isCompact: true)
        for top in stride(from: 0, to: area.height, by: 64) {
            for left in stride(from: 0, to: area.width, by: 64) {
                let tile = Rectangle(
                    x: area.x + left, y: area.y + top, width: min(64, area.width - left),
                    height: min(64, area.height - top), encoding: 16)
                let subencoding = try reader.byte()
                subencodings.insert(subencoding)
                for (place, pixel) in try reader.tile(subencoding, tile.width, tile.height).enumerated() {
                    try put(pixel, place, tile)
                }
            }
        }
        guard reader.isAtEnd else { throw Violation(text: "bytes behind the last tile") }
    }
}

func u16(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
func u32(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(value >> $0 & 0xFF) } }
func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
