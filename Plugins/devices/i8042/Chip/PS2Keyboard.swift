/// The enhanced keyboard at the controller's keyboard port: scan code sets 1, 2 and 3, commands, typematic repeat.
///
/// Departures: the buffer holds 256 bytes instead of 16, so that a guest which is slow to read loses nothing that a
/// person types. What does not fit is dropped whole, and room is kept for the release of every key whose press was
/// accepted. A release is sent only for such a key. There is no overrun code.
///
/// Not modelled: the shifts that a keyboard simulates around its grey keys for programs of the 83-key keyboard.
public struct PS2Keyboard: Sendable {
    static let capacity = 256
    /// Bytes of the longest release: PrintScreen's in set 2.
    static let longestRelease = 6

    /// A command that waits for its argument.
    public enum Command: UInt8, Sendable {
        case setLEDs = 0xED
        case selectSet = 0xF0
        case setTypematic = 0xF3
        case keyTypematic = 0xFB
        case keyMakeBreak = 0xFC
        case keyMake = 0xFD
    }

    public struct State: Equatable, Sendable {
        public var scanning = true
        /// 1, 2 or 3.
        public var set: UInt8 = 2
        public var leds: UInt8 = 0
        /// Bits 6:5 delay, 4:0 rate: 500 ms, 10.9 a second.
        public var typematic: UInt8 = 0x2B
        public var command: Command?
        /// Codes of set 3 that are sent when the key is released, and that repeat.
        public var breaks = PS2Keyboard.defaultBreaks
        public var repeats = PS2Keyboard.defaultRepeats
        /// Answers to commands; they go before scan codes.
        public var replies: [UInt8] = []
        public var codes: [UInt8] = []
        public var lastSent: UInt8 = 0
        /// Keys whose press was accepted, by evdev code.
        public var down = KeySet()
        /// How PrintScreen was pressed: 0 plain, 1 with Shift or Ctrl, 2 with Alt.
        public var printScreenForm: UInt8 = 0
        /// The key that repeats, and when next, ns; 0: none.
        public var repeatKey: UInt16 = 0
        public var repeatAt: UInt64 = 0

        public init() {}
    }

    public private(set) var state = State()

    public init() {}

    mutating func restore(_ saved: State) -> Bool {
        guard (1...3).contains(saved.set), saved.leds < 8, saved.typematic < 0x80, saved.replies.count <= 4,
            saved.codes.count <= Self.capacity, saved.printScreenForm <= 2,
            saved.codes.count + saved.down.count * Self.longestRelease <= Self.capacity,
            saved.repeatKey == 0 || (ScanCodes.codes(saved.repeatKey) != nil && saved.down[saved.repeatKey])
        else { return false }
        for key in 0..<UInt16(192) where saved.down[key] && ScanCodes.codes(key) == nil { return false }
        state = saved
        return true
    }

    // MARK: Set 3's kinds of keys ("Scan Code Set 3", default key states)

    static let defaultBreaks = KeySet([0x11, 0x12, 0x14, 0x19, 0x59])
    /// All but the keys that make only: Esc, function keys, locks, the keypad, and those that break.
    static let defaultRepeats: KeySet = {
        var set = KeySet()
        for code in UInt16(1)...0x8F { set[code] = true }
        let others: [UInt8] = [
            0x08, 0x07, 0x0F, 0x17, 0x1F, 0x27, 0x2F, 0x37, 0x3F, 0x47, 0x4F, 0x56, 0x5E, 0x57, 0x5F, 0x62, 0x67, 0x6E,
            0x6F, 0x65, 0x6D, 0x76, 0x77, 0x7E, 0x84, 0x6C, 0x75, 0x7D, 0x6B, 0x73, 0x74, 0x69, 0x72, 0x7A, 0x70, 0x71,
            0x79, 0x39, 0x58, 0x8B, 0x8C, 0x8D, 0x11, 0x12, 0x14, 0x19, 0x59,
        ]
        for code in others { set[UInt16(code)] = false }
        return set
    }()

