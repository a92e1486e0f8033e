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

    /// A table as a plugin has it: its size, then the functions that its header knew. Never freed, as those of plugins.
    private func table(_ entries: [Call?]) -> UnsafeRawPointer {
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: entries.count + 4)
        // Behind the end of a shorter table lies something else.
        words.initialize(repeating: 0xdead_beef, count: entries.count + 4)
        words[0] = UInt64(8 + 8 * entries.count)
        for (index, entry) in entries.enumerated() {
            words[index + 1] = entry.map { UInt64(UInt(bitPattern: unsafeBitCast($0, to: Int.self))) } ?? 0
        }
        return UnsafeRawPointer(words)
    }

    private func answers(_ table: UnsafeRawPointer) -> [UInt64] {
        functions.indices.map { table.load(fromByteOffset: 8 + 8 * $0, as: Call.self)(nil, 0, 0, 0, 0, 0) }
    }

    @Test func aTableOfBeforeAnswersThatItDoesNotSupportWhatCameLater() throws {
        let wires = WireTable()
        let completed = try #require(wires.completed(table([Self.seven]), functions))
        #expect(completed.load(as: UInt32.self) == 8 + 4 * 8)
        #expect(answers(completed) == [7, UInt64(BP_UNSUPPORTED), 0, 0])
    }

    @Test func aHoleForAnAppendedFunctionIsOneThatIsNotSupported() throws {
        let wires = WireTable()
        let completed = try #require(
            wires.completed(table([Self.seven, nil, Self.seven, Self.seven]), functions))
        #expect(answers(completed) == [7, UInt64(BP_UNSUPPORTED), 7, 7])
    }

    @Test func aFullTableIsUsedAsItIs() {
        let full = table([Self.seven, Self.seven, Self.seven, Self.seven])
        #expect(WireTable().completed(full, functions) == full)
    }

    @Test func aTableWithoutAFunctionOfTheBeginningIsRefused() {
        let wires = WireTable()
        #expect(wires.completed(table([]), functions) == nil)
        #expect(wires.completed(table([nil, Self.seven]), functions) == nil)
        #expect(wires.completed(nil, functions) == nil)
    }

    /// Where all of a side was appended, an instance without a table for it is one of before.
    @Test func aSideThatWasAppendedWholeNeedsNoTable() throws {
        let wires = WireTable()
        let completed = try #require(wires.completed(nil, Array(functions[1...])))
        #expect(completed.load(as: UInt32.self) == 8 + 3 * 8)
    }
}
