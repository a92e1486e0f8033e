import CBackplane
import CHost

/// How sentences call what is claimed in a space (BP_SPACE_*).
enum SpaceText {
    static func one(_ space: Int) -> String {
        switch space {
        case BP_SPACE_PORT: "port"
        case BP_SPACE_MSR: "MSR"
        default: "address"
        }
    }

    static func many(_ space: Int) -> String { one(space) + (space == BP_SPACE_MEMORY ? "es" : "s") }

    static func last(_ space: Int) -> String {
        switch space {
        case BP_SPACE_PORT: "port 0xffff"
        case BP_SPACE_MSR: "MSR 0xffffffff"
        default: "the last address"
        }
    }
}

/// One claim as the dispatch reads it: flat, without anything that is reference-counted.
struct ClaimRecord {
    /// SAFETY: the owner's; the claim is removed before its owner is destroyed.
    var instance: UnsafeMutableRawPointer?
    var node: UnsafeMutablePointer<ch_node>?
    var read: bp_read_handler
    var write: bp_write_handler
    var readBulk: bp_bulk_read_handler?
    var writeBulk: bp_bulk_write_handler?
    var cookie: UInt64
    var base: UInt64
    var length: UInt64
    var id: bp_id
    var sequence: UInt64
    var priority: Int32
    var widths: UInt8
    var space: UInt16
    /// What it answers now, and what it may answer: BP_MAP_*. The other direction falls through.
    var directions: UInt8
    var allowed: UInt8
    /// Takes accesses of its widths that lie inside of it, unsplit and before all others; all else falls through.
    var isWhole: Bool
    /// Some of its range is answered by another claim: accesses of more than a byte are looked up piece by piece.
    var isCovered: Bool
    var isLive: Bool

    var last: UInt64 { base &+ (length &- 1) }
    var range: ClosedRange<UInt64> { base...last }
    func contains(_ address: UInt64) -> Bool { address &- base < length }
    func overlaps(_ range: ClosedRange<UInt64>) -> Bool { base <= range.upperBound && range.lowerBound <= last }
    var answersBoth: Bool { directions == UInt8(BP_MAP_READ | BP_MAP_WRITE) }
    func answers(isWrite: Bool) -> Bool { directions & UInt8(isWrite ? BP_MAP_WRITE : BP_MAP_READ) != 0 }

    /// For a missing handler: reads as all ones, writes are dropped.
    static let noRead: bp_read_handler = { _, _, _ in Int32(BP_NO_REGISTER) }
    static let noWrite: bp_write_handler = { _, _, _ in Int32(BP_NO_REGISTER) }

    static var none: ClaimRecord {
        ClaimRecord(
            instance: nil, node: nil, read: noRead, write: noWrite, readBulk: nil, writeBulk: nil, cookie: 0, base: 0,
            length: 0, id: 0, sequence: 0, priority: 0, widths: 0, space: 0, directions: 0, allowed: 0, isWhole: false,
            isCovered: false, isLive: false)
    }
}

/// All claims of a machine, by number. Number 0 is nobody. Guarded by the machine's lock.
struct ClaimTable {
    /// SAFETY: allocated once with the largest count that a 16-bit number can name; freed with the machine.
    let records: UnsafeMutablePointer<ClaimRecord>
    private(set) var count = 1
    private var free: [Int] = []
    static let capacity = 16384

    init() {
        records = .allocate(capacity: ClaimTable.capacity)
        records.initialize(to: .none)
    }

    func deallocate() { records.deallocate() }

    /// nil: the table is full.
    mutating func add(_ record: ClaimRecord) -> Int? {
        var record = record
        // Of one count with the mappings, so that the earlier of the two is known.
        record.sequence = record.id
        record.isLive = true
        if let number = free.popLast() {
            records[number] = record
            return number
        }
        guard count < ClaimTable.capacity else { return nil }
        (records + count).initialize(to: record)
        count += 1
        return count - 1
    }

    mutating func remove(_ number: Int) {
        records[number] = .none
        free.append(number)
    }

    func number(of id: bp_id) -> Int? { (1..<max(1, count)).first { records[$0].isLive && records[$0].id == id } }

    /// Live claims that reach into a range of a space and answer something there, their owners on line. The one that answers comes last:
    /// by priority, then the earlier one last.
    func inOrder(of space: Int, _ range: ClosedRange<UInt64>) -> [Int] {
        (1..<max(1, count)).filter { number in
            let record = records + number
            return record.pointee.isLive && Int(record.pointee.space) == space && record.pointee.overlaps(range)
                && record.pointee.directions != 0 && record.pointee.node?.pointee.is_offline == 0
        }.sorted {
            (records[$0].priority, records[$1].sequence) < (records[$1].priority, records[$0].sequence)
        }
    }

    /// The strongest claim that answers a direction of one address; those that are WHOLE do not count. 0: none.
    func answering(_ space: Int, _ address: UInt64, isWrite: Bool) -> Int {
        strongest { record in
            Int(record.pointee.space) == space && record.pointee.contains(address) && !record.pointee.isWhole
                && record.pointee.answers(isWrite: isWrite)
        }
    }

    /// Of the live claims on line that `isMeant`; 0: none. On the path of an access: without an array.
    @inline(__always)
    private func strongest(_ isMeant: (UnsafeMutablePointer<ClaimRecord>) -> Bool) -> Int {
        var best = 0
        for number in 1..<max(1, count) {
            let record = records + number
            guard record.pointee.isLive, record.pointee.node?.pointee.is_offline == 0, isMeant(record) else { continue }
            if best == 0
                || (record.pointee.priority, records[best].sequence) > (records[best].priority, record.pointee.sequence)
            {
                best = number
            }
        }
        return best
    }

    func hasWhole(_ space: Int) -> Bool {
        (1..<max(1, count)).contains { records[$0].isLive && records[$0].isWhole && Int(records[$0].space) == space }
    }

    /// The WHOLE claim that takes an access; nil: none.
    func whole(_ space: Int, _ address: UInt64, _ width: UInt8, isWrite: Bool) -> Int? {
        let number = strongest { record in
            Int(record.pointee.space) == space && record.pointee.contains(address) && record.pointee.isWhole
                && record.pointee.answers(isWrite: isWrite) && record.pointee.widths & width != 0
                && UInt64(width) &- 1 <= record.pointee.last &- address
        }
        return number == 0 ? nil : number
    }

    /// The first claim of equal priority that overlaps and answers the same accesses, of any owner.
    func conflict(with claim: ClaimRecord) -> Int? {
        (1..<max(1, count)).first { number in
            let other = records[number]
            return other.isLive && other.space == claim.space && other.priority == claim.priority
                && other.overlaps(claim.range) && other.allowed & claim.allowed != 0
                && other.isWhole == claim.isWhole && (!claim.isWhole || other.widths & claim.widths != 0)
        }
    }

    /// Whether memory of `range` at a priority collides with a claim that answers the same directions.
    func conflict(with range: ClosedRange<UInt64>, priority: Int32, directions: UInt32) -> Int? {
        (1..<max(1, count)).first { number in
            let other = records[number]
            return other.isLive && Int(other.space) == BP_SPACE_MEMORY && other.priority == priority
                && other.overlaps(range) && UInt32(other.allowed) & directions != 0 && !other.isWhole
        }
    }
}
