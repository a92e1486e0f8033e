// The Data register: 16 bits wide; a PC's 32-bit access makes two words of it.

extension ATAChannel {
    /// Reads the data port. Without DRQ it gives ones.
    /// - Parameter width: bytes. 2: a word. 4: two words, the first in the low half. 1: the low byte of a word that is
    ///   used up whole, as on a 16-bit device which sees one strobe either way. Others give ones and change nothing.
    public mutating func readData(width: UInt8) -> UInt32 {
        switch width {
        case 1: return UInt32(readWord() & 0xFF)
        case 2: return UInt32(readWord())
        case 4:
            let low = readWord()
            return UInt32(low) | UInt32(readWord()) &<< 16
        default: return .max
        }
    }

    /// What `readData` would give, without its effects; beyond the current block ones.
    public func peekData(width: UInt8) -> UInt32 {
        switch width {
        case 1: UInt32(word(ahead: 0) & 0xFF)
        case 2: UInt32(word(ahead: 0))
        case 4: UInt32(word(ahead: 0)) | UInt32(word(ahead: 2)) &<< 16
        default: .max
        }
    }

    /// Writes the data port; without DRQ nothing happens. Widths as in `readData`; a byte is a word below 0x100.
    public mutating func writeData(_ value: UInt32, width: UInt8) {
        switch width {
        case 1: writeWord(UInt16(value & 0xFF))
        case 2: writeWord(UInt16(truncatingIfNeeded: value))
        case 4:
            writeWord(UInt16(truncatingIfNeeded: value))
            writeWord(UInt16(truncatingIfNeeded: value &>> 16))
        default: break
        }
    }

    /// Reads many words at once, as `rep insw` and `rep insd` do: the same as so many single reads, over block
    /// boundaries too where the next block is there at once. An odd last byte is not read.
    /// - Parameter destination: filled whole, with ones where there was no data.
    /// - Returns: bytes that were data.
    public mutating func readData(into destination: inout MutableSpan<UInt8>) -> Int {
        var done = 0
        let wanted = destination.count & ~1
        while state.transfer.phase == .dataIn, done < wanted {
            let position = Int(state.transfer.position)
            let count = min(wanted - done, Int(state.transfer.blockEnd) - position)
            guard count > 0, position + count <= state.buffer.count else { break }
            copyOut(position, count, to: &destination, at: done)
            done += count
            passedIn(count)
        }
        for i in done..<destination.count { destination[i] = 0xFF }
        return done
    }

    /// Writes many words at once, as `rep outsw` and `rep outsd` do. An odd last byte is not written.
    /// - Returns: bytes that were taken; the rest found no DRQ.
    @discardableResult
    public mutating func writeData(from source: Span<UInt8>) -> Int {
        state.control.remove(.highOrderByte)
        var done = 0
        let offered = source.count & ~1
        while state.transfer.phase == .dataOut, done < offered {
            let position = Int(state.transfer.position)
            let count = min(offered - done, Int(state.transfer.blockEnd) - position)
            guard count > 0, position + count <= state.buffer.count else { break }
            copyIn(source, from: done, count, to: position)
            done += count
            passedOut(count)
        }
        return done
    }

    private func copyOut(_ position: Int, _ count: Int, to destination: inout MutableSpan<UInt8>, at start: Int) {
        copyBytes(count, from: state.buffer.span, at: position, to: &destination, at: start)
    }

    private mutating func copyIn(_ source: Span<UInt8>, from start: Int, _ count: Int, to position: Int) {
        var buffer = state.buffer.mutableSpan
        copyBytes(count, from: source, at: start, to: &buffer, at: position)
    }

    // MARK: Words

    private func word(ahead: Int) -> UInt16 {
        let position = Int(state.transfer.position) + ahead
        guard state.transfer.phase == .dataIn, position < Int(state.transfer.blockEnd),
            position + 1 < state.buffer.count
        else { return 0xFFFF }
        return UInt16(state.buffer[position]) | UInt16(state.buffer[position + 1]) &<< 8
    }

    private mutating func readWord() -> UInt16 {
        let position = Int(state.transfer.position)
        guard state.transfer.phase == .dataIn, position + 1 < state.buffer.count else { return 0xFFFF }
        let value = UInt16(state.buffer[position]) | UInt16(state.buffer[position + 1]) &<< 8
        passedIn(2)
        return value
    }

    private mutating func writeWord(_ value: UInt16) {
        state.control.remove(.highOrderByte)
        let position = Int(state.transfer.position)
        guard state.transfer.phase == .dataOut, position + 1 < state.buffer.count else { return }
        state.buffer[position] = UInt8(truncatingIfNeeded: value)
        state.buffer[position + 1] = UInt8(truncatingIfNeeded: value &>> 8)
        passedOut(2)
    }

    private mutating func passedIn(_ count: Int) {
        state.transfer.position &+= UInt16(truncatingIfNeeded: count)
        if state.transfer.position >= state.transfer.blockEnd { endReadBlock() }
    }

    private mutating func passedOut(_ count: Int) {
        state.transfer.position &+= UInt16(truncatingIfNeeded: count)
        if state.transfer.position >= state.transfer.blockEnd { endWriteBlock() }
    }
}
