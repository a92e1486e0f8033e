// Where decoded blocks live: an arena that is emptied as a whole when it is full, a hash table by place in memory and mode, and for each
// page that holds decoded code the blocks that came from it. Places are those of the memory behind the machine (`Backing.address`): a change
// of the memory map changes what the guest sees where, and drops no code.
// SAFETY for this file: blocks are made in the arena and never freed one by one; `reset` is called by the run loop only, when no
// operation runs and after every pointer into the arena (chains, jump cache, CPUState.block) was dropped with it.

import Core

final class BlockCache {
    static let arenaBytes = 32 << 20
    private static let bucketCount = 1 << 16

    private let arena: UnsafeMutableRawPointer
    private var used = 0
    private let buckets: UnsafeMutablePointer<UnsafeMutablePointer<Block>?>
    /// Pages that code was decoded from have `PageFlags.code`; other threads read it.
    private let flags: PageFlags
    /// Other CPUs set the same flags for code of theirs: they are never taken back then.
    var sharesFlags = false
    private var pages: [UInt64: CodePage] = [:]
    /// Before a block of a loop or a path is dropped.
    var willDropRegions: ((UnsafeMutablePointer<Block>) -> Void)?
    /// Blocks that were made.
    private(set) var made: UInt64 = 0
    /// Blocks that were dropped, by cause.
    private(set) var dropped = [UInt64](repeating: 0, count: Cause.allCases.count)

    enum Cause: Int, CaseIterable {
        case written, interrupted, emptied

        var text: String {
            switch self {
            case .written: "their bytes were written"
            case .interrupted: "an exit ended them"
            case .emptied: "all were dropped: for room, or for breakpoints"
            }
        }
    }

    private struct CodePage {
        /// A bit for each 64 bytes that a block covers.
        var chunks: UInt64 = 0
        var blocks: [UnsafeMutablePointer<Block>] = []
    }

    init(flags: PageFlags) {
        self.flags = flags
        // The host gives pages of it as they are used.
        arena = .allocate(byteCount: Self.arenaBytes, alignment: 4096)
        buckets = .allocate(capacity: Self.bucketCount)
        buckets.initialize(repeating: nil, count: Self.bucketCount)
    }

    deinit {
        arena.deallocate()
        buckets.deallocate()
    }

    @inline(__always)
    func holdsCode(_ place: UInt64) -> Bool { flags.has(PageFlags.code, place >> 12) }

    /// Code of the page is about to be read and decoded. False: it was marked already.
    func mark(_ place: UInt64) -> Bool { flags.set(PageFlags.code, place >> 12) }

    // MARK: Look-up