    // MARK: To the controller

    var hasOutput: Bool { !state.replies.isEmpty || !state.codes.isEmpty }

    mutating func next() -> UInt8? {
        let byte: UInt8
        if !state.replies.isEmpty {
            byte = state.replies.removeFirst()
        } else if !state.codes.isEmpty {
            byte = state.codes.removeFirst()
        } else {
            return nil
        }
        if byte != 0xFE { state.lastSent = byte }
        return byte
    }

    // MARK: From the controller

    mutating func receive(_ byte: UInt8, at now: UInt64) {
        state.replies = []
        if let command = state.command, byte < 0xED {
            return argument(byte, of: command)
        }
        state.command = nil
        execute(byte, at: now)
    }

    private mutating func execute(_ byte: UInt8, at now: UInt64) {
        switch byte {
        case 0xED, 0xF0, 0xF3, 0xFB, 0xFC, 0xFD:
            state.command = Command(rawValue: byte)
            state.replies = [0xFA]
        case 0xEE: state.replies = [0xEE]
        case 0xF2: state.replies = [0xFA, 0xAB, 0x83]
        case 0xF4:
            state.codes = []
            state.scanning = true
            state.replies = [0xFA]
        case 0xF5, 0xF6:
            setDefaults()
            state.scanning = byte == 0xF6
            state.replies = [0xFA]
        case 0xF7...0xFA: setAllKeys(byte)
        case 0xFE: state.replies = [state.lastSent]
        case 0xFF: selfTest()
        default: state.replies = [0xFE]
        }
    }

    private mutating func argument(_ byte: UInt8, of command: Command) {
        state.replies = [0xFA]
        switch command {
        case .setLEDs:
            state.leds = byte & 0b111
            state.command = nil
        case .setTypematic:
            state.typematic = byte & 0x7F
            state.command = nil
        case .selectSet: selectSet(byte)
        case .keyTypematic: setKey(byte, breaks: false, repeats: true)
        case .keyMakeBreak: setKey(byte, breaks: true, repeats: false)
        case .keyMake: setKey(byte, breaks: false, repeats: false)
        }
    }

    private mutating func selectSet(_ set: UInt8) {
        state.command = nil
        switch set {
        case 0: state.replies = [0xFA, state.set]
        case 1...3:
            state.codes = []
            state.set = set
        default: state.replies = [0xFE]
        }
    }

    /// 0xF7 typematic, 0xF8 make and break, 0xF9 make, 0xFA typematic, make and break. They count in set 3 only.
    private mutating func setAllKeys(_ command: UInt8) {
        state.codes = []
        let (breaks, repeats) = (command == 0xF8 || command == 0xFA, command == 0xF7 || command == 0xFA)
        for code in UInt16(1)...0x8F {
            state.breaks[code] = breaks
            state.repeats[code] = repeats
        }
        state.replies = [0xFA]
    }

    private mutating func setKey(_ code: UInt8, breaks: Bool, repeats: Bool) {
        guard code <= 0x8F else { return }
        state.codes = []
        state.breaks[UInt16(code)] = breaks
        state.repeats[UInt16(code)] = repeats
    }

    private mutating func setDefaults() {
        let fresh = State()
        state.codes = []
        state.set = fresh.set
        state.typematic = fresh.typematic
        state.breaks = fresh.breaks
        state.repeats = fresh.repeats
        state.repeatKey = 0
        state.repeatAt = 0
    }

    /// The basic assurance test passes; lamps go out.
    private mutating func selfTest() {
        setDefaults()
        state.leds = 0
        state.scanning = true
        state.replies = [0xFA, 0xAA]
    }

    // MARK: Keys

