import CBackplane
import Testing

@testable import Core

/// An interface grows by functions at its end: tables that were built before it did still work.
struct WireTableTests {
    private typealias Call = @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64, UInt64, UInt64, UInt64) -> UInt64
    private static let seven: Call = { _, _, _, _, _, _ in 7 }

    /// `first` has been there always; `second`, `third` and `fourth` were appended.
    private let functions: [InterfaceDescriptor.Function] = [
        .init(name: "first", parameters: [], result: .status, isAsynchronous: false),
        .init(name: "second", parameters: [], result: .status, isAsynchronous: false, since: 4),
        .init(name: "third", parameters: [], result: .u32, isAsynchronous: false, since: 4),
        .init(name: "fourth", parameters: [.u32], result: .void, isAsynchronous: true, since: 5),
    ]

    /// A table as a plugin has it: its size, then the functions that its header knew.
    private func withTable<R>(_ entries: [Call?], _ body: (UnsafeRawPointer) throws -> R) rethrows -> R {
        var words = [UInt64(8 + 8 * entries.count)]
        words += entries.map { $0.map { UInt64(UInt(bitPattern: unsafeBitCast($0, to: Int.self))) } ?? 0 }
        // Behind the end of a shorter table lies something else.
        words += [0xdead_beef, 0xdead_beef, 0xdead_beef]
        return try words.withUnsafeBytes { try body($0.baseAddress!) }
    }

    private func call(_ table: UnsafeRawPointer, _ function: Int) -> UInt64 {
        table.load(fromByteOffset: 8 + 8 * function, as: Call.self)(nil, 0, 0, 0, 0, 0)
    }

    @Test func aTableOfBeforeAnswersThatItDoesNotSupportWhatCameLater() throws {
        let wires = WireTable()
        try withTable([Self.seven]) { table in
            let completed = try #require(wires.completed(table, functions))
            #expect(completed.load(as: UInt32.self) == 8 + 4 * 8)
            #expect(call(completed, 0) == 7)
            #expect(call(completed, 1) == UInt64(BP_UNSUPPORTED))
            #expect(call(completed, 2) == 0)
            #expect(call(completed, 3) == 0)
        }
    }

    @Test func aHoleForAnAppendedFunctionIsOneThatIsNotSupported() throws {
        let wires = WireTable()
        try withTable([Self.seven, nil, Self.seven, Self.seven]) { table in
            let completed = try #require(wires.completed(table, functions))
            #expect((0..<4).map { call(completed, $0) } == [7, UInt64(BP_UNSUPPORTED), 7, 7])
        }
    }

    @Test func aFullTableIsUsedAsItIs() {
        let wires = WireTable()
        withTable([Self.seven, Self.seven, Self.seven, Self.seven]) {
            #expect(wires.completed($0, functions) == $0)
        }
    }

    @Test func aTableWithoutAFunctionOfTheBeginningIsRefused() {
        let wires = WireTable()
        withTable([]) { #expect(wires.completed($0, functions) == nil) }
        withTable([nil, Self.seven]) { #expect(wires.completed($0, functions) == nil) }
        #expect(wires.completed(nil, functions) == nil)
    }
}
