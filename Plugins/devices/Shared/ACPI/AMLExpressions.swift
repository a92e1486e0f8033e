// What methods are made of: ACPI 6.5, 20.2.5 and 20.2.6.

extension AML {
    /// LocalX, 0...7 (higher numbers are 7).
    public static func local(_ index: UInt8) -> AML { AML([0x60 + min(index, 7)]) }
    /// ArgX, 0...6 (higher numbers are 6).
    public static func argument(_ index: UInt8) -> AML { AML([0x68 + min(index, 6)]) }
    /// No target: the value of the expression is all that is wanted.
    public static let nowhere = AML([0x00])

    // MARK: Statements

    public static func store(_ value: AML, _ target: AML) -> AML { AML([0x70] + value.bytes + target.bytes) }
    public static func `return`(_ value: AML) -> AML { AML([0xA4] + value.bytes) }
    public static func `if`(_ condition: AML, _ terms: [AML], else others: [AML] = []) -> AML {
        let taken = [0xA0] + package(condition.bytes + AML(terms).bytes)
        return AML(others.isEmpty ? taken : taken + [0xA1] + package(AML(others).bytes))
    }
    public static func `while`(_ condition: AML, _ terms: [AML]) -> AML {
        AML([0xA2] + package(condition.bytes + AML(terms).bytes))
    }
    public static func notify(_ object: String, _ value: UInt64) -> AML {
        AML([0x86] + path(object).bytes + integer(value).bytes)
    }
    /// Calls the method `name` with as many arguments as it has.
    public static func call(_ name: String, _ arguments: [AML] = []) -> AML {
        AML(path(name).bytes + AML(arguments).bytes)
    }
    public static func increment(_ target: AML) -> AML { AML([0x75] + target.bytes) }
    public static func acquire(_ mutex: String, timeout: UInt16 = 0xFFFF) -> AML {
        AML([0x5B, 0x23] + path(mutex).bytes + timeout.littleEndianBytes)
    }
    public static func release(_ mutex: String) -> AML { AML([0x5B, 0x27] + path(mutex).bytes) }
    public static func sleep(milliseconds: UInt64) -> AML { AML([0x5B, 0x22] + integer(milliseconds).bytes) }

    /// CreateByteField, CreateWordField, CreateDWordField, CreateQWordField: `width` bits (others: 32).
    public static func createField(_ name: String, of buffer: AML, at byte: UInt64, width: UInt8) -> AML {
        let code: UInt8 =
            switch width {
            case 8: 0x8C
            case 16: 0x8B
            case 64: 0x8F
            default: 0x8A
            }
        return AML([code] + buffer.bytes + integer(byte).bytes + path(name).bytes)
    }

    // MARK: Arithmetic: into `target`, and the value of the expression

    public static func add(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x72, a, b, target) }
    public static func subtract(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x74, a, b, target) }
    public static func shiftLeft(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x79, a, b, target) }
    public static func shiftRight(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x7A, a, b, target) }
    public static func and(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x7B, a, b, target) }
    public static func or(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x7D, a, b, target) }
    public static func xor(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x7F, a, b, target) }
    public static func not(_ a: AML, _ target: AML = nowhere) -> AML { AML([0x80] + a.bytes + target.bytes) }
    /// The bit number (from 1) of the lowest set bit, 0 for none.
    public static func findSetRightBit(_ a: AML, _ target: AML = nowhere) -> AML {
        AML([0x82] + a.bytes + target.bytes)
    }
    public static func index(_ a: AML, _ b: AML, _ target: AML = nowhere) -> AML { binary(0x88, a, b, target) }
    public static func dereference(_ a: AML) -> AML { AML([0x83] + a.bytes) }

    private static func binary(_ code: UInt8, _ a: AML, _ b: AML, _ target: AML) -> AML {
        AML([code] + a.bytes + b.bytes + target.bytes)
    }

    // MARK: Logic

    public static func logicalAnd(_ a: AML, _ b: AML) -> AML { AML([0x90] + a.bytes + b.bytes) }
    public static func logicalOr(_ a: AML, _ b: AML) -> AML { AML([0x91] + a.bytes + b.bytes) }
    public static func logicalNot(_ a: AML) -> AML { AML([0x92] + a.bytes) }
    public static func equal(_ a: AML, _ b: AML) -> AML { AML([0x93] + a.bytes + b.bytes) }
    public static func greater(_ a: AML, _ b: AML) -> AML { AML([0x94] + a.bytes + b.bytes) }
    public static func less(_ a: AML, _ b: AML) -> AML { AML([0x95] + a.bytes + b.bytes) }
}
