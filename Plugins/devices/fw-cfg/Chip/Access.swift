/// Guest RAM, for DMA.
public protocol FWCfgMemory {
    /// `count` (up to 4096) bytes; nil where one of them is not RAM.
    func read(_ address: UInt64, count: Int) -> [UInt8]?
    /// Up to 4096 bytes; false, and nothing is written, where one of them is not RAM.
    func write(_ address: UInt64, _ bytes: ArraySlice<UInt8>) -> Bool
}

/// Who makes contents when they are selected.
public protocol FWCfgContents {
    /// Other lengths than the file's are cut or filled with zeroes.
    func contents(ofKey key: UInt16) -> [UInt8]
}

extension FWCfg {
    // MARK: Guest side: ports

    /// A write of 16 bits to the selector: `key`'s contents from their start.
    public mutating func select(_ key: UInt16, _ maker: some FWCfgContents) {
        state.selector = key
        state.offset = 0
        state.made = []
        guard case .made(let size) = items[key & Key.item]?.source else { return }
        let made = maker.contents(ofKey: key & Key.item).prefix(Int(size))
        state.made = Array(made) + [UInt8](repeating: 0, count: Int(size) - made.count)
    }

    /// A read of 8 bits of the data port. Beyond the end, and where nothing is, zeroes.
    public mutating func readData() -> UInt8 {
        let value = peekData()
        advance(by: 1)
        return value
    }

    public func peekData() -> UInt8 {
        guard state.offset < selectedSize else { return 0 }
        return slice(count: 1).first ?? 0
    }

    /// A read of `width` (1, 2, 4, 8) bytes at `offset` (0...7) of the DMA address register: "QEMU CFG" says that it is
    /// there.
    public func readAddress(_ offset: UInt8, width: UInt8) -> UInt64 {
        let bytes = Array("QEMU CFG".utf8).dropFirst(Int(offset)).prefix(Int(width))
        return bytes.reversed().reduce(0) { $0 &<< 8 | UInt64($1) }
    }

    /// A write of 4 bytes at offset 0 or 4 or of 8 at 0 of the DMA address register, which is big-endian. The lower half
    /// starts the transfer, which is over when this returns. Others are ignored.
    public mutating func writeAddress(
        _ offset: UInt8, width: UInt8, _ value: UInt64, _ machine: some FWCfgMemory & FWCfgContents
    ) {
        let word = UInt32(truncatingIfNeeded: value).byteSwapped
        switch (offset, width) {
        case (0, 4): state.addressHigh = word
        case (4, 4): transfer(UInt64(state.addressHigh) &<< 32 | UInt64(word), machine)
        case (0, 8): transfer(value.byteSwapped, machine)
        default: break
        }
    }

    // MARK: Guest side: DMA

    /// Runs the FWCfgDmaAccess at `address`: control, length (32 bits each) and address (64), big-endian. Its control
    /// becomes 0, or the error bit alone. One that is not in RAM is not answered.
    private mutating func transfer(_ address: UInt64, _ machine: some FWCfgMemory & FWCfgContents) {
        state.addressHigh = 0
        guard let bytes = machine.read(address, count: 16), bytes.count == 16 else { return }
        let control = Control(rawValue: UInt32(bigEndianBytes: bytes[0..<4]))
        let length = UInt32(bigEndianBytes: bytes[4..<8])
        let target = UInt64(bigEndianBytes: bytes[8..<16])
        if control.contains(.select) { select(control.key, machine) }
        var isDone = true
        if control.contains(.read) {
            isDone = read(length, to: target, machine)
        } else if control.contains(.write) {
            isDone = write(length, from: target, machine)
        } else if control.contains(.skip) {
            advance(by: length)
        }
        _ = machine.write(address, (isDone ? 0 : Control.error.rawValue).bigEndianBytes[...])
    }

    private mutating func read(_ length: UInt32, to target: UInt64, _ memory: some FWCfgMemory) -> Bool {
        let left = selectedSize &- min(state.offset, selectedSize)
        guard length <= left || length &- left <= Self.longestPadding else { return false }
        var (address, rest) = (target, length)
        while rest > 0 {
            let count = min(rest, UInt32(Self.chunk))
            let bytes = slice(count: count)
            let zeroes = [UInt8](repeating: 0, count: Int(count) - bytes.count)
            guard memory.write(address, zeroes.isEmpty ? bytes : (bytes + zeroes)[...]) else { return false }
            advance(by: count)
            rest &-= count
            address = address &+ UInt64(count)
        }
        return true
    }

    /// All of it, or an error and nothing.
    private mutating func write(_ length: UInt32, from source: UInt64, _ memory: some FWCfgMemory) -> Bool {
        let key = state.selector & Key.item
        guard let item = items[key], item.isWritable, case .bytes(let initial) = item.source,
            state.offset <= item.source.size, length <= item.source.size &- state.offset
        else { return false }
        var contents = state.written[key] ?? initial
        var rest = length
        var place = state.offset
        while rest > 0 {
            let count = Int(min(rest, UInt32(Self.chunk)))
            let address = source &+ UInt64(place &- state.offset)
            guard let bytes = memory.read(address, count: count), bytes.count == count else { return false }
            contents.replaceSubrange(Int(place)..<Int(place) + count, with: bytes)
            rest &-= UInt32(count)
            place &+= UInt32(count)
        }
        state.written[key] = contents
        state.offset = place
        return true
    }

    // MARK: The selected item

    private var selectedSize: UInt32 { items[state.selector & Key.item]?.source.size ?? 0 }

    /// The offset stays at the end of 32 bits: it does not come round.
    private mutating func advance(by count: UInt32) {
        let (sum, overflow) = state.offset.addingReportingOverflow(count)
        state.offset = overflow ? .max : sum
    }

    /// Up to `count` bytes from the offset on, fewer at the end.
    private func slice(count: UInt32) -> ArraySlice<UInt8> {
        let key = state.selector & Key.item
        guard let item = items[key] else { return [] }
        if let written = state.written[key] { return slice(written, count) }
        switch item.source {
        case .bytes(let bytes): return slice(bytes, count)
        case .made: return slice(state.made, count)
        }
    }

    private func slice(_ bytes: [UInt8], _ count: UInt32) -> ArraySlice<UInt8> {
        bytes.dropFirst(Int(state.offset)).prefix(Int(count))
    }
}
