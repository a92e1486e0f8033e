// One case: some instructions in a row, with the moves that prepare them, ended by UD2; and the state to start from.

import NativeCPU

@testable import EngineSoft

struct Program {
    var code: [UInt8] = []
    /// Where each instruction under test is in `code`.
    var parts: [(offset: Int, length: Int, instruction: Instruction)] = []
    /// Register values before the first instruction; beyond them random ones.
    var setup = Setup()
    /// Flags without a defined value at the end; anywhere.
    var undefinedAtEnd: UInt64 = 0
    var undefinedAnywhere: UInt64 = 0
    /// Bytes of memory or state that no comparison can be made of.
    var usesVectors = false
}

extension Generator {
    /// One instruction with its operands in registers from the start.
    mutating func single(at address: UInt64) -> Program {
        var program = Program()
        var candidate = candidate()
        program.setup = plan(&candidate, at: address)
        directTarget(&candidate, 6)
        indirectTarget(candidate, address + UInt64(candidate.bytes.count) + 6, &program.setup)
        var count: UInt64?
        if candidate.instruction.operands.1 == .CL || candidate.instruction.operands.2 == .CL {
            if program.setup[1] == nil {
                program.setup[1] = random.chance(60) ? UInt64(random.below(70)) : random.value()
            }
            count = program.setup[1].map { $0 & (candidate.instruction.operandSize == 8 ? 63 : 31) }
            if candidate.instruction.opcode & 1 == 0, candidate.instruction.map == .one {
                count = count.map { $0 & 31 }
            }
        } else {
            count = fixedCount(candidate.instruction)
        }
        append(candidate, &program)
        program.undefinedAtEnd = FlagRules(candidate.instruction, count: count).undefined
        program.undefinedAnywhere = program.undefinedAtEnd
        for _ in 0..<4 { program.code += [0x0f, 0x0b] }
        return program
    }

    /// Some instructions, with moves before each that give it its operands.
    mutating func sequence(at address: UInt64) -> Program {
        var program = Program()
        var undefined: UInt64 = 0
        let isLoop = random.chance(25)
        let is64 = bits == 64
        let counter = Places.readOnly - 64 + UInt64(random.below(32))
        if isLoop { define(&program) }
        for _ in 0..<(1 + random.below(7)) {
            var candidate = candidate()
            // The same registers again and again, so that results become operands.
            let rules = FlagRules(candidate.instruction, count: fixedCount(candidate.instruction))
            if undefined & rules.read != 0 {
                define(&program)
                undefined = 0
            }
            let isFirst = program.code.isEmpty
            func moves(_ setup: Setup) -> [[UInt8]] {
                setup.registers.map { Generator.move($0.number, $0.value, is64: is64) }
            }
            // The length of the moves must be known before a RIP-relative operand is.
            let probe = candidate
            let saved = random
            var setup = plan(&candidate, at: address)
            // So will be the target of an indirect jump.
            let branch = candidate.instruction
            if [Mnemonic.jmpIndirect, .callIndirect].contains(branch.mnemonic), branch.isRegister,
                setup[Int(branch.rm)] == nil
            {
                setup[Int(branch.rm)] = 0
            }
            let length = isFirst ? 0 : moves(setup).reduce(0) { $0 + $1.count }
            candidate = probe
            random = saved
            setup = plan(&candidate, at: address + UInt64(program.code.count + length))
            let end = address + UInt64(program.code.count + length + candidate.bytes.count)
            if candidate.instruction.mnemonic == .ret {
                // Somewhere in its memory: what PUSH leaves there is the address to go on at.
                returnSequence(&program, candidate, setup, address)
                continue
            }
            indirectTarget(candidate, end, &setup)
            if isFirst {
                program.setup.registers += setup.registers
            } else {
                for move in moves(setup) where program.code.count + length < 400 { program.code += move }
            }
            program.setup.memory += setup.memory
            if candidate.instruction.mnemonic.isDirectBranch {
                var filler = self.candidate()
                while filler.instruction.mnemonic.isNearBranch
                    || FlagRules(filler.instruction, count: nil).read & undefined != 0
                {
                    filler = self.candidate()
                }
                directTarget(&candidate, filler.bytes.count)
                append(candidate, &program)
                append(filler, &program)
                undefined |= FlagRules(filler.instruction, count: nil).undefined
                program.undefinedAnywhere |= undefined
                continue
            }
            append(candidate, &program)
            undefined = undefined & ~rules.written | rules.undefined
            program.undefinedAnywhere |= undefined
        }
        if isLoop {
            let back = -(program.code.count + (bits == 64 ? 7 : 6) + 6)
            program.setup.memory.append((counter, UInt64(1 + random.below(5))))
            // DEC BYTE [counter]; JNZ back
            program.code += bits == 64 ? [0xfe, 0x0c, 0x25] : [0xfe, 0x0d]
            program.code += Generator.bytes(counter, 4)
            program.code += [0x0f, 0x85] + Generator.bytes(UInt64(bitPattern: Int64(back)), 4)
            undefined |= program.undefinedAnywhere
        }
        program.undefinedAtEnd = undefined
        for _ in 0..<4 { program.code += [0x0f, 0x0b] }
        return program
    }

