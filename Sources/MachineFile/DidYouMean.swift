/// Suggestions for names that do not exist. A hostile file has many of them: all here is bounded and cheap.
enum DidYouMean {
    private static let maximumLength = 64
    private static let maximumCandidates = 1000

    /// The candidate nearest to `text`; nil where none is near.
    static func nearest<Names: Sequence<String>>(to text: String, in candidates: Names) -> String? {
        guard let wanted = folded(text), !wanted.isEmpty else { return nil }
        // A third of the letters may be wrong, and in the shortest names one.
        var limit = max(1, wanted.count / 3)
        var best: String?
        for candidate in candidates.prefix(maximumCandidates) where candidate != text {
            guard abs(candidate.utf8.count - wanted.count) <= limit, let letters = folded(candidate),
                let distance = distance(wanted, letters, limit: limit)
            else { continue }
            if distance < limit || best == nil { (limit, best) = (distance, candidate) }
        }
        return best
    }

    /// `: did you mean "x"?`, or nothing.
    static func hint<Names: Sequence<String>>(for text: String, in candidates: Names) -> String {
        nearest(to: text, in: candidates).map { ": did you mean \(Printable.quoted($0))?" } ?? ""
    }

    /// Case and the kind of dash do not tell names apart. nil: too long.
    private static func folded(_ text: String) -> [UInt8]? {
        guard text.utf8.count <= maximumLength else { return nil }
        return text.utf8.map { byte in
            switch byte {
            case 0x41...0x5a: byte | 0x20
            case 0x5f: 0x2d
            default: byte
            }
        }
    }

    /// Edits, a swap of neighbours being one (optimal string alignment); nil: more than `limit`.
    static func distance(_ a: [UInt8], _ b: [UInt8], limit: Int) -> Int? {
        var before = Array(repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        var row = before
        for i in a.indices {
            row[0] = i + 1
            for j in b.indices {
                var cost = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, before[j - 1] + 1) }
                row[j + 1] = cost
            }
            // A swap reaches back two rows.
            if let low = row.min(), let lower = last.min(), min(low, lower) > limit { return nil }
            (before, last, row) = (last, row, before)
        }
        return last[b.count] <= limit ? last[b.count] : nil
    }
}
