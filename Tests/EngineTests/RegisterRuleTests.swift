import CBackplane
import Core
import Testing

@testable import EngineKVM

/// Rules that need no KVM.
struct RegisterRuleTests {
    private var good: bp_registers { .powerOn(signature: 0) }

    /// MOV to CR0 has set PE, and CS is not loaded yet.
    @Test func realModesCSIsLegalInProtectedMode() {
        var state = good
        state.cr0 = 0x11
        state.cs.attributes = 0x93
        #expect(RegisterRules.broken(by: state) == nil)
        state.cs.attributes = 0xf3
        #expect(RegisterRules.broken(by: state)?.contains("DPL other than 0") == true)
    }

    @Test func stateAfterResetIsLegal() { #expect(RegisterRules.broken(by: good) == nil) }

    struct Broken: Sendable, CustomTestStringConvertible {
        var words: String
        var change: @Sendable (inout bp_registers) -> Void
        init(_ words: String, _ change: @escaping @Sendable (inout bp_registers) -> Void) {
            self.words = words
            self.change = change
        }
        var testDescription: String { words }
    }

    static let broken: [Broken] = [
        .init("PG without PE", { s in s.cr0 = 0x8000_0010 }),
        .init("NW without CD", { s in s.cr0 = 0x2000_0010 }),
        .init("CR0 0x100000010 has reserved bits", { s in s.cr0 = 0x1_0000_0010 }),
        .init("CR8 0x10 is above 15", { s in s.cr8 = 16 }),
        .init("EFER.LMA is not", { s in s.efer = 0x400 }),
        .init("RFLAGS 0x8002 has reserved bits", { s in s.rflags = 0x8002 }),
        .init("RFLAGS.VM in real mode", { s in s.rflags = 0x2_0002 }),
        .init("RIP 0x100000000 is above 4 GiB", { s in s.rip = 1 << 32 }),
        .init("FS's base 0x800000000000 is not canonical", { s in s.fs.base = 1 << 47 }),
        .init("DS has a base above 4 GiB", { s in s.ds.base = 1 << 32 }),
        .init("CS is unusable", { s in s.cs.attributes = 0x19b }),
        .init(
            "CS is not a code segment",
            { s in
                s.cr0 = 0x11
                s.cs.attributes = 0x91
            }),
        .init("SS is not a writable data segment", { s in s.ss.attributes = 0x91 }),
        .init("ES is not marked accessed", { s in s.es.attributes = 0x92 }),
        .init("ES is not present", { s in s.es.attributes = 0x13 }),
        .init("GS counts bytes", { s in s.gs.limit = 0x10_0000 }),
        .init(
            "GS counts pages",
            { s in
                s.gs.attributes = 0x8093
                s.gs.limit = 0x1000
            }),
        .init("TR is not a busy TSS", { s in s.tr.attributes = 0x89 }),
        .init("TR is unusable", { s in s.tr.attributes = 0x18b }),
        .init("LDTR is not an LDT", { s in s.ldtr.attributes = 0x83 }),
        .init("CS.L outside of long mode", { s in s.cs.attributes = 0xa09b }),
        .init("DR7 0x100000400 has reserved bits", { s in s.dr.7 = 0x1_0000_0400 }),
    ]

    @Test(arguments: broken) func brokenRuleIsNamed(rule: Broken) {
        var state = good
        rule.change(&state)
        #expect(RegisterRules.broken(by: state)?.contains(rule.words) == true)
    }

    @Test func changedFieldsAreMergedWhole() {
        let from = good
        var to = from
        to.rip = 0x1100
        to.ds.selector = 0x10
        var now = from
        now.rip = 0x1002
        now.general.0 = 0x42
        let merged = now.changed(from: from, to: to)
        #expect(merged.rip == 0x1100 && merged.ds.selector == 0x10 && merged.general.0 == 0x42)
    }
}
