extension E1000 {
    /// The 93C46 with its microwire interface: 64 words, 6 bits of address.
    /// Source: the manual, "EEPROM Interface" and EECD; the part's data sheet for its commands.
    public struct EEPROM: Equatable, Sendable {
        /// EECD.
        struct Pins: OptionSet {
            let rawValue: UInt32
            static let clock = Self(rawValue: 1 << 0)
            static let select = Self(rawValue: 1 << 1)
            static let dataIn = Self(rawValue: 1 << 2)
            static let dataOut = Self(rawValue: 1 << 3)
            static let request = Self(rawValue: 1 << 6)
            static let grant = Self(rawValue: 1 << 7)
            static let present = Self(rawValue: 1 << 8)
            static let writable: UInt32 = 0x77
        }

        public var words: [UInt16]
        /// EECD's bits that a guest writes.
        public var pins: UInt32 = 0x10  // flash writes off
        /// The start bit, two bits of command and six of address, as far as they came.
        public var command: UInt16 = 0
        public var commandBits: UInt8 = 0
        /// What is written, as far as it came.
        public var data: UInt16 = 0
        public var dataBits: UInt8 = 0
        /// Bits read since the address; a read goes on through the words, and round.
        public var readBits: UInt16 = 0
        /// DO.
        public var output = true
        public var isWritable = false
        /// EERD without the data, which come at once.
        public var readRegister: UInt32 = 0

        init() { words = [UInt16](repeating: 0, count: 64) }

        /// The words that the manual's table "EEPROM Address Map" asks for; the sum of all is 0xBABA.
        init(address: [UInt8]) {
            self.init()
            for index in 0..<3 {
                let bytes = address.dropFirst(2 * index).prefix(2)
                words[index] = bytes.reversed().reduce(0) { $0 << 8 | UInt16($1) }
            }
            (words[0x08], words[0x09]) = (0xFFFF, 0xFFFF)  // part number: none
            words[0x0A] = 0x4408  // initialization control 1
            (words[0x0B], words[0x0C], words[0x0D], words[0x0E]) = (0x001E, 0x8086, 0x100E, 0x8086)
            words[0x0F] = 0x3040  // initialization control 2
            words[0x3F] = 0xBABA &- words.dropLast().reduce(0, &+)
        }

        var isPossible: Bool {
            words.count == 64 && pins & ~Pins.writable == 0 && commandBits <= 9 && command < 512 && dataBits <= 16
                && readBits < 1024
                && readRegister & ~0xFF10 == 0
        }

        mutating func deselect() {
            endCommand()
            (pins, readRegister) = (0x10, 0)
        }

        // MARK: EERD

        var read: UInt32 {
            readRegister | (readRegister & 0x10 == 0 ? 0 : UInt32(words[Int(readRegister >> 8 & 63)]) << 16)
        }

        mutating func startRead(_ value: UInt32) {
            readRegister = value & 1 == 0 ? value & 0xFF00 : value & 0xFF00 | 0x10
        }

        // MARK: EECD

        var control: UInt32 {
            pins | Pins.present.rawValue | (output ? Pins.dataOut.rawValue : 0)
                | (pins & Pins.request.rawValue != 0 ? Pins.grant.rawValue : 0)
        }

        mutating func writeControl(_ value: UInt32) {
            let (old, new) = (Pins(rawValue: pins), Pins(rawValue: value & Pins.writable))
            pins = new.rawValue
            guard new.contains(.select) else { return endCommand() }
            if new.contains(.clock) && !old.contains(.clock) { clock(new.contains(.dataIn)) }
        }

        /// CS falls. DO then says that the part is ready.
        private mutating func endCommand() {
            (command, commandBits, data, dataBits, readBits, output) = (0, 0, 0, 0, 0, true)
        }

        /// A rising edge of SK. What comes before the start bit is nothing.
        private mutating func clock(_ bit: Bool) {
            if commandBits < 9 {
                guard commandBits > 0 || bit else { return }
                command = command << 1 | (bit ? 1 : 0)
                commandBits &+= 1
                if commandBits == 9 { execute() }
            } else if operation == .read {
                output = words[Int((command &+ readBits >> 4) & 63)] >> (15 &- (readBits & 15)) & 1 != 0
                readBits = (readBits &+ 1) & 1023
            } else if dataBits < 16 {
                data = data << 1 | (bit ? 1 : 0)
                dataBits &+= 1
                if dataBits == 16 { executeWrite() }
            }
        }

        private enum Operation: UInt16 { case extended = 0b100, write, read, erase }
        /// In the place of the address's upper two bits.
        private enum ExtendedOperation: UInt16 { case disable, writeAll, eraseAll, enable }

        private var operation: Operation? { Operation(rawValue: command >> 6) }
        private var extendedOperation: ExtendedOperation? { ExtendedOperation(rawValue: command >> 4 & 3) }
        private var address: Int { Int(command & 63) }

        /// A dummy zero comes before what is read.
        private mutating func execute() {
            switch (operation, extendedOperation) {
            case (.read, _): output = false
            case (.erase, _): if isWritable { words[address] = 0xFFFF }
            case (.extended, .disable): isWritable = false
            case (.extended, .enable): isWritable = true
            case (.extended, .eraseAll): if isWritable { words = words.map { _ in 0xFFFF } }
            default: break
            }
        }

        /// What is written is there when its last bit is.
        private mutating func executeWrite() {
            guard isWritable else { return }
            switch (operation, extendedOperation) {
            case (.write, _): words[address] = data
            case (.extended, .writeAll): words = words.map { [data] _ in data }
            default: break
            }
        }
    }
}
