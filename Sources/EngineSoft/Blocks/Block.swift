// Decoded basic blocks. A block is a header and its operations in the arena; it is found by the place of its first byte in
// memory (`Backing.address`: wherever the guest sees it) and the mode it was decoded for.

import CHost

/// Where a direct jump goes without a look-up: the first operation of the target, once known. It begins as `JumpEntry` does.
struct ChainSlot {
    /// SAFETY: in the arena; a block that is dropped has its operations replaced by ones that leave.
    var target: P?
    /// Where generated code goes on: the target's host code, or a stub of the translator's.
    var code: UInt
    /// RIP of the target and CPUState.jumpKey under which it holds. Key 0: it always holds.
    var rip: UInt64 = 0
    var key: UInt64 = 0
    /// `rip` without bits 11:0.
    var page: UInt64 = 0
    /// Of a region's own slot: the block's that it stands for.
    var origin: UnsafeMutablePointer<ChainSlot>?
    /// Bits 11:0 of the target's address, whatever the page.
    var offset: UInt32
    /// Where in the code arena the distance of the jump lies that leads to `code` too; 0: none does.
    var site: UInt32 = 0
    /// The target lies on the page of the block itself: what is there does not depend on the page tables.
    var isOwnPage: Bool
}

struct Block {
    /// Where the first byte lies in the memory behind the machine (`SoftMemory.codePlace`).
    var address: UInt64
    /// Of the second page's first byte, where the block's only instruction crosses a page; else `noPage`.
    var secondPage: UInt64
    static let noPage = UInt64.max
    var mode: Mode
    /// Bytes of guest code.
    var length: UInt32
    var instructionCount: UInt16
    var operationCount: UInt16
    var isValid: Bool
    /// It can be found again. Code outside of RAM and ROM cannot: writes to it would not be noticed.
    var isKept: Bool
    /// In the same bucket of the block table.
    var nextInBucket: UnsafeMutablePointer<Block>?
    var chains: (ChainSlot, ChainSlot)
    /// Runs that are left until the block is translated, or have been checked, and the second operation's handler until then.
    var heat: UInt32 = 0
    var firstRun: Handler
    /// Its host code for jumps from other host code, and behind the test whether it may run; 0: there is none.
    var hostEntry: UInt = 0
    var hostBody: UInt = 0
    /// The 8 bytes at `hostEntry`.
    var hostGate = HostGate()
    /// How often it was next when the budget of generated code had run out, and it began no loop; 255: no longer counted.
    var samples: UInt8 = 0
    /// Its host code calls no operation of the interpreter, and goes on with none.
    var isWhole = false
    /// It is part of a loop or of paths (LoopEmitter), which go with it.
    var isInLoop = false
    var isInPath = false

    /// Nobody enters its host code from now on.
    func shut() {
        hostGate.set(hostGate.shut)
    }

    /// Why no host code can be made of it; nil: it can. Its bytes are kept then, and nobody looks at its operands or stops in it.
    var obstacle: Translator.Obstacle? {
        if !isKept || !isValid { return .notKept }
        if !mode.isDisjoint(with: [.single, .alignment, .dataBreakpoints]) { return .watched }
        return mode.contains(.code64) || mode.isSuperset(of: [.flat, .code32]) ? nil : .segmented
    }
}

/// The first instruction of a block's host code, which takes its count off the budget; or a jump in its place, to where it is refused.
/// SAFETY: in the code arena, which is emptied with the block arena.
struct HostGate {
    var place: UnsafeMutablePointer<UInt64>?
    var open: UInt64 = 0
    var shut: UInt64 = 0

    func set(_ bytes: UInt64) {
        guard let place else { return }
        place.pointee = bytes
        ch_serialize()
    }
}

extension UnsafeMutablePointer<Block> {
    static var headerSize: Int { (MemoryLayout<Block>.size + 31) & ~31 }
    var first: P { UnsafeRawPointer(self) + Self.headerSize }
    var operations: UnsafeMutablePointer<Op> {
        (UnsafeMutableRawPointer(self) + Self.headerSize).assumingMemoryBound(to: Op.self)
    }
    /// Behind the operations: the bytes that it was decoded from, where it may be translated.
    var bytes: UnsafeMutablePointer<UInt8> {
        UnsafeMutableRawPointer(operations + Int(pointee.operationCount)).assumingMemoryBound(to: UInt8.self)
    }
    /// 0: taken or only target; 1: fall through.
    func chain(_ number: Int) -> UnsafeMutablePointer<ChainSlot> {
        let base = UnsafeMutableRawPointer(self) + MemoryLayout<Block>.offset(of: \.chains).unsafelyUnwrapped
        return base.assumingMemoryBound(to: ChainSlot.self) + number
    }
}

/// Where indirect jumps look first: by RIP.
struct JumpEntry {
    var target: P?
    /// As `ChainSlot.code`.
    var code: UInt
    var rip: UInt64
    /// CPUState.jumpKey under which it holds.
    var key: UInt64

    static var empty: JumpEntry { JumpEntry(target: nil, code: 0, rip: 0, key: 0) }
    static let count = 4096
    static let stride = 32
    /// 2^32 by the golden ratio: what its products have in their upper bits is spread well.
    static let factor: UInt32 = 0x9e37_79b1
    @inline(__always)
    static func index(_ rip: UInt64) -> Int { Int((UInt32(truncatingIfNeeded: rip) &* factor) &>> 20) }
}
