import CBackplane
import Core
import Disassembly

/// `x` and `xp`, as in QEMU and gdb: "/NFS ADDRESS", N how many, F of x (hexadecimal), d (signed), u, o, c (characters), i
/// (instructions), S of b, h, w, g (1, 2, 4, 8 bytes). The address is a sum of numbers and registers: $rsp+0x10. $pc is the
/// linear address of the next instruction.
struct MemoryDump {
    private(set) var count = 1
    private(set) var format: Character = "x"
    private(set) var width = 4
    let address: String

    private static let largestCount = 65536

    init(_ words: [String]) throws(CommandError) {
        guard let last = words.last, words.count <= 2 else { throw MemoryDump.usage }
        address = last
        guard words.count == 2 else { return }
        guard words[0].hasPrefix("/") else { throw MemoryDump.usage }
        var digits = ""
        var isWidthGiven = false
        for letter in words[0].dropFirst() {
            switch letter {
            case "0"..."9" where letter.isASCII: digits.append(letter)
            case "x", "d", "u", "o", "c", "i": format = letter
            case "b", "h", "w", "g":
                width = ["b": 1, "h": 2, "w": 4, "g": 8][letter] ?? 4
                isWidthGiven = true
            default: throw MemoryDump.usage
            }
        }
        if format == "c", !isWidthGiven { width = 1 }
        guard digits.isEmpty || (Int(digits).map { (1...MemoryDump.largestCount).contains($0) } ?? false) else {
            throw CommandError("a count is from 1 to \(MemoryDump.largestCount)")
        }
        count = Int(digits) ?? 1
    }

    private static let usage = CommandError(
        "usage: x|xp [/COUNT FORMAT SIZE] ADDRESS, such as x /16xb $rip or xp /4xw 0x7c00")

    func text(
        read: (UInt64, Int) throws(MachineError) -> [UInt8], registers: () throws(MachineError) -> bp_registers
    ) throws -> String {
        let base = try Self.evaluate(address, registers: registers)
        if format == "i" { return try instructions(at: base, read: read, bits: try registers().codeBits) }
        let bytes = try read(base, count * width)
        return lines(bytes, at: base).map { $0 + "\n" }.joined()
    }

    /// Reads no further than it must: what follows may not be memory.
    private func instructions(
        at base: UInt64, read: (UInt64, Int) throws(MachineError) -> [UInt8], bits: Int
    ) throws -> String {
        guard let disassembler = Disassembler(bits: bits) else {
            throw CommandError("disassembly needs capstone: Debian's libcapstone4 or libcapstone5")
        }
        var text = ""
        var next = base
        for _ in 0..<min(count, MemoryDump.mostInstructions) {
            let beforePage = 4096 - Int(next & 4095)
            var bytes = try read(next, min(Disassembler.longest, beforePage))
            if beforePage < Disassembler.longest,
                let more = try? read(next &+ UInt64(beforePage), Disassembler.longest - beforePage)
            {
                bytes += more
            }
            let found = disassembler.decode(bytes, at: next)
            text +=
                Self.hex(next, digits: 16) + ": " + (found?.text ?? ".byte 0x" + Self.hex(UInt64(bytes[0]), digits: 2))
            text += "\n"
            next &+= UInt64(found?.length ?? 1)
        }
        return text
    }

    private static let mostInstructions = 4096

    // MARK: The address

    static func evaluate(_ text: String, registers: () throws(MachineError) -> bp_registers) throws -> UInt64 {
        var result: UInt64 = 0
        var rest = text[...]
        var isNegative = false
        var known: [(name: String, value: UInt64)]?
        repeat {
            let term = rest.prefix { $0 != "+" && $0 != "-" }
            rest = rest.dropFirst(term.count)
            var value: UInt64
            if term.hasPrefix("$") {
                if known == nil {
                    let all = try registers()
                    known = RegisterNames.list(all) + [("pc", all.programCounter)]
                }
                let name = RegisterNames.wide(String(term.dropFirst()).lowercased())
                guard let found = known?.first(where: { $0.name == name }) else {
                    throw CommandError("there is no register '\(term)'")
                }
                value = found.value
            } else {
                guard let number = unsigned(term) else {
                    throw CommandError("'\(term)' is not a number or a $register")
                }
                value = number
            }
            result = isNegative ? result &- value : result &+ value
            isNegative = rest.first == "-"
            if rest.isEmpty { return result }
            rest = rest.dropFirst()
        } while true
    }

    private static func unsigned(_ text: Substring) -> UInt64? {
        let lowered = text.lowercased()
        return lowered.hasPrefix("0x") ? UInt64(lowered.dropFirst(2), radix: 16) : UInt64(lowered)
    }

    // MARK: The lines

    private func lines(_ bytes: [UInt8], at base: UInt64) -> [String] {
        let perLine = format == "c" ? 16 : 16 / width
        return stride(from: 0, to: count, by: perLine).map { first in
            let cells = (first..<min(count, first + perLine)).map { cell(bytes[($0 * width)..<(($0 + 1) * width)]) }
            return Self.hex(base &+ UInt64(first * width), digits: 16) + ": " + cells.joined(separator: " ")
        }
    }

    private func cell(_ bytes: ArraySlice<UInt8>) -> String {
        let value = bytes.reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        switch format {
        case "d":
            let shift = UInt64(64 - 8 * width)
            return "\(Int64(bitPattern: value << shift) >> Int64(shift))"
        case "u": return "\(value)"
        case "o": return "0" + String(value, radix: 8)
        case "c":
            let byte = UInt8(truncatingIfNeeded: value)
            return (0x20..<0x7f).contains(byte)
                ? "'\(Character(Unicode.Scalar(byte)))'" : "'\\x" + Self.hex(UInt64(byte), digits: 2) + "'"
        default: return "0x" + Self.hex(value, digits: 2 * width)
        }
    }

    static func hex(_ value: UInt64, digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}

extension RegisterNames {
    /// "eax" and "ax" are "rax" here.
    static func wide(_ name: String) -> String {
        if name.count == 3, name.hasPrefix("e"), name != "efer" { return "r" + name.dropFirst() }
        if ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "ip"].contains(name) { return "r" + name }
        return name == "eflags" || name == "flags" ? "rflags" : name
    }
}

extension bp_registers {
    /// Of the code that CS is for: 16, 32 or 64 (SDM volume 3, table 3-5).
    var codeBits: Int {
        let isLongMode = efer & 1 << 10 != 0
        if isLongMode, cs.attributes & 1 << 13 != 0 { return 64 }
        return cs.attributes & 1 << 14 != 0 ? 32 : 16
    }

    /// Linear, of the next instruction.
    var programCounter: UInt64 {
        codeBits == 64 ? rip : UInt64(UInt32(truncatingIfNeeded: cs.base &+ rip))
    }
}
