// The versions in which the blocks of a loop are emitted, and the places where their accesses went last.

/// Where an access of a loop went last: a page that the TLB had. It counts until the loop is left, since nothing within changes the TLB.
/// SAFETY: generated code alone reads and writes these, at `Layout.sites`.
struct LoopSite {
    /// Linear page.
    var tag: UInt64
    /// Distances from there below this one are the access's; 0: none.
    var bound: UInt64
    /// The host's page.
    var host: UInt64
    /// How often it was another page than the last time.
    var misses: UInt64

    static let stride = 32
    static let count = 16

    static func field(_ site: Int, _ field: KeyPath<LoopSite, UInt64>) -> HostAddress {
        let offset = MemoryLayout<LoopSite>.offset(of: field).unsafelyUnwrapped
        return HostAddress(.r15, Layout.sites + site * stride + offset)
    }
}

final class LoopVersions {
    /// Of one block: the states in which it is come to.
    static let maximum = 3

    /// What holds where a block begins, beside S.
    struct State {
        var recipe: FlagRecipe?
        var vectors: BlockEmitter.VectorState
        var stack: FloatingStack

        /// Code for `other` is right for this state as it is: what it expects is there, and what it stores need not have changed.
        func suffices(for other: State) -> Bool {
            recipe == other.recipe && stack == other.stack && vectors.loaded.isSuperset(of: other.vectors.loaded)
                && vectors.changed.isSubset(of: other.vectors.changed)
                && (vectors.hasControl || !other.vectors.hasControl)
        }
    }

    struct Version {
        var member: Int
        var state: State
        var label: Assembler.Label
        var isEmitted = false
    }

    /// An access whose place is kept, by its number in the block.
    struct Site: Hashable {
        var block: UnsafeMutablePointer<Block>
        var access: Int
    }

    private(set) var versions: [Version] = []
    /// The version to be emitted next, which the code before runs into.
    var next: Int?
    /// A way leads to a version that was there before.
    private(set) var isClosed = false
    private(set) var sites: [Site] = []
    /// Accesses that go from page to page. nil: no places are kept.
    let scattered: Set<Site>?
    /// Ways out: chain slots of the loop's own, and where in the code the distance of the jump lies that goes with each.
    var exits: [(slot: UnsafeMutablePointer<ChainSlot>, site: Int)] = []
    let newSlot: NewSlot

    typealias NewSlot = (UnsafeMutablePointer<ChainSlot>) -> UnsafeMutablePointer<ChainSlot>?

    init(scattered: Set<Site>?, newSlot: @escaping NewSlot) {
        (self.scattered, self.newSlot) = (scattered, newSlot)
    }

    /// The version for a state; nil: there are too many.
    func version(of member: Int, _ state: State, label: @autoclosure () -> Assembler.Label) -> Int? {
        if let known = versions.firstIndex(where: { $0.member == member && state.suffices(for: $0.state) }) {
            isClosed = true
            return known
        }
        guard versions.count(where: { $0.member == member }) < LoopVersions.maximum else { return nil }
        versions.append(Version(member: member, state: state, label: label()))
        return versions.count - 1
    }

    /// What is to be emitted; nil: all is.
    func take() -> Version? {
        guard let number = next ?? versions.firstIndex(where: { !$0.isEmitted }) else { return nil }
        next = nil
        versions[number].isEmitted = true
        return versions[number]
    }

    /// Where the place of an access is kept; nil: it looks into the TLB.
    func place(of site: Site) -> Int? {
        if let known = sites.firstIndex(of: site) { return known }
        guard let scattered, sites.count < LoopSite.count, !scattered.contains(site) else { return nil }
        sites.append(site)
        return sites.count - 1
    }
}

/// What the emitter of a block knows of the loop that it is part of.
struct LoopPart {
    let versions: LoopVersions
    /// Of LoopPlan.
    let ways: [Int?]

    func site(of access: Int, in block: UnsafeMutablePointer<Block>) -> Int? {
        versions.place(of: LoopVersions.Site(block: block, access: access))
    }
}
