// What the translator says of itself, and its kill switches: a family that is left to the interpreter changes nothing that the guest can see.

import Testing

@testable import Core
@testable import EngineSoft

struct TranslationReportTests {
    /// fninit; mov ecx, 1000; l: add eax, ecx; fld1; fstp st(0); dec ecx; jnz l; hlt
    private static let loop: [UInt8] = [
        0xdb, 0xe3, 0xb9, 0xe8, 3, 0, 0, 0x01, 0xc8, 0xd9, 0xe8, 0xdd, 0xd8, 0xff, 0xc9, 0x75, 0xf6, 0xf4,
    ]

    private static func guest(_ translation: Translation, _ interpreted: Set<TranslationFamily> = []) throws
        -> PagedGuest
    {
        var options = SoftOptions()
        (options.translation, options.interpreted) = (translation, interpreted)
        return try PagedGuest(options) { $0.append([0xf4]) }
    }

    /// The loop as PagedGuest runs it, at 0x4000.
    private static func run(_ guest: PagedGuest) -> PagedGuest.End {
        guest.run(1, is64: true, [(0x4000, loop)])
    }

    @Test func aLoopIsCountedAsTranslated() throws {
        let guest = try Self.guest(.on)
        #expect(Self.run(guest).how == "halted")
        let report = guest.cpu.translationReport()
        #expect(report.mode == "on, after 64 runs" && report.interpreted == [])
        // All but the first 64 rounds of five instructions.
        #expect(report.translatedInstructions >= 930 * 5 && report.translatedInstructions < report.retiredInstructions)
        #expect(report.translatedBlocks >= 1 && report.decodedBlocks >= 2)
        #expect(report.codeBytes > 0 && report.codeBytes < report.codeRoom)
        #expect(report.translatedShare > 900 && report.translatedShare < 1000)
    }

    @Test func nothingIsCountedWhereNothingIsTranslated() throws {
        let guest = try Self.guest(.off)
        #expect(Self.run(guest).how == "halted")
        let report = guest.cpu.translationReport()
        #expect(report.mode == "off" && report.translatedInstructions == 0 && report.translatedShare == 0)
        #expect(report.retiredInstructions > 5000)
    }

    @Test func aBlockIsExplainedByTheCodeThatRuns() throws {
        let guest = try Self.guest(.on)
        #expect(Self.run(guest).how == "halted")
        let blocks = try guest.cpu.explain(linear: 0x4009)
        let translated = try #require(blocks.first { $0.hostAddress != 0 })
        #expect(translated.bits == 64 && translated.state == "supervisor, translated")
        #expect(translated.address == 0x4007)
        #expect(
            translated.instructions.map(\.bytes) == [
                [0x01, 0xc8], [0xd9, 0xe8], [0xdd, 0xd8], [0xff, 0xc9], [0x75, 0xf6],
            ])
        for instruction in translated.instructions where !instruction.host.isEmpty {
            let place = try #require(UnsafeRawPointer(bitPattern: UInt(instruction.hostAddress)))
            let there = [UInt8](UnsafeRawBufferPointer(start: place, count: instruction.host.count))
            #expect(there == instruction.host, "at \(String(instruction.address, radix: 16))")
        }
        #expect(translated.instructions.filter { !$0.host.isEmpty }.count >= 4)
    }

    @Test func whatIsNotTranslatedSaysWhy() throws {
        let guest = try Self.guest(.on, Set(TranslationFamily.allCases))
        #expect(Self.run(guest).how == "halted")
        let states = try guest.cpu.explain(linear: 0x4009).map(\.state)
        #expect(states.contains("supervisor, interpreted: nothing in it is emitted"), "\(states)")
        let report = guest.cpu.translationReport()
        #expect(report.translatedInstructions == 0 && report.interpreted.count == TranslationFamily.allCases.count)
        #expect(report.refusals.contains { $0.cause == "nothing in it is emitted" && $0.count > 0 })
    }

    @Test func codeThatIsWrittenIsCountedAsDropped() throws {
        let guest = try Self.guest(.on)
        // inc byte [0x4008], the immediate of mov al, 0 behind it; dec edi; jnz; hlt
        let code: [UInt8] = [0xfe, 0x04, 0x25, 0x08, 0x40, 0, 0, 0xb0, 0, 0xff, 0xcf, 0x75, 0xf3, 0xf4]
        #expect(guest.run(1, is64: true, [(0x4000, code)]).how == "halted")
        let drops = guest.cpu.translationReport().drops
        #expect(drops.first { $0.cause == "their bytes were written" }.map { $0.count >= 39 } == true, "\(drops)")
    }

    @Test(arguments: TranslationFamily.allCases) func aFamilyLeftToTheInterpreterChangesNothing(
        family: TranslationFamily
    ) throws {
        for program in [AccessGroupTests.program, FloatingStackTests.program] {
            let guests = try PagedComparison(interpreting: [family], program)
            for number in 0..<(20 * Soak.factor) {
                for is64 in [true, false] {
                    guard guests.run(Soak.seed &* 7_000_003 &+ UInt64(number), is64: is64) != nil else { return }
                }
            }
        }
    }
}
