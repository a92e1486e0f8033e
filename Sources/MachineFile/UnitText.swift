/// Sizes and durations: a decimal number, perhaps with a fraction, and a unit.
enum UnitText {
    /// In bytes.
    static func size(_ text: String) throws(ValueError) -> UInt64 {
        let units = [
            Unit("B", 1), Unit("KiB", 1 << 10), Unit("MiB", 1 << 20), Unit("GiB", 1 << 30), Unit("TiB", 1 << 40),
            Unit("k", 1 << 10), Unit("K", 1 << 10), Unit("M", 1 << 20), Unit("G", 1 << 30), Unit("T", 1 << 40),
        ]
        return try scaled(
            text, Kind(what: "a size", base: "bytes", shown: "B, KiB, MiB, GiB, TiB", units: units, bare: 1))
    }

    /// In nanoseconds.
    static func duration(_ text: String) throws(ValueError) -> UInt64 {
        let units = [
            Unit("ns", 1), Unit("us", 1000), Unit("µs", 1000), Unit("μs", 1000), Unit("ms", 1_000_000),
            Unit("s", 1_000_000_000), Unit("min", 60_000_000_000), Unit("h", 3_600_000_000_000),
        ]
        return try scaled(
            text, Kind(what: "a duration", base: "nanoseconds", shown: "ns, us, ms, s, min, h", units: units, bare: nil)
        )
    }

    private struct Unit {
        var name: String
        var factor: UInt64

        init(_ name: String, _ factor: UInt64) {
            self.name = name
            self.factor = factor
        }
    }

    private struct Kind {
        var what: String
        var base: String
        var shown: String
        var units: [Unit]
        /// What a number without a unit counts; nil: a unit is needed.
        var bare: UInt64?
    }

    private static func scaled(_ text: String, _ kind: Kind) throws(ValueError) -> UInt64 {
        if ["0x", "0X", "0o", "0b"].contains(where: text.hasPrefix) {
            guard kind.bare != nil else { throw missingUnit(text, kind) }
            return try NumberText.unsigned(text)
        }
        let number = text.prefix { $0.isASCII && ($0.isWholeNumber || $0 == "." || $0 == "_") }
        guard !number.isEmpty else { throw ValueError("\(Printable.quoted(text)) is not \(kind.what)") }
        let name = text.dropFirst(number.count).drop { $0 == " " }
        let factor = try factor(String(name), of: text, number, kind)
        return try product(number, factor, of: text, kind)
    }

    private static func factor(
        _ name: String, of text: String, _ number: Substring, _ kind: Kind
    ) throws(ValueError) -> UInt64 {
        if name.isEmpty {
            if let bare = kind.bare { return bare }
            if number == "0" { return 1 }
            throw missingUnit(text, kind)
        }
        if let unit = kind.units.first(where: { $0.name == name }) { return unit.factor }
        // "MB" is a million to some and 1024 * 1024 to others.
        let folded = name.lowercased()
        let near = kind.units.first {
            let unit = $0.name.lowercased()
            return unit == folded || (unit.hasSuffix("ib") && unit.prefix(1) + "b" == folded)
        }
        let hint = near.map { ": did you mean \"\(number)\($0.name)\"?" } ?? ": units are \(kind.shown)"
        throw ValueError("\(Printable.quoted(text)) has the unknown unit \(Printable.quoted(name))" + hint)
    }

    private static func missingUnit(_ text: String, _ kind: Kind) -> ValueError {
        ValueError("\(Printable.quoted(text)) has no unit: \(kind.shown)")
    }

    private static func product(
        _ number: Substring, _ factor: UInt64, of text: String, _ kind: Kind
    ) throws(ValueError) -> UInt64 {
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        let tooLarge = ValueError("\(Printable.quoted(text)) does not fit in 64 bits")
        guard parts.count <= 2 else { throw ValueError("\(Printable.quoted(text)) is not \(kind.what)") }
        let (whole, overflow) = try NumberText.unsigned(String(parts[0])).multipliedReportingOverflow(by: factor)
        guard !overflow else { throw tooLarge }
        guard parts.count == 2 else { return whole }
        let fraction = try fraction(parts[1], factor, of: text, kind)
        let (sum, carry) = whole.addingReportingOverflow(fraction)
        guard !carry else { throw tooLarge }
        return sum
    }

    /// `digits` after the point, of `factor`: exact, or refused.
    private static func fraction(
        _ digits: Substring, _ factor: UInt64, of text: String, _ kind: Kind
    ) throws(ValueError) -> UInt64 {
        guard (1...12).contains(digits.utf8.count), !digits.contains("_"), let value = UInt64(digits) else {
            throw ValueError("\(Printable.quoted(text)) is not \(kind.what)")
        }
        let scale = (0..<digits.utf8.count).reduce(UInt64(1)) { scale, _ in scale * 10 }
        // value < scale, so the quotient is less than the factor.
        let (quotient, remainder) = scale.dividingFullWidth(value.multipliedFullWidth(by: factor))
        guard remainder == 0 else {
            throw ValueError("\(Printable.quoted(text)) is not a whole number of \(kind.base)")
        }
        return quotient
    }
}
