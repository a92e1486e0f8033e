// Memory as both sides see it: the same linear addresses, and different host memory.

import NativeCPU

@testable import EngineSoft

enum Places {
    /// Everything lies in the 2 MiB from here, so that code and data reach each other by 32-bit displacements.
    static let base: UInt64 = 0x2000_0000
    static let code = base
    static let codeLength: UInt64 = 0x10000
    /// Two pages to read and write, then one to read; before and behind them nothing is mapped.
    static let data = base + 0x12000
    static let writableLength: UInt64 = 0x2000
    static let readOnly = data + writableLength
    static let end = readOnly + 0x1000
    static let gsBase = data + 0x340
    static let dataLength = Int(end - data)
}

/// The memory of the native side.
final class NativeMemory {
    // SAFETY: mapped in init for the life of the process; the lengths are those of Places.
    let code: UnsafeMutableRawPointer
    let writable: UnsafeMutableRawPointer
    let readOnly: UnsafeMutableRawPointer

    nonisolated(unsafe) static let shared = NativeMemory()

    private init?() {
        guard let code = nc_map(Places.code, Places.codeLength, 5),
            let writable = nc_map(Places.data, Places.writableLength, 3),
            let readOnly = nc_map(Places.readOnly, 4096, 1)
        else { return nil }
        (self.code, self.writable, self.readOnly) = (code, writable, readOnly)
    }
}
