import CBackplane

/// The 65,536 ports as a flat table: who answers each, and whether a policy wants to see it.
/// An entry: bits 15:0 the claim's number (0: nobody), bit 16 set where a policy wants the exit.
struct PortSpace {
    static let policyBit: UInt32 = 1 << 16
    static let count = 0x10000

    /// SAFETY: allocated once, freed with the machine; indexed by a UInt16.
    let entries: UnsafeMutablePointer<UInt32>

    init() {
        entries = .allocate(capacity: PortSpace.count)
        entries.initialize(repeating: 0, count: PortSpace.count)
    }

    func deallocate() { entries.deallocate() }

    /// Fills the table anew from the claims and from what the policies want.
    func rebuild(_ claims: inout ClaimTable, wants: [PolicyWant]) {
        // A policy that wants them all is the common case, and 65,536 bits one by one are most of a change's pause.
        let isAllWanted = wants.contains { PortSpace.isOfPorts($0) && PortSpace.isAll($0) }
        let policyBit = isAllWanted ? PortSpace.policyBit : 0
        entries.update(repeating: policyBit, count: PortSpace.count)
        let order = claims.inOrder(of: BP_SPACE_PORT)
        for number in order {
            let base = Int(claims.records[number].base)
            let end = min(PortSpace.count, base + Int(clamping: claims.records[number].length))
            for port in base..<max(base, end) { entries[port] = UInt32(number) | policyBit }
        }
        for number in order {
            let record = claims.records + number
            let ports = Int(record.pointee.base)..<Int(record.pointee.last) + 1
            record.pointee.isCovered = !ports.allSatisfy { entries[$0] & 0xffff == UInt32(number) }
        }
        if isAllWanted { return }
        for want in wants where PortSpace.isOfPorts(want) {
            guard want.first < UInt64(PortSpace.count) else { continue }
            for port in Int(want.first)...Int(min(want.last, UInt64(PortSpace.count - 1)))
            where !want.isUnclaimedOnly || canTouchNothing(port) {
                entries[port] |= PortSpace.policyBit
            }
        }
    }

    private static func isOfPorts(_ want: PolicyWant) -> Bool {
        want.reason == UInt16(BP_EXIT_IO) || want.reason == UInt16(BP_WANT_ALL)
    }

    private static func isAll(_ want: PolicyWant) -> Bool {
        want.first == 0 && want.last >= UInt64(count - 1) && !want.isUnclaimedOnly
    }

    /// Whether an access of up to four bytes at this port can reach one that nobody answers.
    private func canTouchNothing(_ port: Int) -> Bool {
        (port..<min(port + 4, PortSpace.count)).contains { entries[$0] & 0xffff == 0 }
    }
}
