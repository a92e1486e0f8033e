import PluginKit
import Testing

/// SDM volume 3, appendix C, written out.
@Suite struct ExitNameTests {
    @Test(
        arguments: [
            (0, "exception"), (2, "triple-fault"), (10, "cpuid"), (12, "hlt"), (18, "vmcall"), (19, "vmclear"),
            (27, "vmxon"),
            (28, "cr"), (29, "dr"), (30, "io"), (31, "rdmsr"), (32, "wrmsr"), (36, "mwait"), (37, "monitor-trap"),
            (40, "pause"), (46, "descriptor-table"), (48, "ept-violation"), (51, "rdtscp"), (55, "xsetbv"),
            (57, "rdrand"),
            (58, "invpcid"), (61, "rdseed"),
        ] as [(UInt16, String)])
    func keysNameTheirReasons(_ reason: UInt16, _ key: String) {
        #expect(ExitName.key(of: reason) == key)
        #expect(ExitName.reason(of: key) == reason)
    }

    @Test func titlesAreTheSDMs() {
        #expect(ExitName.title(of: 30) == "I/O instruction")
        #expect(ExitName.title(of: 48) == "EPT violation")
        #expect(ExitName.title(of: 54) == "WBINVD or WBNOINVD")
        #expect(ExitName.title(of: 5) == "exit reason 5")
        #expect(ExitName.key(of: 5) == "reason-5")
        #expect(ExitName.reason(of: "reason-5") == nil)
    }

    @Test func namesAreUniqueAndAscending() {
        let reasons = ExitName.all.map(\.reason)
        #expect(reasons == reasons.sorted())
        #expect(Set(reasons).count == reasons.count)
        #expect(Set(ExitName.all.map(\.key.description)).count == reasons.count)
    }
}
