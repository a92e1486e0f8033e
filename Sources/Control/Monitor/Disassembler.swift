// Instructions as text (`x /5i $pc`): by capstone, loaded when it is first asked for, so that a machine starts without it.
// SAFETY for this file: the functions are those of capstone.h of versions 4 and 5; buffers are passed with their size, and
// `instruction` is one `cs_insn` of capstone's own, freed with its handle.

import CBackplane
import Glibc

/// Not for several threads at once.
final class Disassembler {
    private typealias Open = @convention(c) (Int32, Int32, UnsafeMutablePointer<UInt>) -> Int32
    private typealias Allocate = @convention(c) (UInt) -> UnsafeMutableRawPointer?
    private typealias Next =
        @convention(c) (
            UInt, UnsafeMutablePointer<UnsafePointer<UInt8>?>, UnsafeMutablePointer<Int>, UnsafeMutablePointer<UInt64>,
            UnsafeMutableRawPointer
        ) -> Bool
    private typealias Version = @convention(c) (UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?) -> UInt32
    private typealias Free = @convention(c) (UnsafeMutableRawPointer, Int) -> Void
    private typealias Close = @convention(c) (UnsafeMutablePointer<UInt>) -> Int32

    /// Bytes of the longest instruction.
    static let longest = 15

    private var handle: UInt = 0
    private let instruction: UnsafeMutableRawPointer
    private let next: Next
    private let free: Free
    private let close: Close
    /// Of the mnemonic in `cs_insn`; the operands follow.
    private let textOffset: Int
    private static let mnemonicSize = 32

    private nonisolated(unsafe) static let library: UnsafeMutableRawPointer? = {
        let names: [String] = ["libcapstone.so.4", "libcapstone.so.5", "libcapstone.so"]
        for name in names { if let library = dlopen(name, RTLD_NOW | RTLD_LOCAL) { return library } }
        return nil
    }()

    /// `bits`: 16, 32 or 64. Throws where capstone is not installed.
    init(bits: Int) throws(CommandError) {
        guard let library = Disassembler.library else {
            throw CommandError("disassembly needs capstone: Debian's libcapstone4 or libcapstone5")
        }
        func symbol<T>(_ name: String, _ type: T.Type) -> T? {
            dlsym(library, name).map { unsafeBitCast($0, to: type) }
        }
        let architectureX86: Int32 = 3
        // CS_MODE_16, 32 and 64 are 1 << 1 to 1 << 3.
        guard let open = symbol("cs_open", Open.self), let allocate = symbol("cs_malloc", Allocate.self),
            let next = symbol("cs_disasm_iter", Next.self), let free = symbol("cs_free", Free.self),
            let close = symbol("cs_close", Close.self), let version = symbol("cs_version", Version.self),
            open(architectureX86, Int32(bits / 8), &handle) == 0
        else { throw CommandError("this capstone cannot disassemble x86") }
        guard let instruction = allocate(handle) else {
            _ = close(&handle)
            throw CommandError("capstone has no memory")
        }
        (self.instruction, self.next, self.free, self.close) = (instruction, next, free, close)
        textOffset = version(nil, nil) >> 8 >= 5 ? 42 : 34
    }

    deinit {
        free(instruction, 1)
        _ = close(&handle)
    }

    /// The first instruction of `bytes`, which lie at `address`; nil: there is none that is whole.
    func decode(_ bytes: [UInt8], at address: UInt64) -> (length: Int, text: String)? {
        bytes.withUnsafeBufferPointer { buffer in
            var code = buffer.baseAddress
            var left = buffer.count
            var address = address
            guard left > 0, next(handle, &code, &left, &address, instruction) else { return nil }
            let length = Int(instruction.load(fromByteOffset: 16, as: UInt16.self))
            let mnemonic = text(at: textOffset)
            let operands = text(at: textOffset + Disassembler.mnemonicSize)
            return (max(1, length), operands.isEmpty ? mnemonic : mnemonic + " " + operands)
        }
    }

    private func text(at offset: Int) -> String {
        String(cString: (instruction + offset).assumingMemoryBound(to: CChar.self))
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
