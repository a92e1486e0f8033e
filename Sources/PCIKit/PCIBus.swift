public import PluginKit

/// The functions on a bus, for the bridge that provides it: configuration accesses to them and to buses behind them, and who asserts INTx.
public struct PCIBus {
    /// By device << 3 | function.
    private var functions: [UInt32: PCIFunctionClient] = [:]
    /// By the line that they share: functions and pins, as index << 3 | pin.
    private var asserting = [Set<UInt32>](repeating: [], count: 4)

    public init() {}

    public mutating func add(_ function: PCIFunctionClient, at index: UInt32) { functions[index] = function }

    public func has(_ index: UInt32) -> Bool { functions[index] != nil }

    /// The device has other functions, which bit 7 of its header type says (PCI 3.0, 6.2.1).
    public func hasSiblings(_ index: UInt32) -> Bool {
        functions.keys.contains { $0 >> 3 == index >> 3 && $0 != index }
    }

    // MARK: Configuration accesses, to a function of this bus

    private static let headerType: UInt32 = 0x0E
    private static let multifunction: UInt32 = 0x80

    /// What a read gives: ones where no function is.
    /// - Returns: nil: it is busy or broken.
    public func read(_ index: UInt32, _ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32? {
        guard let function = functions[index], let offset = UInt16(exactly: offset) else { return .max }
        guard let value = function.configRead(offset, width: width, isPeek: isPeek) else { return nil }
        return marked(value, index, UInt32(offset), width)
    }

    /// `value` with the header type's bit 7 where the read has that byte.
    public func marked(_ value: UInt32, _ index: UInt32, _ offset: UInt32, _ width: UInt8) -> UInt32 {
        guard offset <= Self.headerType, Self.headerType < offset &+ UInt32(width), hasSiblings(index) else {
            return value
        }
        return value | Self.multifunction << ((Self.headerType &- offset) &* 8)
    }

    /// - Returns: false: the function is busy or broken.
    public func write(_ index: UInt32, _ offset: UInt32, width: UInt8, _ value: UInt32) -> Bool {
        guard let function = functions[index], let offset = UInt16(exactly: offset) else { return true }
        return function.configWrite(offset, width: width, value)
    }

    // MARK: The same, to a function of a bus further down

    /// - Returns: ones where no bridge leads there; nil: it is busy or broken.
    public func read(_ place: PCIPlace, _ offset: UInt32, width: UInt8, isPeek: Bool) -> UInt32? {
        guard let bridge = bridge(to: place.bus), let offset = UInt16(exactly: offset) else { return .max }
        return bridge.configRead(place, offset, width: width, isPeek: isPeek)
    }

    public func write(_ place: PCIPlace, _ offset: UInt32, width: UInt8, _ value: UInt32) -> Bool {
        guard let bridge = bridge(to: place.bus), let offset = UInt16(exactly: offset) else { return true }
        return bridge.configWrite(place, offset, width: width, value)
    }

    /// The bridge whose secondary to subordinate bus number have this one (bridge specification 1.2, 3.1.2.1.2).
    private func bridge(to bus: UInt8) -> PCIFunctionClient? {
        let found = functions.sorted { $0.key < $1.key }.first { _, function in
            guard let header = function.configRead(UInt16(Self.headerType), width: 1, isPeek: true), header & 0x7F == 1,
                let numbers = function.configRead(0x18, width: 4, isPeek: true)
            else { return false }
            let secondary = UInt8(truncatingIfNeeded: numbers >> 8)
            let subordinate = UInt8(truncatingIfNeeded: numbers >> 16)
            return secondary != 0 && secondary <= bus && bus <= subordinate
        }
        return found?.value
    }

    /// In the order of their places, so that runs repeat.
    public func reset() { for function in functions.sorted(by: { $0.key < $1.key }) { function.value.busReset() } }

    // MARK: INTx

    /// A function's pin (1...4) has changed, and leads to `line` (0...3), which others may share.
    /// - Returns: whether the line is asserted now.
    public mutating func setINTx(_ index: UInt32, pin: UInt8, to level: Bool, line: Int) -> Bool {
        let driver = index << 3 | UInt32(pin)
        if level { asserting[line & 3].insert(driver) } else { asserting[line & 3].remove(driver) }
        return !asserting[line & 3].isEmpty
    }

    /// A bit for each line that is asserted.
    public var assertedLines: UInt8 {
        asserting.indices.reduce(0) { $0 | (asserting[$1].isEmpty ? 0 : 1 << UInt8($1)) }
    }
}
