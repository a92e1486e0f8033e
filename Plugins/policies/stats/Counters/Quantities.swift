// Numbers for people: three significant digits and a unit, as integers only, so that a report is the same everywhere.

/// "812 ns", "1.23 us", "45.6 ms", "812 s"; from 1000 s in whole seconds.
func timeText(_ nanoseconds: UInt64) -> String {
    if nanoseconds < 1000 { return "\(nanoseconds) ns" }
    var factor: UInt64 = 1000
    for unit in ["us", "ms", "s"] {
        if let text = threeDigits(nanoseconds, factor) { return text + " " + unit }
        factor *= 1000
    }
    return "\(nanoseconds / 1_000_000_000) s"
}

/// `value` / `factor` rounded to three significant digits; nil where that is 1000 or more. `factor`: a power of ten
/// from 100.
private func threeDigits(_ value: UInt64, _ factor: UInt64) -> String? {
    for (decimals, scale) in [(2, 100), (1, 10), (0, 1)] as [(Int, UInt64)] {
        let step = factor / scale
        let rounded = value / step + (value % step >= step - step / 2 ? 1 : 0)
        if rounded >= 1000 { continue }
        if decimals == 0 { return "\(rounded)" }
        let fraction = String(rounded % scale)
        return "\(rounded / scale)." + String(repeating: "0", count: decimals - fraction.utf8.count) + fraction
    }
    return nil
}

/// "83.1%"; "-" of nothing. A part above the whole, which a sum beyond 64 bits could give, is all of it.
func shareText(_ part: UInt64, of whole: UInt64) -> String {
    guard whole != 0 else { return "-" }
    let thousandth = Int((Double(min(part, whole)) / Double(whole) * 1000).rounded())
    return "\(thousandth / 10).\(thousandth % 10)%"
}

/// "14573/s"; nil where no time has passed.
func rateText(_ count: UInt64, nanoseconds: UInt64) -> String? {
    guard nanoseconds != 0 else { return nil }
    let rate = (Double(count) * 1e9 / Double(nanoseconds)).rounded()
    return rate < 1e18 ? "\(UInt64(rate))/s" : nil
}
