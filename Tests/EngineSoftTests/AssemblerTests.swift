// What the translator's assembler writes, read again by capstone.

import Disassembly
import Testing

@testable import EngineSoft

struct AssemblerTests {
    /// The code of `write` at 0x1000, an instruction a line.
    private func listing(_ write: (inout Assembler) -> Void) throws -> [String] {
        let disassembler = try #require(Disassembler(bits: 64))
        var code = Assembler()
        write(&code)
        let bytes = code.finish(at: 0x1000)
        var lines: [String] = []
        var offset = 0
        while offset < bytes.count {
            let rest = Array(bytes[offset...])
            guard let (length, text) = disassembler.decode(rest, at: 0x1000 + UInt64(offset)) else {
                return lines + ["? \(rest)"]
            }
            lines.append(text)
            offset += length
        }
        return lines
    }

    private static let names: [Width: [String]] = [
        .byte: ["al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"] + (8...15).map { "r\($0)b" },
        .word: ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"] + (8...15).map { "r\($0)w" },
        .double: ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"] + (8...15).map { "r\($0)d" },
        .quad: ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] + (8...15).map { "r\($0)" },
    ]
    private static let sizes: [Width: String] = [.byte: "byte", .word: "word", .double: "dword", .quad: "qword"]
    private func name(_ register: HostRegister, _ width: Width) -> String {
        Self.names[width]![Int(register.rawValue)]
    }

    /// Every pair of registers in every width, for all forms of two operands.
    @Test func registerFormsAreWhatTheySay() throws {
        for width in Width.allCases {
            for a in HostRegister.allCases {
                for b in HostRegister.allCases {
                    let (x, y) = (name(a, width), name(b, width))
                    let lines = try listing {
                        $0.mov(width, a, b)
                        $0.arithmetic(.add, width, a, b)
                        $0.arithmetic(.cmp, width, a, b)
                        $0.test(width, a, b)
                    }
                    #expect(lines == ["mov \(x), \(y)", "add \(x), \(y)", "cmp \(x), \(y)", "test \(x), \(y)"])
                }
            }
        }
    }

    @Test func operationsOfOneRegisterAreWhatTheySay() throws {
        for width in Width.allCases {
            for a in HostRegister.allCases {
                let x = name(a, width)
                let lines = try listing {
                    for operation in [Assembler.Arithmetic.or, .adc, .sbb, .and, .sub, .xor] {
                        $0.arithmetic(operation, width, a, 5)
                    }
                    $0.inc(width, a)
                    $0.dec(width, a)
                    $0.unary(.not, width, a)
                    $0.unary(.neg, width, a)
                    for operation in [Assembler.Shift.rol, .ror, .rcl, .rcr, .shl, .shr, .sar] {
                        $0.shift(operation, width, a, 3)
                    }
                    $0.shift(.shl, width, a)
                    $0.test(width, a, 0x41)
                    $0.mov(width, a, 0x42)
                }
                let expected =
                    ["or", "adc", "sbb", "and", "sub", "xor"].map { "\($0) \(x), 5" }
                    + ["inc", "dec", "not", "neg"].map { "\($0) \(x)" }
                    + ["rol", "ror", "rcl", "rcr", "shl", "shr", "sar"].map { "\($0) \(x), 3" }
                    + ["shl \(x), cl", "test \(x), 0x41", "mov \(x), 0x42"]
                #expect(lines == expected)
            }
        }
    }

    /// Every base, with and without an index, and each size of displacement.
    @Test func addressesAreWhatTheySay() throws {
        for base in HostRegister.allCases {
            for displacement in [0, 8, -128, 127, 128, 4096, -4096] {
                let tail =
                    displacement == 0
                    ? "" : displacement < 0 ? " - \(hex(-displacement))" : " + \(hex(displacement))"
                let b = name(base, .quad)
                let plain = try listing { $0.mov(.quad, .rdx, HostAddress(base, displacement)) }
                #expect(plain == ["mov rdx, qword ptr [\(b)\(tail)]"])
                for index in HostRegister.allCases where index != .rsp {
                    let i = name(index, .quad)
                    let lines = try listing {
                        $0.lea(.quad, .r9, HostAddress(base, index, scale: 3, displacement))
                        $0.arithmetic(.xor, .double, .r10, HostAddress(base, index, scale: 1, displacement))
                    }
                    #expect(
                        lines == [
                            "lea r9, [\(b) + \(i)*8\(tail)]", "xor r10d, dword ptr [\(b) + \(i)*2\(tail)]",
                        ])
                }
            }
        }
    }

    @Test func addressesWithoutABaseAreWhatTheySay() throws {
        for index in HostRegister.allCases where index != .rsp {
            let i = name(index, .quad)
            let lines = try listing {
                $0.lea(.quad, .r9, HostAddress(index: index, scale: 3, 8))
                $0.mov(.double, .rcx, HostAddress(index: index, scale: 1, 0x12345))
            }
            #expect(lines == ["lea r9, [\(i)*8 + 8]", "mov ecx, dword ptr [\(i)*2 + 0x12345]"])
        }
    }

    private func hex(_ value: Int) -> String { value < 10 ? "\(value)" : "0x\(String(value, radix: 16))" }

    @Test func memoryFormsAreWhatTheySay() throws {
        for width in Width.allCases {
            let size = Self.sizes[width]!
            let (a, d) = (name(.rsi, width), name(.r13, width))
            let place = HostAddress(.r15, 0x100)
            let text = "\(size) ptr [r15 + 0x100]"
            let lines = try listing {
                $0.mov(width, .rsi, place)
                $0.mov(width, place, .r13)
                $0.mov(width, place, 0x55)
                $0.arithmetic(.sub, width, .rsi, place)
                $0.arithmetic(.sub, width, place, .r13)
                $0.arithmetic(.cmp, width, place, 0x55)
                $0.test(width, place, .r13)
            }
            #expect(
                lines == [
                    "mov \(a), \(text)", "mov \(text), \(d)", "mov \(text), 0x55", "sub \(a), \(text)",
                    "sub \(text), \(d)", "cmp \(text), 0x55", "test \(text), \(d)",
                ])
        }
    }

    @Test func largeImmediatesAreWhatTheySay() throws {
        let lines = try listing {
            $0.arithmetic(.add, .quad, .rcx, 0x12345)
            $0.arithmetic(.and, .word, .rcx, 0x1234)
            $0.arithmetic(.and, .double, HostAddress(.rbx), -0x12345)
            $0.load(.rax, 0x1234)
            $0.load(.r8, 0xffff_ffff)
            $0.load(.r9, .max)
            $0.load(.r14, 0x1234_5678_9abc_def0)
        }
        #expect(
            lines == [
                "add rcx, 0x12345", "and cx, 0x1234", "and dword ptr [rbx], 0xfffedcbb", "mov eax, 0x1234",
                "mov r8d, 0xffffffff", "mov r9, -1",
                "movabs r14, 0x123456789abcdef0",
            ])
    }

    @Test func extensionsAreWhatTheySay() throws {
        let lines = try listing {
            $0.extend(signed: false, from: .byte, .double, .rax, .rsi)
            $0.extend(signed: true, from: .byte, .quad, .r9, .rdi)
            $0.extend(signed: false, from: .word, .double, .r10, .rbx)
            $0.extend(signed: true, from: .word, .quad, .rax, .r12)
            $0.extend(signed: true, from: .double, .quad, .rax, .r12)
            $0.extend(signed: false, from: .double, .quad, .rax, .r12)
            $0.extend(signed: true, from: .byte, .word, .rax, HostAddress(.r15, 8))
            $0.extend(signed: true, from: .double, .quad, .rdx, HostAddress(.r15, 8))
        }
        #expect(
            lines == [
                "movzx eax, sil", "movsx r9, dil", "movzx r10d, bx", "movsx rax, r12w", "movsxd rax, r12d",
                "mov eax, r12d", "movsx ax, byte ptr [r15 + 8]", "movsxd rdx, dword ptr [r15 + 8]",
            ])
    }

    @Test func rotationWithoutFlagsIsWhatItSays() throws {
        for to in HostRegister.allCases {
            for from in HostRegister.allCases {
                let lines = try listing {
                    $0.rorx(.quad, to, from, 7)
                    $0.rorx(.double, to, from, 7)
                }
                #expect(
                    lines == [
                        "rorx \(name(to, .quad)), \(name(from, .quad)), 7",
                        "rorx \(name(to, .double)), \(name(from, .double)), 7",
                    ])
            }
        }
    }

    @Test func jumpsLeadWhereTheirLabelsAre() throws {
        let lines = try listing {
            let (back, ahead) = ($0.label(), $0.label())
            $0.bind(back)
            $0.jump(ahead)
            $0.jump(.ne, back)
            $0.bind(ahead)
            $0.jump(outside: 0x2000)
            $0.jump(.b, outside: 0x2000)
            $0.call(outside: 0x800)
            $0.jump(HostAddress(.rsi))
            $0.call(HostAddress(.rsi, 8))
            $0.jump(.r11)
            $0.push(.r12)
            $0.pop(.rbx)
            $0.set(.g, .rsi)
            $0.cmov(.le, .double, .r8, .rcx)
            $0.imul(.quad, .rdx, .r9)
            $0.ret()
        }
        #expect(
            lines == [
                "jmp 0x100b", "jne 0x1000", "jmp 0x2000", "jb 0x2000", "call 0x800", "jmp qword ptr [rsi]",
                "call qword ptr [rsi + 8]", "jmp r11", "push r12", "pop rbx", "setg sil", "cmovle r8d, ecx",
                "imul rdx, r9", "ret",
            ])
    }

    @Test func formsOfOneOperandAreWhatTheySay() throws {
        for width in Width.allCases {
            let size = Self.sizes[width]!
            let (a, text) = (name(.r13, width), "\(size) ptr [r10]")
            let lines = try listing {
                for operation in [Assembler.Factor.mul, .imul, .div, .idiv] {
                    $0.multiply(operation, width, .r13)
                    $0.multiply(operation, width, HostAddress(.r10))
                }
                $0.inc(width, HostAddress(.r10))
                $0.dec(width, HostAddress(.r10))
                $0.unary(.neg, width, HostAddress(.r10))
                $0.xchg(width, HostAddress(.r10), .r13)
                $0.lock()
                $0.xadd(width, HostAddress(.r10), .r13)
                $0.lock()
                $0.cmpxchg(width, HostAddress(.r10), .rsi)
            }
            #expect(
                lines == ["mul", "imul", "div", "idiv"].flatMap { ["\($0) \(a)", "\($0) \(text)"] } + [
                    "inc \(text)", "dec \(text)", "neg \(text)", "xchg \(text), \(a)", "lock xadd \(text), \(a)",
                    "lock cmpxchg \(text), \(name(.rsi, width))",
                ])
        }
    }

    @Test func productsConditionsAndBitsAreWhatTheySay() throws {
        let lines = try listing {
            $0.imul(.double, .r9, HostAddress(.r15, 72))
            $0.imul(.quad, .rdx, .r9, -1000)
            $0.imul(.word, .rdx, HostAddress(.r10), 300)
            $0.cmov(.s, .quad, .r12, HostAddress(.r15, 8))
            $0.set(.b, HostAddress(.r15, 0x180))
            $0.loadCarry(HostAddress(.r15, 0x180))
            $0.bit(63, .quad, .r10)
            $0.bswap(.quad, .r12)
            $0.bswap(.double, .rcx)
            $0.extendAccumulator(.word, isDouble: false)
            $0.extendAccumulator(.double, isDouble: false)
            $0.extendAccumulator(.quad, isDouble: false)
            $0.extendAccumulator(.double, isDouble: true)
            $0.extendAccumulator(.quad, isDouble: true)
            $0.sahf()
            $0.call(.r11)
        }
        #expect(
            lines == [
                "imul r9d, dword ptr [r15 + 0x48]", "imul rdx, r9, -0x3e8", "imul dx, word ptr [r10], 0x12c",
                "cmovs r12, qword ptr [r15 + 8]", "setb byte ptr [r15 + 0x180]", "cmp byte ptr [r15 + 0x180], 1", "cmc",
                "bt r10, 0x3f", "bswap r12", "bswap ecx", "cbw", "cwde", "cdqe", "cdq", "cqo", "sahf", "call r11",
            ])
    }

    @Test func placesInTheCodeAreReadAndLoaded() throws {
        let lines = try listing {
            let (data, place) = ($0.label(), $0.label())
            $0.lea(.r10, data)
            $0.call(place)
            $0.bind(place)
            $0.ret()
            $0.bind(data)
        }
        #expect(
            lines == [
                "lea r10, [rip + 6]", "call 0x100c", "ret",
            ])
    }

    @Test func vectorInstructionsAreWhatTheySay() throws {
        let lines = try listing {
            $0.vector(prefix: 0xf2, .two, 0x58, reg: 3, .register(12))
            $0.vector(prefix: 0xf2, .two, 0x59, reg: 9, .memory(HostAddress(.r10)))
            $0.vector(prefix: nil, .two, 0x10, reg: 15, .memory(HostAddress(.r15, 2048)))
            $0.vector(prefix: nil, .two, 0x11, reg: 1, .memory(HostAddress(.r15, 2112)))
            $0.vector(prefix: 0xf2, .two, 0x2a, isWide: true, reg: 2, .register(9))
            $0.vector(prefix: 0xf2, .two, 0x2c, isWide: true, reg: 11, .register(2))
            $0.vector(prefix: 0x66, .three38, 0x00, reg: 2, .register(3))
            $0.vector(prefix: 0x66, .two, 0x70, reg: 2, .register(3))
            $0.byte(0x1b)
            $0.loadVectorControl(HostAddress(.r15, 1112))
            $0.storeVectorControl(HostAddress(.r15, 1112))
        }
        #expect(
            lines == [
                "addsd xmm3, xmm12", "mulsd xmm9, qword ptr [r10]", "movups xmm15, xmmword ptr [r15 + 0x800]",
                "movups xmmword ptr [r15 + 0x840], xmm1", "cvtsi2sd xmm2, r9", "cvttsd2si r11, xmm2",
                "pshufb xmm2, xmm3", "pshufd xmm2, xmm3, 0x1b", "ldmxcsr dword ptr [r15 + 0x458]",
                "stmxcsr dword ptr [r15 + 0x458]",
            ])
    }
}
