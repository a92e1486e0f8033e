/// A size as machine files write it, in bytes; nil where it is none.
public func parseSize(_ text: String) -> UInt64? { try? UnitText.size(text) }
