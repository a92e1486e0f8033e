// Lengths of instructions by this decoder and by capstone; and where they differ, who is right by the SDM.

import Disassembly

@testable import EngineSoft

/// One sequence of bytes that the two do not agree about.
struct Disagreement {
    var bytes: [UInt8]
    var bits: Int
    /// nil: undefined, or too long.
    var ours: Int?
    var mnemonic: Mnemonic?
    var isTooLong = false
    var theirs: Int?
    var theirName: String

    /// Prefixes but for the last REX, and the bytes behind them all.
    private(set) var prefixes: [UInt8] = []
    private(set) var rex: UInt8 = 0
    private(set) var opcode: [UInt8] = []

    init(bytes: [UInt8], bits: Int, ours: Int?, mnemonic: Mnemonic?, isTooLong: Bool, theirs: Int?, theirName: String) {
        (self.bytes, self.bits, self.ours, self.mnemonic) = (bytes, bits, ours, mnemonic)
        (self.isTooLong, self.theirs, self.theirName) = (isTooLong, theirs, theirName)
        var at = 0
        while at < bytes.count {
            if [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].contains(bytes[at]) {
                prefixes.append(bytes[at])
                rex = 0
            } else if bits == 64, bytes[at] & 0xf0 == 0x40 {
                rex = bytes[at]
            } else {
                break
            }
            at += 1
        }
        opcode = Array(bytes.dropFirst(at))
    }

    func has(_ prefix: UInt8) -> Bool { prefixes.contains(prefix) }
    /// The opcode begins so.
    func starts(_ bytes: UInt8...) -> Bool { opcode.starts(with: bytes) }
    /// Behind a two-byte opcode.
    var modRM: UInt8 { opcode.count > 2 ? opcode[2] : 0 }

    var kind: String { "\(mnemonic.map { "\($0)" } ?? "none") \(theirName) \(opcode.prefix(2))" }

    var text: String {
        let hex = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined(separator: " ")
        let name = mnemonic.map { "\($0)" } ?? (isTooLong ? "too long" : "undefined")
        return "\(bits)-bit \(hex): \(name) \(ours ?? 0), capstone \(theirName) \(theirs ?? 0)"
    }
}

struct LengthComparison {
    let bits: Int
    private let capstone: Disassembler
    private var decoder = Decoder(features: .all)
    private let mode: Mode
    private(set) var compared = 0
    private(set) var disagreements: [Disagreement] = []
    private var kinds: Set<String> = []
    /// `disagreements` has one of each kind.
    private(set) var disagreementCount = 0

    init?(bits: Int) {
        guard let capstone = Disassembler(bits: bits) else { return nil }
        self.capstone = capstone
        self.bits = bits
        mode = bits == 64 ? [.code64, .protected] : bits == 32 ? [.code32, .protected] : [.protected]
    }

    /// `bytes`: 15 of them.
    mutating func compare(_ bytes: UnsafePointer<UInt8>, _ accepts: (Disagreement) -> Bool) {
        var i = Instruction()
        let outcome = decoder.decode(bytes, count: Decoder.maximumLength, mode: mode, into: &i)
        let ours = outcome == .instruction ? Int(i.length) : nil
        let theirs = capstone.length(bytes, count: Decoder.maximumLength)
        compared += 1
        guard ours != theirs else { return }
        let disagreement = Disagreement(
            bytes: (0..<Decoder.maximumLength).map { bytes[$0] }, bits: bits, ours: ours,
            mnemonic: ours.map { _ in i.mnemonic },
            isTooLong: outcome == .tooLong, theirs: theirs,
            theirName: theirs.map { _ in capstone.mnemonic } ?? "nothing")
        if accepts(disagreement) { return }
        disagreementCount += 1
        // One of a kind is enough to look at.
        if kinds.count < 200, kinds.insert(disagreement.kind).inserted { disagreements.append(disagreement) }
    }
}
