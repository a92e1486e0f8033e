import CBackplane
import CHost
import Core
import EngineSoft
import Testing

/// The memory map while guests run from it.
struct MemoryMapTests {
    private func page(filledWith byte: UInt8) -> UnsafeMutableRawPointer {
        let page = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
        page.initializeMemory(as: UInt8.self, repeating: byte, count: 4096)
        return page
    }

    /// mov eax, imm32; ret
    private func function(_ value: UInt32) -> [UInt8] {
        [0xb8] + (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } + [0xc3]
    }

    /// What somebody else writes into code while it is decoded and run is never missed.
    @Test(arguments: EngineKind.here) func codeThatSomebodyElseWritesIsSeen(engine: EngineKind) throws {
        // 1000: mov esp, 0x8000
        // 1005: call 0x2000; mov [0x700], eax; jmp 1005
        let code: [UInt8] = [
            0xbc, 0x00, 0x80, 0x00, 0x00, 0xe8, 0xf6, 0x0f, 0x00, 0x00, 0xa3, 0x00, 0x07, 0x00, 0x00, 0xeb, 0xf4,
        ]
        let bench = try GuestBench(code, .protected, engine)
        bench.store(function(0), at: 0x2000)
        let runner = OnThread { if case .attention = bench.cpu.run() { true } else { false } }
        var missed = 0
        for round in 1...(engine == .kvm ? 20 : 2000) as ClosedRange<UInt32> {
            bench.store(function(round), at: 0x2000)
            bench.exits.vcpu.exits.pageFlags.forEach(PageFlags.code, from: 0x2000, length: 6) {
                bench.engine.didWriteCode(page: $0)
            }
            // A value that never comes was missed; the limit is for that only.
            let end = ch_monotonic() + (KVMHost.box == nil ? 120_000_000_000 : 20_000_000_000)
            while bench.word32(0x700) != round, ch_monotonic() < end { spin() }
            if bench.word32(0x700) != round {
                missed += 1
                break
            }
        }
        bench.exits.set(ch_leave_bit)
        bench.cpu.kick()
        #expect(runner.join())
        withKnownIssue(
            "QEMU's TCG (7.2) misses code that another CPU writes, with and without KVM", isIntermittent: true
        ) {
            #expect(missed == 0)
        } when: {
            KVMHost.box == "tcg"
        }
    }

    /// One page of memory at two guest-physical addresses: what is written at one is run at the other.
    @Test(arguments: EngineKind.here) func codeOfMemoryThatIsMappedTwiceIsOne(engine: EngineKind) throws {
        // mov esp, 0x8000; call 0x90000; mov ebx, eax; mov dword [0x91001], 0x22; call 0x90000; hlt
        let code: [UInt8] = [
            0xbc, 0x00, 0x80, 0x00, 0x00, 0xe8, 0xf6, 0xef, 0x08, 0x00, 0x89, 0xc3,
            0xc7, 0x05, 0x01, 0x10, 0x09, 0x00, 0x22, 0x00, 0x00, 0x00, 0xe8, 0xe5, 0xef, 0x08, 0x00, 0xf4,
        ]
        let bench = try GuestBench(code, .protected, engine)
        let page = page(filledWith: 0)
        defer { page.deallocate() }
        function(0x11).withUnsafeBytes { page.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        let backing = Backing(host: page, address: 0x100_0000)
        for address in [0x9_0000, 0x9_1000] as [UInt64] {
            try bench.engine.updateMemory(
                address...(address + 4095),
                [MappedMemory(address: address, length: 4096, read: backing, write: backing)])
        }
        try bench.runToHalt()
        let state = try bench.cpu.registers()
        #expect(state.general.3 == 0x11)
        #expect(state.general.0 == 0x22)
    }

    /// PAM: code runs from ROM while what is written there reaches other memory, and the other way round after a flip.
    @Test(arguments: EngineKind.here) func readsAndWritesOfAPageGoToDifferentMemory(engine: EngineKind) throws {
        // mov dword [0x90100], 0x55; mov eax, [0x90100]; hlt
        let code: [UInt8] = [
            0xc7, 0x05, 0x00, 0x01, 0x09, 0x00, 0x55, 0x00, 0x00, 0x00, 0xa1, 0x00, 0x01, 0x09, 0x00, 0xf4,
        ]
        let bench = try GuestBench(code, .protected, engine)
        let (rom, shadow) = (page(filledWith: 0xee), page(filledWith: 0))
        defer {
            rom.deallocate()
            shadow.deallocate()
        }
        let (read, write) = (Backing(host: rom, address: 0x100_0000), Backing(host: shadow, address: 0x100_1000))
        let range: ClosedRange<UInt64> = 0x9_0000...0x9_0fff
        try bench.engine.updateMemory(range, [MappedMemory(address: 0x9_0000, length: 4096, read: read, write: write)])
        // Without write-only memory of its own, KVM hands such writes to the core.
        bench.exits.onMemoryWrite = { address, width, value in
            guard width == 4 else { return }
            shadow.storeBytes(of: UInt32(value), toByteOffset: Int(address & 0xfff), as: UInt32.self)
        }
        try bench.runToHalt()
        #expect(try bench.cpu.registers().general.0 == 0xeeee_eeee)
        #expect(shadow.load(fromByteOffset: 0x100, as: UInt32.self) == 0x55)
        // The shadow is read now.
        try bench.engine.updateMemory(range, [MappedMemory(address: 0x9_0000, length: 4096, read: write, write: nil)])
        bench.exits.onMemoryWrite = { _, _, _ in }
        var state = try bench.cpu.registers()
        state.rip = 0x100a
        try bench.cpu.setRegisters(state)
        try bench.runToHalt()
        #expect(try bench.cpu.registers().general.0 == 0x55)
    }
}
