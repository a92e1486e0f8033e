// How handlers are found: by the names of what they do. scripts/generate-handlers.py writes the tables in the order that is read here.

/// Bytes of an operand, 1 to 8.
enum Width: Int, CaseIterable {
    case byte, word, double, quad

    /// 1, 2, 4 or 8 bytes.
    init(_ size: UInt8) { self = Width(rawValue: size.trailingZeroBitCount & 3).unsafelyUnwrapped }
}

extension Binary {
    /// The first operand gets the result.
    var writes: Bool { self != .cmp && self != .test }
}

/// By operation and width.
struct OperationTable<Operation: RawRepresentable<Int>> {
    private let handlers: [Handler]
    init(_ handlers: [Handler]) { self.handlers = handlers }

    subscript(_ operation: Operation, _ width: Width) -> Handler { handlers[operation.rawValue * 4 + width.rawValue] }
}

/// From 1, 2 or 4 bytes to 2, 4 or 8.
struct ExtensionTable {
    private let handlers: [Handler]
    init(_ handlers: [Handler]) { self.handlers = handlers }

    subscript(signed isSigned: Bool, from from: Width, to to: Width) -> Handler {
        handlers[(isSigned ? 9 : 0) + from.rawValue * 3 + to.rawValue - 1]
    }
}

/// By width, 2 bytes or more.
struct WidthTable {
    private let handlers: [Handler]
    init(_ handlers: [Handler]) { self.handlers = handlers }

    subscript(_ width: Width) -> Handler { handlers[width.rawValue - 1] }
}

/// By condition code.
struct ConditionTable {
    private let handlers: [Handler]
    init(_ handlers: [Handler]) { self.handlers = handlers }

    subscript(_ condition: UInt8) -> Handler { handlers[Int(condition & 15)] }
}

/// By width, 2 bytes or more, and condition code.
struct ConditionalMoveTable {
    private let handlers: [Handler]
    init(_ handlers: [Handler]) { self.handlers = handlers }

    subscript(_ width: Width, _ condition: UInt8) -> Handler {
        handlers[(width.rawValue - 1) * 16 + Int(condition & 15)]
    }
}

/// CMP or TEST, by width and by the condition code of the jump that follows.
struct FusedTable {
    private let handlers: [Handler]
    init(_ handlers: [Handler]) { self.handlers = handlers }

    subscript(_ operation: Binary, _ width: Width, _ condition: UInt8) -> Handler {
        handlers[((operation == .cmp ? 0 : 4) + width.rawValue) * 16 + Int(condition & 15)]
    }
}