    mutating func press(_ key: UInt16, at now: UInt64) {
        guard state.scanning, !state.down[key], let codes = ScanCodes.codes(key) else { return }
        if key == ScanCodes.printScreen { state.printScreenForm = printScreenForm }
        let bytes = make(key, codes)
        let reserved = (state.down.count + 1) * Self.longestRelease
        guard state.codes.count + bytes.count + reserved <= Self.capacity else { return }
        state.codes += bytes
        state.down[key] = true
        startRepeat(key, codes, at: now)
    }

    mutating func release(_ key: UInt16, at now: UInt64) {
        guard state.down[key], let codes = ScanCodes.codes(key) else { return }
        state.down[key] = false
        if state.repeatKey == key { stopRepeat() }
        guard state.scanning else { return }
        state.codes += release(key, codes)
    }

    mutating func releaseAll(at now: UInt64) {
        for key in 0..<ScanCodes.limit { release(key, at: now) }
    }

    private func isDown(_ keys: UInt16...) -> Bool { keys.contains { state.down[$0] } }

    private var printScreenForm: UInt8 { isDown(56, 100) ? 2 : isDown(29, 97, 42, 54) ? 1 : 0 }

    private func make(_ key: UInt16, _ codes: KeyCodes) -> [UInt8] {
        if state.set == 3 { return codes.set3 == 0 ? [] : [codes.set3] }
        let bytes: [UInt8]
        switch key {
        case ScanCodes.printScreen:
            bytes = [[0xE0, 0x12, 0xE0, 0x7C], [0xE0, 0x7C], [0x84]][Int(state.printScreenForm)]
        case ScanCodes.pause:
            bytes =
                isDown(29, 97) ? [0xE0, 0x7E, 0xE0, 0xF0, 0x7E] : [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77]
        default: bytes = codes.isExtended ? [0xE0, codes.set2] : [codes.set2]
        }
        return state.set == 1 ? ScanCodes.set1(bytes) : bytes
    }

    private func release(_ key: UInt16, _ codes: KeyCodes) -> [UInt8] {
        if state.set == 3 { return state.breaks[UInt16(codes.set3)] ? [0xF0, codes.set3] : [] }
        let bytes: [UInt8]
        switch key {
        case ScanCodes.printScreen:
            bytes =
                [[0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12], [0xE0, 0xF0, 0x7C], [0xF0, 0x84]][Int(state.printScreenForm)]
        case ScanCodes.pause: return []
        default: bytes = codes.isExtended ? [0xE0, 0xF0, codes.set2] : [0xF0, codes.set2]
        }
        return state.set == 1 ? ScanCodes.set1(bytes) : bytes
    }

    // MARK: Typematic repeat: the key that was pressed last

    private mutating func startRepeat(_ key: UInt16, _ codes: KeyCodes, at now: UInt64) {
        stopRepeat()
        guard key != ScanCodes.pause, state.set != 3 || state.repeats[UInt16(codes.set3)] else { return }
        state.repeatKey = key
        state.repeatAt = I8042.add(now, (UInt64(state.typematic >> 5) &+ 1) &* 250_000_000)
    }

    private mutating func stopRepeat() {
        state.repeatKey = 0
        state.repeatAt = 0
    }

    /// (8 + A) * 2^B / 240 s, A being bits 2:0 and B bits 4:3.
    private var repeatPeriod: UInt64 {
        let (a, b) = (UInt64(state.typematic & 7), UInt64(state.typematic >> 3 & 3))
        return ((8 &+ a) &<< b) &* 1_000_000_000 / 240
    }

    /// When the next repeat is due; nil: none, or the last one has not been read yet.
    var nextRepeat: UInt64? { state.repeatKey != 0 && state.scanning && state.codes.isEmpty ? state.repeatAt : nil }

    mutating func advance(to now: UInt64) {
        guard let due = nextRepeat, due <= now, let codes = ScanCodes.codes(state.repeatKey) else { return }
        state.repeatAt = I8042.add(now, repeatPeriod)
        let bytes = make(state.repeatKey, codes)
        guard bytes.count + state.down.count * Self.longestRelease <= Self.capacity else { return }
        state.codes = bytes
    }
}
