// SAFETY for this file: the memory is mapped once and never unmapped, and holds `Journal.length` bytes; what another process wrote
// there is taken as numbers and bounded text.

import CHost
import Core
import Glibc

/// What a child process that tests a plugin is doing, in memory that its parent sees too: it outlives the child, however that ends.
public final class Journal: @unchecked Sendable {
    /// Sparse: only what is written takes memory.
    private static let length = 64 << 20
    private let base: UnsafeMutableRawPointer
    private let record: UnsafeMutablePointer<ch_journal>
    /// Of the shared memory, for children; closed by `closeDescriptor`.
    public let descriptor: Int32

    /// `descriptor` nil: a new one, for a parent.
    public init(descriptor: Int32? = nil) throws(BenchError) {
        let file = descriptor ?? ch_memfd("backplane-bench", UInt64(Journal.length))
        guard file >= 0, let memory = ch_map_shared(file, UInt64(Journal.length)) else {
            throw BenchError("the bench's journal: \(String(cString: strerror(file < 0 ? -file : errno)))")
        }
        self.descriptor = file
        base = memory
        record = memory.bindMemory(to: ch_journal.self, capacity: 1)
    }

    public func closeDescriptor() { close(descriptor) }

    /// As for a new child.
    public func clear() { record.pointee = ch_journal() }

    // MARK: The child's side

    /// Something was done, or a round of waiting is over.
    @inline(__always)
    func beat() { record.pointee.beats &+= 1 }

    func begin(_ check: Check, round: Int, length: Int) {
        record.pointee.check = UInt32(Check.allCases.firstIndex(of: check) ?? 0)
        record.pointee.round = UInt32(truncatingIfNeeded: round)
        record.pointee.length = UInt32(truncatingIfNeeded: length)
        record.pointee.position = UInt64.max
        note = ""
        beat()
    }

    @inline(__always)
    func begin(operation position: Int) { record.pointee.position = UInt64(truncatingIfNeeded: position) }

    /// A place for a machine's record; nil: all are taken.
    func takeMachine() -> (index: Int, record: UnsafeMutableRawPointer)? {
        for index in 0..<Int(CH_JOURNAL_MACHINES) {
            guard let place = ch_journal_machine_at(record, UInt32(index)), place.pointee.is_used == 0 else { continue }
            place.pointee = ch_journal_machine()
            place.pointee.is_used = 1
            use(machine: index)
            let offset = MemoryLayout<ch_journal_machine>.offset(of: \.machine) ?? 0
            return (index, UnsafeMutableRawPointer(place) + offset)
        }
        return nil
    }

    func made(machine index: Int, device: UInt) {
        guard let place = ch_journal_machine_at(record, UInt32(index)) else { return }
        place.pointee.device = UInt64(device)
        place.pointee.is_made = 1
    }

    @inline(__always)
    func use(machine index: Int) { record.pointee.machine = UInt32(index) }

    func giveBack(machine index: Int) { ch_journal_machine_at(record, UInt32(index))?.pointee.is_used = 0 }

    /// What else there is to know of the round.
    var note: String {
        get { String(cString: ch_journal_note(record)) }
        set {
            let target = UnsafeMutableRawBufferPointer(start: ch_journal_note(record), count: Int(CH_JOURNAL_NOTE))
            let bytes = newValue.utf8.prefix(target.count - 1)
            target.copyBytes(from: bytes)
            target[bytes.count] = 0
        }
    }

    public enum Stage: UInt32, Sendable { case begun, refused, done }

    /// The last thing that a child says. Of `refused` the text says why.
    public func end(_ stage: Stage, status: Int32) {
        record.pointee.status = status
        record.pointee.stage = stage.rawValue
    }

    // MARK: Both sides

    /// A list of operations for a child, or a child's answer. What does not fit is cut.
    public var text: String {
        get {
            let room = Journal.length - Int(CH_JOURNAL_TEXT)
            let count = Int(clamping: min(record.pointee.text_length, UInt64(room)))
            return String(
                decoding: UnsafeRawBufferPointer(start: base + Int(CH_JOURNAL_TEXT), count: count), as: UTF8.self)
        }
        set {
            let room = Journal.length - Int(CH_JOURNAL_TEXT)
            let target = UnsafeMutableRawBufferPointer(start: base + Int(CH_JOURNAL_TEXT), count: room)
            let bytes = newValue.utf8.prefix(room)
            target.copyBytes(from: bytes)
            record.pointee.text_length = UInt64(bytes.count)
        }
    }

    // MARK: The parent's side

    public var beats: UInt64 { ch_load64(&record.pointee.beats) }
    public var stage: Stage { Stage(rawValue: record.pointee.stage) ?? .begun }
    public var status: Int32 { record.pointee.status }

    /// Where the child is, or was when it ended.
    public var place: Place {
        let checks = Check.allCases
        let position = record.pointee.position
        return Place(
            check: checks[min(Int(record.pointee.check), checks.count - 1)], round: Int(record.pointee.round),
            length: Int(record.pointee.length), position: position > UInt64(Int32.max) ? nil : Int(position),
            note: note, callback: callback)
    }

    /// "write of 0x2e0"; of one of the bench's own ends: that it was in it. nil: in no callback.
    private var callback: String? {
        guard let place = ch_journal_machine_at(record, record.pointee.machine), place.pointee.is_used != 0 else {
            return nil
        }
        var machine = place.pointee.machine
        guard ch_has_node(&machine) else { return nil }
        var text = [CChar](repeating: 0, count: 64)
        ch_describe_activity(&machine, &text)
        let activity = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let isDevice = place.pointee.is_made == 0 || UInt64(UInt(bitPattern: machine.node)) == place.pointee.device
        return isDevice ? activity : "a call that it made into the other end of a wire"
    }

    /// The child's own watchdog has found that a callback does not return.
    public var isHung: Bool {
        guard let place = ch_journal_machine_at(record, record.pointee.machine) else { return false }
        let machine = place.pointee.machine
        return machine.watchdog_limit > 0 && machine.watchdog_since >= machine.watchdog_limit
    }
}

/// Where a child is in its test.
public struct Place: Sendable {
    public var check: Check
    public var round: Int
    /// How many operations make a round of this run.
    public var length: Int
    /// Of the operation that was begun last, in the round's list; nil: none was.
    public var position: Int?
    /// What is being loaded, in `hostileState`.
    public var note: String
    /// "write of 0x2e0"; nil: in no callback.
    public var callback: String?
}
