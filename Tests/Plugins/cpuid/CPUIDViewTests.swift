import Testing

@testable import CPUTemplates

@Suite struct CPUIDViewTests {
    private let everything = CPUIDAnswer(eax: 0xc06f2, ebx: 0xffff_ffff, ecx: 0xffff_ffff, edx: 0xffff_ffff)
    private func view(_ template: String) -> CPUIDView {
        var view = CPUIDView()
        view.template = CPUTemplate.all.first { $0.name.description == template }!
        return view
    }

    @Test func hostChangesNothing() {
        for leaf in [0, 1, 7, 0x4000_0000, 0x8000_0000, 0x8000_0001] as [UInt32] {
            #expect(view("host").answer(leaf: leaf, subleaf: 0, own: everything) == everything)
        }
    }

    @Test func aPentiumHasWhatAPentiumHad() {
        // Application note 485: 0000_0101 family, FPU VME DE PSE TSC MSR MCE CX8.
        let answer = view("pentium").answer(leaf: 1, subleaf: 0, own: everything)
        #expect(answer.eax == 0x52c)
        #expect(answer.edx == 0x1bf && answer.ecx == 0)
        #expect(view("pentium").answer(leaf: 0, subleaf: 0, own: everything).eax == 1)
        #expect(view("pentium").answer(leaf: 7, subleaf: 0, own: everything) == .nothing)
        #expect(view("pentium").answer(leaf: 0x8000_0000, subleaf: 0, own: everything) == .nothing)
        #expect(view("pentium").answer(leaf: 0x4000_0000, subleaf: 0, own: everything) == .nothing)
    }

    @Test func signaturesAreThoseOfTheManuals() {
        #expect(CPUTemplate.encode((4, 8, 0)) == 0x480)
        #expect(CPUTemplate.encode((6, 5, 2)) == 0x652)
        #expect(CPUTemplate.encode((15, 2, 7)) == 0xf27)
        #expect(CPUTemplate.encode((6, 0x9e, 10)) == 0x906ea)
        #expect(CPUTemplate.encode((0x17, 1, 2)) == 0x0080_0f12)
    }

    @Test func nothingIsAddedToWhatTheEngineHas() {
        let bare = CPUIDAnswer(eax: 1, ebx: 0, ecx: 0, edx: 1)
        for template in CPUTemplate.all {
            let answer = view(template.name.description).answer(leaf: 1, subleaf: 0, own: bare)
            #expect(answer.edx & ~1 == 0 && answer.ecx == 0)
            #expect(view(template.name.description).answer(leaf: 0, subleaf: 0, own: bare).eax <= 1)
        }
    }

    @Test func singleFeaturesAreHidden() {
        var view = CPUIDView()
        view.hidden = ["sse2", "rdrand", "smap", "nx", "hypervisor"].map { CPUFeature.named($0)! }
        let one = view.answer(leaf: 1, subleaf: 0, own: everything)
        #expect(one.edx == ~(1 << 26) && one.ecx == ~(1 << 30 | 1 << 31))
        #expect(view.answer(leaf: 7, subleaf: 0, own: everything).ebx == ~(1 << 20))
        #expect(view.answer(leaf: 7, subleaf: 1, own: everything) == everything)
        #expect(view.answer(leaf: 0x8000_0001, subleaf: 0, own: everything).edx == ~(1 << 20))
        #expect(view.answer(leaf: 0x4000_0001, subleaf: 0, own: everything) == .nothing)
    }

    @Test func namesAreSpelledAcrossTheRegisters() {
        var view = CPUIDView()
        view.vendor = Array("GenuineIntel".utf8)
        view.brand = Array("Backplane CPU".utf8)
        let zero = view.answer(leaf: 0, subleaf: 0, own: everything)
        #expect(zero.ebx == 0x756e_6547 && zero.edx == 0x4965_6e69 && zero.ecx == 0x6c65_746e)
        #expect(view.answer(leaf: 0x8000_0002, subleaf: 0, own: everything).eax == 0x6b63_6142)
        #expect(view.answer(leaf: 0x8000_0004, subleaf: 0, own: everything) == .nothing)
    }

    @Test func everyNameIsThereOnce() {
        let names = CPUFeature.all.map(\.name.description)
        #expect(Set(names).count == names.count)
        for template in CPUTemplate.all {
            for feature in template.features ?? [] { #expect(names.contains(feature)) }
        }
    }
}
