/// One client of RFB, versions 3.3, 3.7 and 3.8 (RFC 6143): bytes in, bytes out, without a socket and without a clock. Not modelled: passwords, a
/// colour map, what is cut and pasted (read and dropped), and messages that were not offered, which end the connection.
public struct Session {
    /// What ends the connection: a sentence about the client.
    public struct Refusal: Error, Equatable {
        public var text: String
    }

    public enum Event: Equatable, Sendable {
        /// The client wants to be alone.
        case exclusive
        /// `name`: the same for both; `codes`: evdev's, in the order in which they go down.
        case keyDown(name: UInt64, codes: [UInt32])
        case keyUp(name: UInt64)
        /// Bits as RFC 6143, 7.5.5, has them: left, middle, right, wheel up, down, left, right.
        case pointer(buttons: UInt8, x: Int, y: Int)
    }

    enum Stage {
        case version, security, initialisation
        /// All is agreed on; the picture's size is to come.
        case size
        case open
    }

    /// Encodings: 7.7, and the registry of rfbproto.
    enum Encoding {
        static let raw: Int32 = 0, tight: Int32 = 7, zrle: Int32 = 16, size: Int32 = -223, extendedKeys: Int32 = -258
    }

    static let mostEncodings = 1024
    static let longestText = 1 << 20
    /// Keys that are down: more are no hands.
    static let mostKeys = 64

    private var input: [UInt8] = []
    /// Bytes of a text that are still to be dropped.
    private var skipped = 0
    private(set) var stage = Stage.version
    private var minor = 8
    private var shifts: Set<UInt64> = []
    private var events: [Event] = []
    private let name: [UInt8]

    // Of the updates: see Session+Updates.swift.
    var pixels = ClientPixels.own
    var encodings: Set<Int32> = []
    /// Of raw pixels, Tight and ZRLE the one that it likes best.
    var encoding = Encoding.raw
    var zrle: ZRLE?
    var tight: Tight?
    var hasAnnouncedKeys = false
    /// What the client thinks that the picture's size is.
    var (width, height) = (0, 0)
    var changed = TileSet(width: 0, height: 0)
    /// What it has asked for.
    var request: PixelArea?
    /// Bytes for the client, to be taken from the front by `consume`. No picture is added while there are any.
    public internal(set) var output: [UInt8]
    private var sent = 0

    /// - Parameter name: what the client calls its window.
    public init(name: String) {
        self.name = Array(name.utf8.prefix(256))
        output = Array("RFB 003.008\n".utf8)
    }

    /// All is agreed on but the picture's size: `open` is to be called.
    public var wantsSize: Bool { stage == .size }
    public var isOpen: Bool { stage == .open }
    var size: (width: Int, height: Int) { (width, height) }

