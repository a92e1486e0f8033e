import SplitMix
import Core
import Foundation
import MachineFile
import Testing

/// Machine files are not trusted: whatever is in one, loading it ends, and says what is wrong in places that exist.
@Suite struct FuzzTests {
    private static let samples = [
        tour,
        """
        extends: base.yaml
        machine: "${name}"
        parameters: { name: { default: x, doc: y }, other: "${name}/z" }
        memory: &size 2MiB
        watchdog: 1.5s
        devices:
          - id: k
            plugin: kitchen
            flag: off
            offset: -3
            size: *size
            delay: 1_0ms
            ports: 0x60-0x64
            ratio: 1.5e-1
            words: [a, 'b', "c\\t${other}"]
            numbers: [0x1, 2, 0b11]
          - { id: r0, plugin: relay, next: [r1, r2] }
          - { id: r1, plugin: relay, next: r2 }
          - { id: r2, plugin: relay }
          - id: com
            plugin: uart16550
            at: 0x3f8
            on-start: ["set_divisor(12)", { method: counters, arguments: [] }]
            on-fault: offline
          - { id: gone, remove: true }
        clock: { mode: counted, wall-clock: 2024-02-29T12:00:00Z, entropy-seed: 7 }
        """,
        """
        {"machine": "j", "memory": "1MiB", "cpu": {"engine": "soft", "interrupts": "pic", "count": 1},
         "devices": [{"id": "pic", "plugin": "pic8259"}, {"id": "p", "plugin": "pit8254", "irq": "pic.0", "at": 64}]}
        """,
    ]

    private static let tokens = [
        "${", "}", "$$", "&a ", "*a", "!!x ", "[", "]", "{", "}", ": ", "- ", "\n", "\n  ", ",", "'", "\"", "|\n",
        ">\n", "---\n",
        "? ", "#", "~", "0x", "010", "-", "pic.", ".99999999999", "remove: true", "extends: m.yaml\n", "id: a",
        "\\u0000", "\\",
        "999999999999999999999", "1e999", "0.0000000000001s", "TiB", "(", ")", "é", "\u{2028}", "\u{feff}", "\t",
        "<<: *a\n",
    ]

    @Test(arguments: 0..<4) func mutationsNeverTrap(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let fixture = try Fixture(["base.yaml": head + "devices:\n  - { id: gone, plugin: pit8254 }\n"])
        for _ in 0..<700 {
            var bytes = Array(FuzzTests.samples.randomElement(using: &random).map { Array($0.utf8) } ?? [])
            for _ in 0..<Int.random(in: 1...6, using: &random) { mutate(&bytes, &random) }
            try check(bytes, fixture, &random)
        }
    }

    @Test func randomBytesNeverTrap() throws {
        var random = SplitMix64(seed: 99)
        let fixture = try Fixture()
        for round in 0..<700 {
            let length = Int.random(in: 0...200, using: &random)
            // Every other one of the letters that YAML uses, so that it gets past the scanner.
            let alphabet = Array(" \n:-[]{},\"'&*!|>%@`?#~$ab01.".utf8)
            let bytes = (0..<length).map { _ in
                round % 2 == 0 ? UInt8.random(in: 0...255, using: &random) : alphabet.randomElement(using: &random) ?? 0
            }
            try check(bytes, fixture, &random)
        }
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix64) {
        guard !bytes.isEmpty else { return bytes.append(0x61) }
        let at = Int.random(in: 0..<bytes.count, using: &random)
        let length = min(bytes.count - at, Int.random(in: 0...20, using: &random))
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.removeSubrange(at..<at + length)
        case 2: bytes.insert(contentsOf: bytes[at..<at + length], at: Int.random(in: 0...bytes.count, using: &random))
        case 3: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        default:
            let token = FuzzTests.tokens.randomElement(using: &random) ?? ""
            bytes.replaceSubrange(at..<at + (Bool.random(using: &random) ? length : 0), with: token.utf8)
        }
    }

    private func check(_ bytes: [UInt8], _ fixture: Fixture, _ random: inout SplitMix64) throws {
        try fixture.write("m.yaml", bytes)
        let settings = Bool.random(using: &random) ? [("name", "${x}"), ("guest", "")] : []
        let policies = Bool.random(using: &random) ? ["stats,label=\(bytes.count)"] : []
        let result = fixture.load("m.yaml", .init(settings: settings, extraPolicies: policies))
        let errors = result.diagnostics.filter { $0.severity == .error }
        #expect((result.description == nil) == !errors.isEmpty)
        let path = fixture.path("m.yaml")
        let lines = bytes.count { $0 == 0x0a || $0 == 0x0d } + bytes.count { $0 == 0xe2 || $0 == 0xc2 } + 1
        let own = result.diagnostics.map(\.location).filter { $0.file == path && $0.line > 0 }
        #expect(own.allSatisfy { (1...lines).contains($0.line) && $0.column >= 1 && $0.column <= bytes.count + 1 })
        #expect(zip(own, own.dropFirst()).allSatisfy { ($0.line, $0.column) <= ($1.line, $1.column) })
        for diagnostic in result.diagnostics { #expect(!diagnostic.rendered(color: true).isEmpty) }
    }
}
