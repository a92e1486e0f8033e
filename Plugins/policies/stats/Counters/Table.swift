/// Rows of cells in columns: numbers to the right, the last columns, which are names, to the left.
struct Table {
    private var rows: [[String]]
    private let names: Int

    /// `names`: how many of the last columns are text.
    init(header: [String], names: Int) {
        rows = [header]
        self.names = names
    }

    /// As many cells as the header has; only the last may be empty.
    mutating func add(_ row: [String]) { rows.append(row) }

    /// Without spaces at their ends.
    var lines: [String] {
        let columns = rows[0].count
        let widths = (0..<columns).map { column in rows.map { $0[column].utf8.count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            var gap = ""
            for column in 0..<columns where !row[column].isEmpty {
                let space = String(repeating: " ", count: widths[column] - row[column].utf8.count)
                let isName = column >= columns - names
                line += gap + (isName ? row[column] : space + row[column])
                gap = (isName ? space : "") + "  "
            }
            return line
        }
    }
}
