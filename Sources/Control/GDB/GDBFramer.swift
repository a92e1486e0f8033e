// Packets of GDB's remote serial protocol: "$DATA#CHECKSUM", '+', '-', and Ctrl-C. Source: "Debugging with GDB", appendix E, "Overview".

/// Splits what a debugger sends.
struct GDBFramer {
    /// Of a packet's data, as the other end is told (PacketSize).
    static let packetLimit = 0x4000

    enum Item: Equatable {
        case packet([UInt8])
        /// Its checksum is wrong: '-' asks for it again.
        case damaged
        case acknowledged
        case again
        /// Ctrl-C outside of a packet.
        case interrupt
        /// Something outside of a packet, or more than `packetLimit` without an end: this is no debugger. A web page can make a browser write
        /// packets to a port of this host, but not as the first thing that it writes.
        case garbage
    }

    private enum State { case outside, data, firstDigit, secondDigit(UInt8) }

    private var state = State.outside
    private var data: [UInt8] = []
    private var sum: UInt8 = 0
    private var isEscaped = false

    mutating func feed(_ bytes: some Sequence<UInt8>) -> [Item] {
        var items: [Item] = []
        for byte in bytes {
            guard let item = take(byte) else { continue }
            items.append(item)
            if item == .garbage { break }
        }
        return items
    }

    private mutating func take(_ byte: UInt8) -> Item? {
        switch state {
        case .outside:
            switch byte {
            case UInt8(ascii: "$"): begin()
            case UInt8(ascii: "+"): return .acknowledged
            case UInt8(ascii: "-"): return .again
            case 3: return .interrupt
            default: return .garbage
            }
        case .data: return takeData(byte)
        case .firstDigit: state = .secondDigit(byte)
        case .secondDigit(let first):
            state = .outside
            guard let high = Hex.digit(first), let low = Hex.digit(byte), high << 4 | low == sum else {
                return .damaged
            }
            return .packet(data)
        }
        return nil
    }

    private mutating func begin() {
        state = .data
        data.removeAll(keepingCapacity: true)
        sum = 0
        isEscaped = false
    }

    private mutating func takeData(_ byte: UInt8) -> Item? {
        switch byte {
        case UInt8(ascii: "#"):
            state = .firstDigit
            return nil
        // A packet that was cut off, and the next one.
        case UInt8(ascii: "$"):
            begin()
            return nil
        default: break
        }
        sum &+= byte
        if isEscaped {
            data.append(byte ^ 0x20)
            isEscaped = false
        } else if byte == UInt8(ascii: "}") {
            isEscaped = true
        } else {
            data.append(byte)
        }
        return data.count > GDBFramer.packetLimit ? .garbage : nil
    }

    // MARK: The other way

    static func frame(_ data: [UInt8]) -> [UInt8] {
        var packet = [UInt8(ascii: "$")]
        packet.reserveCapacity(data.count + 4)
        var sum: UInt8 = 0
        for byte in data {
            // '*' would begin a run, which is not written.
            if [UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "}"), UInt8(ascii: "*")].contains(byte) {
                packet.append(UInt8(ascii: "}"))
                packet.append(byte ^ 0x20)
                sum &+= UInt8(ascii: "}") &+ (byte ^ 0x20)
            } else {
                packet.append(byte)
                sum &+= byte
            }
        }
        return packet + [UInt8(ascii: "#")] + Hex.bytes(of: [sum])
    }
}

/// Two hexadecimal digits for each byte.
enum Hex {
    static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    static func bytes(of data: some Sequence<UInt8>) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return data.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }

    /// nil: not an even number of digits.
    static func data(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count % 2 == 0 else { return nil }
        var data: [UInt8] = []
        data.reserveCapacity(text.count / 2)
        var high: UInt8?
        for byte in text {
            guard let digit = digit(byte) else { return nil }
            if let first = high {
                data.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return data
    }

    /// 1 to 16 digits.
    static func number(_ text: some Collection<UInt8>) -> UInt64? {
        guard (1...16).contains(text.count) else { return nil }
        var number: UInt64 = 0
        for byte in text {
            guard let digit = digit(byte) else { return nil }
            number = number << 4 | UInt64(digit)
        }
        return number
    }
}
