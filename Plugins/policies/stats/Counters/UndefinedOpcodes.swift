import PluginKit

/// Where the guest tried instructions that its CPU does not have (#UD), by address. UD2, which raises it on purpose, is one of them.
struct UndefinedOpcodes: Sendable {
    struct Row: Equatable, Sendable {
        /// RIP, an offset in the code segment.
        var rip: UInt64
        /// From the instruction on, at most 8; empty where they could not be read.
        var bytes: [UInt8]
        var count: UInt64
    }

    /// In the order of their first sight.
    private(set) var rows: [Row] = []
    /// At other places, once there were `limit`.
    private(set) var others: UInt64 = 0
    private let limit: Int

    init(limit: Int = 32) { self.limit = limit }

    /// `bytes` is asked at the first sight of a place.
    mutating func note(rip: UInt64, bytes: () -> [UInt8]) {
        if let known = rows.firstIndex(where: { $0.rip == rip }) {
            rows[known].count &+= 1
        } else if rows.count < limit {
            rows.append(Row(rip: rip, bytes: Array(bytes().prefix(8)), count: 1))
        } else {
            others &+= 1
        }
    }

    /// For a report; none where nothing was seen.
    var lines: [String] {
        if rows.isEmpty { return [] }
        var table = Table(header: ["count", "rip", "bytes"], names: 2)
        for row in rows {
            let bytes = row.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
            table.add([
                "\(row.count)", hexText(row.rip), bytes.isEmpty ? "(not readable)" : bytes.joined(separator: " "),
            ])
        }
        if others > 0 { table.add(["\(others)", "elsewhere", ""]) }
        return ["undefined opcodes"] + table.lines
    }
}