    private mutating func candidate() -> Candidate {
        while true {
            if let made = make(entries[random.below(entries.count)]) { return made }
        }
    }

    private func append(_ candidate: Candidate, _ program: inout Program) {
        program.parts.append((program.code.count, candidate.bytes.count, candidate.instruction))
        program.code += candidate.bytes
        let vectors: EntryFlags = [.x87, .mmx, .sse]
        if !candidate.instruction.flags.isDisjoint(with: vectors) { program.usesVectors = true }
    }

    /// CMP EAX, imm32: every flag is defined behind it.
    private mutating func define(_ program: inout Program) {
        program.code += [0x3d] + Generator.bytes(random.value(), 4)
    }

    /// Of a shift by an immediate.
    private func fixedCount(_ i: Instruction) -> UInt64? {
        if i.operands.1 == .CL || i.operands.2 == .CL { return nil }
        if i.operands.1 == .one { return 1 }
        let isByte = i.map == .one && i.opcode & 1 == 0
        return i.immediate & (i.operandSize == 8 && !isByte ? 63 : 31)
    }

    /// A direct jump goes over `length` bytes behind it.
    private mutating func directTarget(_ candidate: inout Candidate, _ length: Int) {
        guard candidate.instruction.mnemonic.isDirectBranch else { return }
        let size = candidate.instruction.operands.0 == .Jb ? 1 : Int(min(candidate.instruction.operandSize, 4))
        let at = candidate.bytes.count - size
        for index in 0..<size { candidate.bytes[at + index] = UInt8(truncatingIfNeeded: length >> (index * 8)) }
        if let i = decode(candidate.bytes) { candidate.instruction = i }
    }

    private mutating func indirectTarget(_ candidate: Candidate, _ target: UInt64, _ setup: inout Setup) {
        let i = candidate.instruction
        switch i.mnemonic {
        case .ret:
            if let stack = setup[4], random.chance(95) { setup.memory.append((stack, target)) }
        case .jmpIndirect, .callIndirect:
            let value = random.chance(95) ? target : random.value()
            if i.isRegister {
                setup[Int(i.rm)] = value
            } else if let operand = setup.operand {
                setup.memory.append((operand, value))
            }
        default: break
        }
    }

    /// MOV RSP; PUSH target; RET: target is behind it.
    private mutating func returnSequence(
        _ program: inout Program, _ candidate: Candidate, _ setup: Setup, _ address: UInt64
    ) {
        program.code += Generator.move(4, setup[4] ?? 0, is64: bits == 64)
        let behind = address + UInt64(program.code.count + 5 + candidate.bytes.count)
        program.code += [0x68] + Generator.bytes(behind, 4)
        append(candidate, &program)
    }

    static func move(_ register: Int, _ value: UInt64, is64: Bool) -> [UInt8] {
        if !is64 { return [0xb8 + UInt8(register & 7)] + bytes(value, 4) }
        return [register >= 8 ? 0x49 : 0x48, 0xb8 + UInt8(register & 7)] + bytes(value, 8)
    }

    static func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
    }
}