    public func withOutput<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        output.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
    }

    public mutating func consume(_ count: Int) {
        sent += count
        guard sent >= output.count else { return }
        (output, sent) = ([], 0)
    }

    /// Bytes of the client's. What it means comes out as events, up to where it breaks the rules.
    public mutating func receive(_ bytes: UnsafeRawBufferPointer) -> (events: [Event], refusal: Refusal?) {
        input += bytes
        var place = 0
        var refusal: Refusal?
        do throws(Refusal) {
            while let length = try take(input[place...]) { place += length }
        } catch {
            refusal = error
        }
        input.removeFirst(place)
        defer { events = [] }
        return (events, refusal)
    }

    /// The size is known: the client may ask for pictures.
    public mutating func open(_ image: ScreenImage) {
        guard stage == .size else { return }
        stage = .open
        setSize(image)
        output += Wire.u16(width) + Wire.u16(height) + pixels.wire + Wire.u32(UInt32(name.count)) + name
    }

    // MARK: Messages: each answers its length, nil while it is not whole

    private mutating func take(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> Int? {
        if skipped > 0 {
            guard !bytes.isEmpty else { return nil }
            let count = min(skipped, bytes.count)
            skipped -= count
            return count
        }
        guard let first = bytes.first else { return nil }
        switch stage {
        case .version: return try takeVersion(bytes)
        case .security: return try takeSecurity(first)
        case .initialisation:
            stage = .size
            if first == 0 { events.append(.exclusive) }
            return 1
        case .size: throw Refusal(text: "it goes on before its turn")
        case .open: return try takeMessage(first, bytes)
        }
    }

    private mutating func takeVersion(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> Int? {
        // Whoever speaks another protocol is not to wait for our answer.
        guard bytes.prefix(4).elementsEqual("RFB ".utf8.prefix(bytes.count)) else {
            throw Refusal(text: "it does not speak RFB")
        }
        guard bytes.count >= 12 else { return nil }
        let text = String(decoding: bytes.prefix(12), as: UTF8.self)
        guard text.utf8.count == 12, text.hasPrefix("RFB 003."), text.hasSuffix("\n"),
            text.dropFirst(8).prefix(3).allSatisfy({ $0.isASCII && $0.isNumber }),
            let minor = Int(text.dropFirst(8).prefix(3)), minor >= 3
        else { throw Refusal(text: "it speaks another version of RFB than 3.3, 3.7 and 3.8") }
        // 7.1.1: what is none of the three is to be taken for 3.3; Apple's 3.889 is 3.8.
        self.minor = minor >= 8 ? 8 : minor == 7 ? 7 : 3
        stage = self.minor == 3 ? .initialisation : .security
        output += self.minor == 3 ? [0, 0, 0, 1] : [1, 1]
        return 12
    }

    private mutating func takeSecurity(_ type: UInt8) throws(Refusal) -> Int {
        guard type == 1 else { throw Refusal(text: "it wants security of type \(type), which was not offered") }
        if minor == 8 { output += [0, 0, 0, 0] }
        stage = .initialisation
        return 1
    }

    private mutating func takeMessage(_ type: UInt8, _ bytes: ArraySlice<UInt8>) throws(Refusal) -> Int? {
        let fields = Wire(bytes)
        switch type {
        case 0:
            guard fields.has(20) else { return nil }
            guard let pixels = ClientPixels(Array(bytes.dropFirst(4).prefix(ClientPixels.wireSize))) else {
                throw Refusal(text: "it wants pixels that are no true colour of 8, 16 or 32 bits")
            }
            self.pixels = pixels
            return 20
        case 2: return try takeEncodings(fields)
        case 3:
            guard fields.has(10) else { return nil }
            ask(
                PixelArea(x: fields.u16(2), y: fields.u16(4), width: fields.u16(6), height: fields.u16(8)),
                isIncremental: fields.u8(1) != 0)
            return 10
        case 4:
            guard fields.has(8) else { return nil }
            takeKey(isDown: fields.u8(1) != 0, keysym: fields.u32(4), scanCode: nil)
            return 8
        case 5:
            guard fields.has(6) else { return nil }
            events.append(.pointer(buttons: UInt8(fields.u8(1)), x: fields.u16(2), y: fields.u16(4)))
            return 6
        case 6:
            guard fields.has(8) else { return nil }
            guard fields.u32(4) <= Self.longestText else { throw Refusal(text: "its text is too long") }
            skipped = Int(fields.u32(4))
            return 8
        case 255:
            guard fields.has(2) else { return nil }
            guard fields.u8(1) == 0 else { throw Refusal(text: "it sends QEMU's message \(fields.u8(1))") }
            guard fields.has(12) else { return nil }
            takeKey(isDown: fields.u16(2) != 0, keysym: fields.u32(4), scanCode: fields.u32(8))
            return 12
        default: throw Refusal(text: "it sends a message of type \(type)")
        }
    }

    private mutating func takeEncodings(_ fields: Wire) throws(Refusal) -> Int? {
        guard fields.has(4) else { return nil }
        let count = fields.u16(2)
        guard count <= Self.mostEncodings else { throw Refusal(text: "it names \(count) encodings") }
        guard fields.has(4 + 4 * count) else { return nil }
        let names = (0..<count).map { Int32(bitPattern: fields.u32(4 + 4 * $0)) }
        encodings = Set(names)
        encoding = names.first { [Encoding.raw, Encoding.tight, Encoding.zrle].contains($0) } ?? Encoding.raw
        return 4 + 4 * count
    }

    private mutating func takeKey(isDown: Bool, keysym: UInt32, scanCode: UInt32?) {
        if let scanCode, let code = KeyCodes.code(scanCode: scanCode) {
            return tell(isDown, name: 1 << 32 | UInt64(scanCode), [code])
        }
        guard let key = KeyCodes.key(keysym: keysym) else { return }
        // Who types a capital letter may hold no Shift: a program, a telephone.
        let isShifted = !key.needsShift || !shifts.isEmpty
        tell(isDown, name: UInt64(keysym), isShifted ? [key.code] : [KeyCodes.leftShift, key.code])
    }

    private mutating func tell(_ isDown: Bool, name: UInt64, _ codes: [UInt32]) {
        if codes == [KeyCodes.leftShift] || codes == [KeyCodes.rightShift] {
            if !isDown { shifts.remove(name) } else if shifts.count < Self.mostKeys { shifts.insert(name) }
        }
        events.append(isDown ? .keyDown(name: name, codes: codes) : .keyUp(name: name))
    }
}

/// Numbers of the protocol: the first byte is the most significant.
struct Wire {
    private let bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    func has(_ count: Int) -> Bool { bytes.count >= count }
    // Inside of what `has` has said.
    func u8(_ place: Int) -> Int { Int(bytes[bytes.startIndex + place]) }
    func u16(_ place: Int) -> Int { u8(place) << 8 | u8(place + 1) }
    func u32(_ place: Int) -> UInt32 { UInt32(u16(place)) << 16 | UInt32(u16(place + 2)) }

    static func u16(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
    }
    static func u32(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
}
