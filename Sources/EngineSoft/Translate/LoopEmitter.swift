// A loop of several blocks, or one that leads back to itself, as one piece of host code; or a path, which need not lead back. What is in the host's registers and
// what the flags follow from stay so from block to block, and each access of a loop compares with the page where it went last. Each block is emitted alone first, by which its accesses go on where
// the TLB has no page for them, and then in a version for each state in which others come to it. A block of a loop is left by all ways that lead out of
// a block; nothing else drops blocks or changes the TLB, so that none of its blocks is looked at again until the loop is entered anew.

import Core

struct LoopEmitter {
    private var code = Assembler()
    private var members: [BlockEmitter] = []
    private let shape: LoopPlan.Shape
    private let versions: LoopVersions

    /// Scratch of `BlockBuilder.capacity` operations for each member.
    typealias Scratch = (Int) -> UnsafeMutablePointer<Op>

    init?(
        _ plan: LoopPlan, _ stubs: Translator.Stubs, _ x87: X87Control, interpreted: Set<TranslationFamily>,
        scattered: Set<LoopVersions.Site>, slots: @escaping LoopVersions.NewSlot,
        scratch: Scratch
    ) {
        shape = plan.shape
        // On a path an access does not come again before it is entered anew.
        versions = LoopVersions(scattered: shape == .loop ? scattered : nil, newSlot: slots)
        for (number, member) in plan.members.enumerated() {
            let builder = BlockBuilder(member.source, operations: scratch(number))
            guard builder.count == Int(member.block.pointee.operationCount) else { return nil }
            // Nothing of a loop is called.
            var emitter = BlockEmitter(
                builder, member.block, stubs, x87, interpreted: interpreted, code: code, room: { _ in nil })
            code = emitter.takeCode()
            emitter.part = LoopPart(versions: versions, ways: member.ways)
            members.append(emitter)
        }
    }

    var entryPlace: Int { code.place(members[0].entry) }
    var bodyPlace: Int { code.place(members[0].body) }
    var shutPlace: Int { code.place(members[0].shut) }
    var sites: [LoopVersions.Site] { versions.sites }
    var exits: [(slot: UnsafeMutablePointer<ChainSlot>, site: Int)] { versions.exits }

    /// nil: it cannot be emitted as a whole, or it has no way back.
    mutating func code(at address: UInt) -> [UInt8]? {
        for number in members.indices {
            guard with(number, { $0.emitAlone() }) else { return nil }
        }
        let start = members[0].stateAtEntry
        guard let first = versions.version(of: 0, start, label: code.label()) else { return nil }
        var begin: Assembler.Label?
        while let version = versions.take() {
            let body = with(version.member) { $0.emitVersion(version) }
            if begin == nil { begin = body }
        }
        guard let begin, versions.isClosed || shape == .path, versions.versions[first].isEmitted,
            !members.contains(where: { $0.isUnlike || $0.isOutOfRoom })
        else {
            return nil
        }
        with(0) { $0.begin() }
        for site in versions.sites.indices { code.mov(.quad, LoopSite.field(site, \.bound), 0) }
        code.jump(begin)
        for number in members.indices { with(number) { $0.emitSlowPaths() } }
        return code.finish(at: address)
    }

    private mutating func with<Result>(_ number: Int, _ body: (inout BlockEmitter) -> Result) -> Result {
        swap(&code, &members[number].code)
        defer { swap(&code, &members[number].code) }
        return body(&members[number])
    }
}

// MARK: A block in a loop

extension BlockEmitter {
    /// Where a way leads in the loop.
    struct WayInLoop {
        var number: Int
        var label: Assembler.Label
        var isEmitted: Bool
    }

    /// nil: it leads out of the loop. The x87 is closed.
    mutating func wayInLoop(_ slot: Int) -> WayInLoop? {
        guard let loop, let member = loop.ways[slot] else { return nil }
        let state = LoopVersions.State(recipe: flags.recipe, vectors: vectors, stack: stack)
        guard let number = loop.versions.version(of: member, state, label: code.label()) else { return nil }
        let version = loop.versions.versions[number]
        return WayInLoop(number: number, label: version.label, isEmitted: version.isEmitted)
    }

    mutating func follow(_ way: WayInLoop) {
        if way.isEmitted { code.jump(way.label) } else { loop?.versions.next = way.number }
    }

    /// Whether the page is that where the access went last, and else what the TLB says.
    mutating func lookWhereItWas(_ site: Int, _ access: Int, _ span: Int, isWrite: Bool, distance: Int) {
        let (entry, back) = (code.label(), code.label())
        code.arithmetic(.xor, .quad, .r10, LoopSite.field(site, \.tag))
        code.arithmetic(.cmp, .quad, .r10, LoopSite.field(site, \.bound))
        code.jump(.ae, entry)
        loseHostFlags()
        code.arithmetic(.add, .quad, .r10, LoopSite.field(site, \.host))
        code.bind(back)
        lookElsewhere(
            ElsewhereAccess(
                entry: entry, back: back, site: site, access: access, span: span, isWrite: isWrite, distance: distance))
    }

    /// The linear address is R10 ^ the site's tag.
    mutating func emitElsewhere(_ elsewhere: ElsewhereAccess, _ flags: FlagState, _ vectors: VectorState) {
        let (site, alone) = (elsewhere.site, code.label())
        code.bind(elsewhere.entry)
        code.arithmetic(.xor, .quad, .r10, LoopSite.field(site, \.tag))
        let tag = compareTag(isWrite: elsewhere.isWrite, elsewhere.span)
        code.jump(.a, alone)
        code.mov(.quad, Self.at(\.scratch), .r10)
        code.mov(.quad, .r10, hostPage)
        code.mov(.quad, LoopSite.field(site, \.host), .r10)
        code.mov(.quad, .r10, HostAddress(.r15, .r11, scale: 0, tag))
        code.mov(.quad, LoopSite.field(site, \.tag), .r10)
        code.mov(.quad, LoopSite.field(site, \.bound), Int32(4097 - elsewhere.span))
        code.inc(.quad, LoopSite.field(site, \.misses))
        code.mov(.quad, .r10, Self.at(\.scratch))
        code.arithmetic(.add, .quad, .r10, LoopSite.field(site, \.host))
        code.jump(elsewhere.back)
        code.bind(alone)
        goOnAlone(elsewhere.access, tag: tag, distance: elsewhere.distance, flags, vectors)
    }
}

/// An access of a loop that goes to another page than the last time.
struct ElsewhereAccess {
    var entry: Assembler.Label
    var back: Assembler.Label
    var site: Int
    var access: Int
    var span: Int
    var isWrite: Bool
    var distance: Int
}
