import CBackplane

/// The 65,536 ports as a flat table: who answers each, and whether a policy wants to see it.
///
/// An entry: bits 15:0 the claim's number (0: nobody), bit 16 set where a policy wants the exit, bit 17 where the number does not tell all:
/// claims that answer one direction, and what lies below those that are WHOLE, are looked up.
struct PortSpace {
    static let policyBit: UInt32 = 1 << 16
    static let lookUpBit: UInt32 = 1 << 17
    static let count = 0x10000
    static let everything = 0...(count - 1)

    /// SAFETY: allocated once, freed with the machine; indexed by a UInt16.
    let entries: UnsafeMutablePointer<UInt32>

    init() {
        entries = .allocate(capacity: PortSpace.count)
        entries.initialize(repeating: 0, count: PortSpace.count)
    }

    func deallocate() { entries.deallocate() }

    /// Fills in a range anew from the claims and from what the policies want.
    func update(_ ports: ClosedRange<Int>, _ claims: ClaimTable, wants: [PolicyWant]) {
        // A policy that wants them all is the common case, and 65,536 bits one by one are most of a change's pause.
        let isAllWanted = wants.contains { PortSpace.isOfPorts($0) && PortSpace.isAll($0) }
        let policyBit = isAllWanted ? PortSpace.policyBit : 0
        (entries + ports.lowerBound).update(repeating: policyBit, count: ports.count)
        let range = UInt64(ports.lowerBound)...UInt64(ports.upperBound)
        let order = claims.inOrder(of: BP_SPACE_PORT, range)
        for number in order where !claims.records[number].isWhole { fill(claims, number, ports, policyBit) }
        for number in order where claims.records[number].isWhole { fill(claims, number, ports, policyBit) }
        for number in order { updateCover(claims.records + number, UInt32(number)) }
        if !isAllWanted { mark(ports, wants) }
    }

    private func fill(_ claims: ClaimTable, _ number: Int, _ ports: ClosedRange<Int>, _ policyBit: UInt32) {
        let record = claims.records + number
        let range = record.pointee.range.clamped(to: UInt64(ports.lowerBound)...UInt64(ports.upperBound))
        var entry = policyBit
        if record.pointee.answersBoth { entry |= UInt32(number) }
        if record.pointee.isWhole || !record.pointee.answersBoth { entry |= PortSpace.lookUpBit }
        (entries + Int(range.lowerBound)).update(repeating: entry, count: Int(range.upperBound - range.lowerBound) + 1)
    }

    /// WHOLE claims take their accesses whatever lies over them.
    private func updateCover(_ record: UnsafeMutablePointer<ClaimRecord>, _ number: UInt32) {
        let ports = Int(record.pointee.base)...Int(record.pointee.last)
        record.pointee.isCovered = !record.pointee.isWhole && !ports.allSatisfy { entries[$0] & 0xffff == number }
    }

    private func mark(_ ports: ClosedRange<Int>, _ wants: [PolicyWant]) {
        for want in wants where PortSpace.isOfPorts(want) && want.first <= UInt64(ports.upperBound) {
            guard want.last >= UInt64(ports.lowerBound), want.first <= want.last else { continue }
            let first = max(ports.lowerBound, Int(want.first))
            for port in first...Int(min(want.last, UInt64(ports.upperBound)))
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
        (port..<min(port + 4, PortSpace.count)).contains {
            entries[$0] & 0xffff == 0 || entries[$0] & PortSpace.lookUpBit != 0
        }
    }
}
