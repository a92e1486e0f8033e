/// Behind which port an address was last seen as a sender's. A port that shows ever new ones loses its own oldest, never another's.
struct AddressTable {
    static let limitPerPort = 256

    private var ports: [UInt64: Int] = [:]
    /// In the order in which they were learned.
    private var learned: [Int: [UInt64]] = [:]

    func port(of address: UInt64) -> Int? { ports[address] }

    mutating func learn(_ address: UInt64, at port: Int) {
        let known = ports[address]
        guard known != port else { return }
        if let known { learned[known]?.removeAll { $0 == address } }
        ports[address] = port
        learned[port, default: []].append(address)
        guard let oldest = learned[port]?.first, learned[port, default: []].count > Self.limitPerPort else { return }
        learned[port]?.removeFirst()
        ports[oldest] = nil
    }

    mutating func forget(port: Int) {
        for address in learned.removeValue(forKey: port) ?? [] { ports[address] = nil }
    }

    func count(of port: Int) -> Int { learned[port]?.count ?? 0 }
}