    private static func bucket(_ address: UInt64, _ mode: Mode) -> Int {
        let mixed = (address ^ UInt64(mode.rawValue) << 48) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed >> 48)
    }

    func find(_ address: UInt64, _ mode: Mode, secondPage: (UnsafeMutablePointer<Block>) -> Bool)
        -> UnsafeMutablePointer<Block>?
    {
        var block = buckets[Self.bucket(address, mode)]
        while let candidate = block {
            if candidate.pointee.address == address, candidate.pointee.mode == mode,
                candidate.pointee.secondPage == Block.noPage || secondPage(candidate)
            {
                return candidate
            }
            block = candidate.pointee.nextInBucket
        }
        return nil
    }

    /// Those that have a byte at `place`.
    func blocks(at place: UInt64) -> [UnsafeMutablePointer<Block>] {
        (pages[place >> 12]?.blocks ?? []).filter { block in
            block.pointee.isValid
                && Self.parts(of: block, on: place >> 12).contains { $0.first <= place && place - $0.first < $0.size }
        }
    }

    // MARK: Making

    /// Room for a block of `operations` and `bytes` of code; nil: the arena is full.
    func allocate(operations: Int, bytes: Int) -> UnsafeMutablePointer<Block>? {
        take(UnsafeMutablePointer<Block>.headerSize + operations * Op.stride + bytes)?
            .bindMemory(to: Block.self, capacity: 1)
    }

    /// Room for operations that belong to no block; nil: the arena is full.
    func allocateOperations(_ count: Int) -> UnsafeMutablePointer<Op>? {
        take(count * Op.stride)?.bindMemory(to: Op.self, capacity: count)
    }

    /// A slot that stands for a block's, with a jump of its own; nil: there is no room.
    func allocateSlot(for slot: UnsafeMutablePointer<ChainSlot>) -> UnsafeMutablePointer<ChainSlot>? {
        guard let place = take(MemoryLayout<ChainSlot>.stride)?.bindMemory(to: ChainSlot.self, capacity: 1) else {
            return nil
        }
        place.initialize(to: slot.pointee)
        (place.pointee.site, place.pointee.origin) = (0, slot)
        return place
    }

    private func take(_ bytes: Int) -> UnsafeMutableRawPointer? {
        guard used + bytes <= Self.arenaBytes else { return nil }
        let place = arena + used
        used += (bytes + 31) & ~31
        return place
    }

    /// Enters a finished block, whose pages were marked before their bytes were read.
    func insert(_ block: UnsafeMutablePointer<Block>) {
        let bucket = Self.bucket(block.pointee.address, block.pointee.mode)
        block.pointee.nextInBucket = buckets[bucket]
        buckets[bucket] = block
        made += 1
        let first = block.pointee.address
        let room = 4096 - (first & 0xfff)
        note(block, first, min(UInt64(block.pointee.length), room))
        if block.pointee.secondPage != Block.noPage {
            note(block, block.pointee.secondPage, UInt64(block.pointee.length) - room)
        }
    }

    private func note(_ block: UnsafeMutablePointer<Block>, _ address: UInt64, _ length: UInt64) {
        let page = address >> 12
        pages[page, default: CodePage()].chunks |= Self.chunks(address, length)
        pages[page, default: CodePage()].blocks.append(block)
    }

    private static func chunks(_ address: UInt64, _ length: UInt64) -> UInt64 {
        let first = (address & 0xfff) >> 6
        let last = min((address & 0xfff) + max(length, 1) - 1, 0xfff) >> 6
        return (UInt64.max << first) & (UInt64.max >> (63 - last))
    }

    // MARK: Dropping

    /// Bytes of a page are about to be written: the blocks that they are part of go.
    func drop(_ place: UInt64, _ length: UInt64) {
        let page = place >> 12
        // Marked, and nothing came of it.
        guard var code = pages[page] else { return unmark(page) }
        guard code.chunks & Self.chunks(place, length) != 0 else { return }
        pages[page] = nil
        let end = place + length
        var kept: [UnsafeMutablePointer<Block>] = []
        code.chunks = 0
        for block in code.blocks where block.pointee.isValid {
            let parts = Self.parts(of: block, on: page)
            if parts.contains(where: { $0.first < end && place < $0.first + $0.size }) {
                retire(block, .written)
            } else {
                kept.append(block)
                for part in parts { code.chunks |= Self.chunks(part.first, part.size) }
            }
        }
        if kept.isEmpty {
            unmark(page)
        } else {
            code.blocks = kept
            pages[page] = code
        }
    }

    private func unmark(_ page: UInt64) {
        if !sharesFlags { flags.clear(PageFlags.code, page) }
    }

    /// Both halves of an instruction may lie on one page, which is mapped twice.
    private static func parts(of block: UnsafeMutablePointer<Block>, on page: UInt64) -> [(first: UInt64, size: UInt64)]
    {
        let first = block.pointee.address
        let room = 4096 - (first & 0xfff)
        var parts: [(first: UInt64, size: UInt64)] = []
        if first >> 12 == page { parts.append((first, min(UInt64(block.pointee.length), room))) }
        let second = block.pointee.secondPage
        if second != Block.noPage, second >> 12 == page { parts.append((second, UInt64(block.pointee.length) - room)) }
        return parts
    }

    /// The block runs no further than its present instruction, and is never entered again.
    func drop(_ block: UnsafeMutablePointer<Block>) {
        if block.pointee.isValid { retire(block, .interrupted) }
    }

    /// A running block leaves before its next instruction; chains that still lead here do so at once.
    private func retire(_ block: UnsafeMutablePointer<Block>, _ cause: Cause) {
        dropped[cause.rawValue] += 1
        if block.pointee.isInLoop || block.pointee.isInPath { willDropRegions?(block) }
        block.pointee.isValid = false
        block.pointee.shut()
        block.pointee.hostEntry = 0
        let operations = block.operations
        operations[0].imm64 = droppedCount
        operations[0].run = staleEntry
        for index in 1..<max(1, Int(block.pointee.operationCount)) { operations[index].run = staleOperation }
        let bucket = Self.bucket(block.pointee.address, block.pointee.mode)
        if buckets[bucket] == block {
            buckets[bucket] = block.pointee.nextInBucket
            return
        }
        var previous = buckets[bucket]
        while let candidate = previous {
            if candidate.pointee.nextInBucket == block {
                candidate.pointee.nextInBucket = block.pointee.nextInBucket
                return
            }
            previous = candidate.pointee.nextInBucket
        }
    }

    func dropAll() {
        for code in pages.values {
            for block in code.blocks where block.pointee.isValid { retire(block, .emptied) }
        }
        for page in pages.keys { unmark(page) }
        pages = [:]
    }

    /// Empties the arena. The caller drops every pointer into it.
    func reset() {
        dropAll()
        used = 0
    }
}

/// In place of the first operation of a dropped block: RIP is at the block's start.
let staleEntry: Handler = { s, p in toRunLoop }

/// In place of the others: the block was dropped by the instruction before.
let staleOperation: Handler = { s, p in
    rewind(s, p)
    return toRunLoop
}
