import CBackplane
import CHost

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
    /// Some of its range is answered by another claim: accesses of more than a byte are looked up piece by piece.
    var isCovered: Bool
    var isLive: Bool

    var last: UInt64 { base &+ (length &- 1) }
    func contains(_ address: UInt64) -> Bool { address &- base < length }

    /// For a missing handler: reads as all ones, writes are dropped.
    static let noRead: bp_read_handler = { _, _, _ in Int32(BP_NO_REGISTER) }
    static let noWrite: bp_write_handler = { _, _, _ in Int32(BP_NO_REGISTER) }

    static var none: ClaimRecord {
        ClaimRecord(
            instance: nil, node: nil, read: noRead, write: noWrite, readBulk: nil, writeBulk: nil, cookie: 0, base: 0,
            length: 0, id: 0, sequence: 0, priority: 0, widths: 0, space: 0, isCovered: false, isLive: false)
    }
}

/// All claims of a machine, by number. Number 0 is nobody. Guarded by the machine's lock.
struct ClaimTable {
    /// SAFETY: allocated once with the largest count that a 16-bit number can name; freed with the machine.
    let records: UnsafeMutablePointer<ClaimRecord>
    private(set) var count = 1
    private var free: [Int] = []
    private var sequence: UInt64 = 0
    static let capacity = 16384

    init() {
        records = .allocate(capacity: ClaimTable.capacity)
        records.initialize(to: .none)
    }

    func deallocate() { records.deallocate() }

    /// nil: the table is full.
    mutating func add(_ record: ClaimRecord) -> Int? {
        var record = record
        sequence += 1
        record.sequence = sequence
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

    /// Live claims of a space whose owner is on line, the one that answers last: by priority, then the earlier one last.
    func inOrder(of space: Int) -> [Int] {
        (1..<max(1, count)).filter { number in
            records[number].isLive && Int(records[number].space) == space
                && records[number].node?.pointee.is_offline == 0
        }.sorted {
            (records[$0].priority, records[$1].sequence) < (records[$1].priority, records[$0].sequence)
        }
    }

    /// The first claim of equal priority that overlaps, of any owner.
    func conflict(space: UInt16, base: UInt64, length: UInt64, priority: Int32) -> Int? {
        (1..<max(1, count)).first { number in
            let other = records[number]
            return other.isLive && other.space == space && other.priority == priority
                && (other.contains(base) || base <= other.base && other.base &- base < length)
        }
    }
}
