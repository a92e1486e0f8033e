public import PluginKit

/// What the `stats` policy counts: exits and their time in the VMM, by kind and by port or 4 KiB page. `Stats.swift`
/// feeds it. Nothing is allocated but at the first sight of an address.
public struct ExitCounters: Sendable {
    /// By reason; the last one is for reasons beyond the SDM's 64.
    private(set) var kinds = [Counter](repeating: Counter(), count: BP_EXIT_REASONS + 1)
    /// At most 1536 addresses, more than a PC has ports and pages that devices answer.
    private(set) var addresses: AddressTable
    private(set) var undefined = UndefinedOpcodes()
    /// Virtual nanoseconds of the first and the last exit.
    private(set) var firstTime: UInt64 = 0
    private(set) var lastTime: UInt64 = 0

    /// `capacity`: slots for addresses, a power of two; three quarters of them are used.
    public init(capacity: Int = 2048) { addresses = AddressTable(capacity: capacity) }

    /// `ownerHash` stands for the name of who answered, 0: nobody; `owner` is asked for the name at first sight only.
    @inline(__always)
    public mutating func note(_ exit: bp_exit, nanoseconds: UInt64, ownerHash: UInt64, owner: () -> String) {
        if exit.asksPower { return }
        let kind = min(Int(exit.reason), BP_EXIT_REASONS)
        if total.count == 0 { firstTime = exit.time }
        lastTime = exit.time
        total.note(nanoseconds)
        kinds[kind].note(nanoseconds)
        if kind == BP_EXIT_IO {
            addresses.note(.init(port: exit.address), nanoseconds, ownerHash: ownerHash, owner: owner)
        } else if kind == BP_EXIT_EPT_VIOLATION {
            addresses.note(.init(memory: exit.address), nanoseconds, ownerHash: ownerHash, owner: owner)
        }
    }

    private(set) var total = Counter()

    /// The vector of #UD (SDM volume 3, table 6-1).
    public static let invalidOpcode: UInt64 = 6

    /// Beside `note`, of an exception exit of that vector; `bytes`: the instruction's, asked at the first sight of a place.
    public mutating func noteUndefined(rip: UInt64, bytes: () -> [UInt8]) { undefined.note(rip: rip, bytes: bytes) }

    /// Exits of a kind by its key ("io") or the SDM's name in any case ("I/O instruction"), or "all"; nil: no such
    /// kind.
    public func count(kind: String) -> UInt64? {
        if kind == "all" { return total.count }
        let lowered = kind.lowercased()
        for name in ExitName.all where name.key.description == kind || name.title.description.lowercased() == lowered {
            return kinds[Int(name.reason)].count
        }
        return nil
    }

    /// For programs: `kind`, `port` or `memory`; the kind's key or the address; count; nanoseconds; the owner at first sight.
    /// Tabs between, kinds that never happened left out.
    public var table: [String] {
        var lines: [String] = []
        func add(_ what: String, _ which: String, _ counter: Counter, _ owner: String) {
            lines.append("\(what)\t\(which)\t\(counter.count)\t\(counter.total)\t\(owner)")
        }
        for (reason, counter) in kinds.enumerated() where counter.count > 0 {
            add("kind", ExitName.key(of: UInt16(truncatingIfNeeded: reason)), counter, "")
        }
        for row in addresses.rows {
            let key = row.address
            add(key.isPort ? "port" : "memory", hexText(key.address), row.counter, addresses.owner(of: row) ?? "")
        }
        return lines
    }

    public mutating func clear() {
        for index in kinds.indices { kinds[index] = Counter() }
        addresses.clear()
        undefined = UndefinedOpcodes()
        total = Counter()
        firstTime = 0
        lastTime = 0
    }
}
