import PluginKit

extension ExitCounters {
    /// The report as lines of text: a summary, the kinds, undefined opcodes, and the `top` ports and pages that took the most time.
    public func report(top: Int) -> [String] {
        guard total.count > 0 else { return ["no exits"] }
        var lines = [summary]
        lines += kindTable.lines
        lines += undefined.lines
        let rows = addresses.rows
        guard !rows.isEmpty else { return lines }
        let shown = min(max(top, 0), rows.count)
        lines.append("ports and pages: \(shown) of \(rows.count), by time in the VMM")
        lines += addressTable(rows, shown: shown).lines
        return lines
    }

    private var summary: String {
        let elapsed = lastTime >= firstTime ? lastTime - firstTime : 0
        let rate = rateText(total.count, nanoseconds: elapsed).map { " (" + $0 + ")" } ?? ""
        let exits = total.count == 1 ? "1 exit" : "\(total.count) exits"
        return exits + " in " + timeText(elapsed) + " of virtual time" + rate + ", " + timeText(total.total)
            + " in the VMM"
    }

    private var kindTable: Table {
        var table = Table(header: ExitCounters.numbers + ["exit"], names: 1)
        let seen = kinds.indices.filter { kinds[$0].count != 0 }.sorted {
            kinds[$0].total != kinds[$1].total ? kinds[$0].total > kinds[$1].total : $0 < $1
        }
        for reason in seen {
            let title = reason < BP_EXIT_REASONS ? ExitName.title(of: UInt16(reason)) : "exit reason above 63"
            table.add(cells(kinds[reason]) + [title])
        }
        table.add(cells(total) + ["all"])
        return table
    }

    /// The first `shown` rows; the others together; what the table had no room for.
    private func addressTable(_ rows: [AddressTable.Row], shown: Int) -> Table {
        var table = Table(header: ExitCounters.numbers + ["address", "owner"], names: 2)
        for row in rows.prefix(shown) {
            let address = (row.address.isPort ? "port " : "page ") + hexText(row.address.address)
            let owner = addresses.owner(of: row) ?? "(none)"
            table.add(cells(row.counter) + [address, row.hasMoreOwners ? owner + ", others" : owner])
        }
        if rows.count > shown {
            var rest = Counter()
            for row in rows.dropFirst(shown) { rest.add(row.counter) }
            table.add(cells(rest) + ["\(rows.count - shown) more", ""])
        }
        if addresses.other.count > 0 { table.add(cells(addresses.other) + ["other", "(table is full)"]) }
        return table
    }

    private static let numbers = ["count", "share", "total", "mean", "min", "max"]

    private func cells(_ counter: Counter) -> [String] {
        [
            "\(counter.count)", shareText(counter.total, of: total.total), timeText(counter.total),
            timeText(counter.mean), timeText(counter.shortest), timeText(counter.longest),
        ]
    }
}
