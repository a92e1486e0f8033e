// A public disassembler as the witness of instruction lengths: Debian's libcapstone4, loaded at run time so that the tests build and run
// without it.

import Glibc

/// One disassembler of one mode. Source of the layout: capstone.h of versions 4 and 5 (`cs_insn`).
final class Capstone {
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

    private var handle: UInt = 0
    private let instruction: UnsafeMutableRawPointer
    private let next: Next
    private let free: Free
    private let close: Close
    private let textOffset: Int

    static let isInstalled = library != nil
    // SAFETY: a handle of dlopen that is never closed.
    private nonisolated(unsafe) static let library: UnsafeMutableRawPointer? = {
        let names: [String] = ["libcapstone.so.4", "libcapstone.so.5", "libcapstone.so"]
        for name in names { if let library = dlopen(name, RTLD_NOW) { return library } }
        return nil
    }()

    /// `bits`: 16, 32 or 64. nil where there is no capstone.
    init?(bits: Int) {
        guard let library = Capstone.library else { return nil }
        func symbol<T>(_ name: String, _ type: T.Type) -> T? {
            dlsym(library, name).map { unsafeBitCast($0, to: type) }
        }
        guard let open = symbol("cs_open", Open.self), let allocate = symbol("cs_malloc", Allocate.self),
            let next = symbol("cs_disasm_iter", Next.self), let free = symbol("cs_free", Free.self),
            let close = symbol("cs_close", Close.self), let version = symbol("cs_version", Version.self)
        else { return nil }
        let architectureX86: Int32 = 3
        // CS_MODE_16, 32 and 64 are 1 << 1 to 1 << 3.
        guard open(architectureX86, Int32(bits / 8), &handle) == 0, let instruction = allocate(handle) else {
            return nil
        }
        (self.instruction, self.next, self.free, self.close) = (instruction, next, free, close)
        textOffset = version(nil, nil) >> 8 >= 5 ? 42 : 34
    }

    deinit {
        free(instruction, 1)
        _ = close(&handle)
    }

    /// Bytes of the instruction at `bytes`; nil: it is none.
    func length(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int? {
        var code: UnsafePointer<UInt8>? = bytes
        var left = count
        var address: UInt64 = 0x1000
        guard next(handle, &code, &left, &address, instruction) else { return nil }
        return Int(instruction.load(fromByteOffset: 16, as: UInt16.self))
    }

    /// Mnemonic of the instruction that `length` has just decoded.
    var mnemonic: String { String(cString: (instruction + textOffset).assumingMemoryBound(to: CChar.self)) }
}
