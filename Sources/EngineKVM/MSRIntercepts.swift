import CHost
import Core

/// Which RDMSR and WRMSR come out, and KVM's filter for them.
///
/// KVM takes at most 16 bitmaps of 12288 MSRs each. Wishes that fit are denied exactly. Wishes that do not ("all of
/// them") deny everything but what nobody wants in the blocks where MSRs are; what then comes out unasked gets KVM's
/// own answer from user space. MSRs 0x800 to 0x8ff (x2APIC) never come out.
struct MSRIntercepts: Equatable {
    /// One bitmap: 1 bits stay with KVM.
    struct Block: Equatable {
        var flags: UInt32
        var first: UInt32
        var count: UInt32
        var bitmap: [UInt8]
    }

    private static let blockLimit = 16
    private static let bitsPerBlock: UInt64 = 0x600 * 8
    /// Where MSRs are: architectural, synthetic (Hyper-V, KVM), AMD's two.
    private static let knownBlocks: [ClosedRange<UInt64>] = [
        0...0x2fff, 0x4000_0000...0x4000_0fff, 0x4b56_4d00...0x4b56_4dff, 0xc000_0000...0xc000_2fff,
        0xc001_0000...0xc001_2fff,
    ]

    private(set) var reads: [ClosedRange<UInt64>] = []
    private(set) var writes: [ClosedRange<UInt64>] = []
    /// Where only those are wanted that KVM does not know; they come out by themselves and need no filter.
    private(set) var unknownReads: [ClosedRange<UInt64>] = []
    private(set) var unknownWrites: [ClosedRange<UInt64>] = []
    /// A device answers IA32_APIC_BASE.
    private(set) var hasLocalAPIC = false

    init() {}

    init(_ intercepts: Intercepts) {
        func ranges(_ reason: UInt16, unknown: Bool) -> [ClosedRange<UInt64>] {
            Self.merged(intercepts.ranges.filter { $0.reason == reason && $0.isUnclaimedOnly == unknown })
        }
        (reads, writes) = (ranges(31, unknown: false), ranges(32, unknown: false))
        (unknownReads, unknownWrites) = (ranges(31, unknown: true), ranges(32, unknown: true))
        hasLocalAPIC = intercepts.hasLocalAPIC
    }

    var wantsUnknown: Bool { !unknownReads.isEmpty || !unknownWrites.isEmpty }

    func wants(_ index: UInt32, write: Bool, isUnknown: Bool = false) -> Bool {
        (write ? writes : reads).contains { $0.contains(UInt64(index)) }
            || isUnknown && (write ? unknownWrites : unknownReads).contains { $0.contains(UInt64(index)) }
    }

    /// The filter: the blocks, and whether MSRs outside of them come out.
    func plan() -> (denyOthers: Bool, blocks: [Block]) {
        let readFlag = UInt32(KVM_MSR_FILTER_READ)
        let writeFlag = UInt32(KVM_MSR_FILTER_WRITE)
        let exact =
            reads == writes
            ? Self.exactBlocks(reads, flags: readFlag | writeFlag)
            : Self.exactBlocks(reads, flags: readFlag) + Self.exactBlocks(writes, flags: writeFlag)
        if exact.count <= Self.blockLimit { return (false, exact) }
        return (
            true,
            Self.knownBlocks.flatMap {
                [Self.block($0, denying: reads, flags: readFlag), Self.block($0, denying: writes, flags: writeFlag)]
            }
        )
    }

    func install(vm: Int32) throws(EngineError) {
        let isFiltered = !reads.isEmpty || !writes.isEmpty
        let isWanted = isFiltered || wantsUnknown
        let capability = UInt32(KVM_CAP_X86_USER_SPACE_MSR)
        if isWanted, ch_kvm_check(vm, capability) <= 0 || ch_kvm_check(vm, UInt32(KVM_CAP_X86_MSR_FILTER)) <= 0 {
            throw EngineError("this kernel's KVM cannot filter MSRs (KVM_CAP_X86_MSR_FILTER)")
        }
        if !isWanted, ch_kvm_check(vm, UInt32(KVM_CAP_X86_MSR_FILTER)) <= 0 { return }
        let mask =
            UInt64(isFiltered ? KVM_MSR_EXIT_REASON_FILTER : 0) | UInt64(wantsUnknown ? KVM_MSR_EXIT_REASON_UNKNOWN : 0)
        _ = try check(ch_kvm_enable(vm, capability, mask), "KVM_CAP_X86_USER_SPACE_MSR")
        let (denyOthers, blocks) = plan()
        var bytes = blocks.flatMap(\.bitmap)
        let result = bytes.withUnsafeMutableBufferPointer { buffer in
            var ranges: [ch_kvm_msr_range] = []
            var offset = 0
            for block in blocks {
                // SAFETY: within `buffer`, of which the block's bitmap is a part; KVM reads it during the call.
                let bitmap = buffer.baseAddress! + offset
                ranges.append(.init(flags: block.flags, first: block.first, count: block.count, bitmap: bitmap))
                offset += block.bitmap.count
            }
            return ch_kvm_set_msr_filter(vm, denyOthers, ranges, UInt32(ranges.count))
        }
        _ = try check(result, "KVM_X86_SET_MSR_FILTER")
    }

    /// Ascending, disjoint, within 32 bits.
    private static func merged(_ ranges: [Intercepts.Range]) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for range in ranges.sorted(by: { $0.first < $1.first }) {
            let last = min(range.last, 0xffff_ffff)
            guard range.first <= last else { continue }
            if let previous = result.last, range.first <= previous.upperBound + 1 {
                result[result.count - 1] = previous.lowerBound...max(previous.upperBound, last)
            } else {
                result.append(range.first...last)
            }
        }
        return result
    }

    /// As few blocks as hold all ranges; more than the limit only by one.
    private static func exactBlocks(_ ranges: [ClosedRange<UInt64>], flags: UInt32) -> [Block] {
        var result: [Block] = []
        var rest = ranges[...]
        var from: UInt64 = 0
        while let first = rest.first, result.count <= blockLimit {
            let start = max(first.lowerBound, from)
            let limit = start + bitsPerBlock - 1
            let end = rest.last { $0.lowerBound <= limit }.map { min($0.upperBound, limit) } ?? limit
            result.append(block(start...end, denying: ranges, flags: flags))
            from = end + 1
            rest = rest.drop { $0.upperBound < from }
        }
        return result
    }

    /// KVM reads bitmaps in words of 8 bytes.
    private static func block(_ span: ClosedRange<UInt64>, denying: [ClosedRange<UInt64>], flags: UInt32) -> Block {
        let count = Int(span.upperBound - span.lowerBound + 1)
        var bitmap = [UInt8](repeating: 0xff, count: (count + 63) / 64 * 8)
        for range in denying where range.overlaps(span) {
            for index in range.clamped(to: span) {
                let bit = Int(index - span.lowerBound)
                bitmap[bit / 8] &= ~(1 << UInt8(bit % 8))
            }
        }
        return Block(flags: flags, first: UInt32(span.lowerBound), count: UInt32(count), bitmap: bitmap)
    }
}
