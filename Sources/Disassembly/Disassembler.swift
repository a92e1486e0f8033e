// Instructions as text, for the monitor (`x /5i $pc`), and as the witness of the decoder's tests: by capstone, loaded when it is
// first asked for, so that a machine starts, and the tests build, without it.
// SAFETY for this file: the functions are those of capstone.h of versions 4 and 5; buffers are passed with their size, and
// `instruction` is one `cs_insn` of capstone's own, freed with its handle.

import Glibc

/// Not for several threads at once.
package final class Disassembler {
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
    package static let longest = 15

    private var handle: UInt = 0
    private let instruction: UnsafeMutableRawPointer
    private let next: Next
    private let free: Free
    private let close: Close
    /// Of the mnemonic in `cs_insn`; the operands follow.
    private let textOffset: Int
    private static let mnemonicSize = 32

    package static let isInstalled = library != nil
    private nonisolated(unsafe) static let library: UnsafeMutableRawPointer? = {
        let names: [String] = ["libcapstone.so.4", "libcapstone.so.5", "libcapstone.so"]
        for name in names { if let library = dlopen(name, RTLD_NOW | RTLD_LOCAL) { return library } }
        return nil
    }()

    /// `bits`: 16, 32 or 64. nil where capstone is not installed, or cannot do x86.
    package init?(bits: Int) {
        guard let library = Disassembler.library else { return nil }
        func symbol<T>(_ name: String, _ type: T.Type) -> T? {
            dlsym(library, name).map { unsafeBitCast($0, to: type) }
        }
        let architectureX86: Int32 = 3
        // CS_MODE_16, 32 and 64 are 1 << 1 to 1 << 3.
        guard let open = symbol("cs_open", Open.self), let allocate = symbol("cs_malloc", Allocate.self),
            let next = symbol("cs_disasm_iter", Next.self), let free = symbol("cs_free", Free.self),
            let close = symbol("cs_close", Close.self), let version = symbol("cs_version", Version.self),
            open(architectureX86, Int32(bits / 8), &handle) == 0
        else { return nil }
        guard let instruction = allocate(handle) else {
            _ = close(&handle)
            return nil
        }
        (self.instruction, self.next, self.free, self.close) = (instruction, next, free, close)
        textOffset = version(nil, nil) >> 8 >= 5 ? 42 : 34
    }

    deinit {
        free(instruction, 1)
        _ = close(&handle)
    }

    /// Bytes of the instruction at `bytes`, of which there are `count`; nil: it is none.
    package func length(_ bytes: UnsafePointer<UInt8>, count: Int, at address: UInt64 = 0x1000) -> Int? {
        var code: UnsafePointer<UInt8>? = bytes
        var left = count
        var address = address
        guard count > 0, next(handle, &code, &left, &address, instruction) else { return nil }
        return Int(instruction.load(fromByteOffset: 16, as: UInt16.self))
    }

    /// Of the instruction that `length` has just decoded.
    package var mnemonic: String { text(at: textOffset) }
    private var operands: String { text(at: textOffset + Disassembler.mnemonicSize) }

    /// The first instruction of `bytes`, which lie at `address`; nil: there is none that is whole.
    package func decode(_ bytes: [UInt8], at address: UInt64) -> (length: Int, text: String)? {
        bytes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress, let length = length(base, count: buffer.count, at: address) else {
                return nil
            }
            return (max(1, length), operands.isEmpty ? mnemonic : mnemonic + " " + operands)
        }
    }

    private func text(at offset: Int) -> String {
        String(cString: (instruction + offset).assumingMemoryBound(to: CChar.self))
    }
}
