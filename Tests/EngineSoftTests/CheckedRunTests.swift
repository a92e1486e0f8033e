// `translate: check`: what host code does is compared with what the interpreter does. Random programs are, by PagedComparison.

import Testing

@testable import Core
@testable import EngineSoft

struct CheckedRunTests {
    /// xor eax, eax; mov ecx, 5; l: add eax, 1; mov [12000H + ecx], al; dec ecx; jnz l; hlt
    private static let program: [UInt8] = [
        0x31, 0xc0, 0xb9, 5, 0, 0, 0, 0x83, 0xc0, 1, 0x88, 0x81, 0, 0x20, 1, 0, 0xff, 0xc9, 0x75, 0xf3, 0xf4,
    ]

    private static func guest() throws -> PagedGuest {
        var options = SoftOptions()
        options.translation = .check
        return try PagedGuest(options) { _ in }
    }

    private static func run(_ guest: PagedGuest) -> PagedGuest.End {
        guest.run(1, is64: true, [(0x4000, program)])
    }

    @Test func whatIsComparedIsDoneOnce() throws {
        let guest = try Self.guest()
        let end = Self.run(guest)
        #expect(end.how == "halted" && end.registers[0] == 5 && end.registers[1] == 0)
        #expect((1...5).map { guest.ram.load(fromByteOffset: 0x12000 + $0, as: UInt8.self) } == [5, 4, 3, 2, 1])
        guard guest.cpu.translator != nil else { return }
        #expect(guest.cpu.checks.count > 0)
        #expect(guest.cpu.translationReport().mode.hasPrefix("check: "))
    }

    /// The interpreter's operation is another one than what host code was made of.
    @Test func aDifferenceEndsTheMachineAndIsNamed() throws {
        let guest = try Self.guest()
        #expect(Self.run(guest).how == "halted")
        guard guest.cpu.translator != nil else { return }
        let place = guest.cpu.memory.codePlace(0x4007)
        let block = try #require(guest.cpu.memory.blocks.blocks(at: place).first { $0.pointee.address == place })
        #expect(block.pointee.isWhole)
        var changed = 0
        for index in 1..<Int(block.pointee.operationCount) where block.operations[index].imm == 1 {
            block.operations[index].imm = 3
            changed += 1
        }
        #expect(changed == 1)
        (guest.cpu.s.rip, guest.cpu.s[Register.rcx]) = (0x4007, 5)
        guard case .failed(let error) = guest.cpu.run() else {
            Issue.record("nothing is found")
            return
        }
        #expect(error.description.contains("register 0 is 0x"), "\(error)")
        #expect(error.description.contains("the first of which is 83 c0 1 88 81"), "\(error)")
    }
}
