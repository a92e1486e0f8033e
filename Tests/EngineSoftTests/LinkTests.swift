// Direct jumps between translated blocks: where a link leads after what it was made for has changed.

import Testing

@testable import Core
@testable import EngineSoft

struct LinkTests {
    private static func bytes(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

    /// Of code; NOP where nothing else is put.
    private struct Page {
        private(set) var code = [UInt8](repeating: 0x90, count: 0x1000)

        mutating func put(_ place: Int, _ bytes: [UInt8]) {
            code.replaceSubrange(place..<(place + bytes.count), with: bytes)
        }
    }

    /// ECX times by way of RBP, then to R12.
    private static func times(_ count: Int, then next: Int) -> [UInt8] {
        [0xb9] + bytes(count) + [0x41, 0xbc] + bytes(next) + [0xff, 0xe5]
    }

    /// A block with two accesses near each other, in both its versions, jumps to the next page, which becomes another one.
    @Test(arguments: [Translation.off, .on, .always]) func aLinkToAnotherPageLeadsWhereThatPageIsNowFromBothVersions(
        translation: Translation
    ) throws {
        var page = Page()
        page.put(0x00, [0x31, 0xf6, 0x31, 0xff, 0xbb] + Self.bytes(0x12000))  // xor esi, esi; xor edi, edi; mov ebx
        page.put(0x09, [0xbd] + Self.bytes(0x4020) + Self.times(200, then: 0x4080))  // mov ebp
        page.put(0x20, [0xe9] + Self.bytes(0x5000 - 0x4025))
        // mov eax, [rbx]; mov edx, [rbx + 8]
        page.put(0x30, [0x8b, 0x03, 0x8b, 0x53, 8, 0xe9] + Self.bytes(0x5000 - 0x403a))
        page.put(0x40, [0xff, 0xc9, 0x75, 3, 0x41, 0xff, 0xe4, 0xff, 0xe5])  // dec ecx; jnz; jmp r12; jmp rbp
        page.put(0x80, [0xbd] + Self.bytes(0x4030) + Self.times(200, then: 0x40a0))
        // The page at 5000H is that at 11000H.
        page.put(0xa0, [0x48, 0xc7, 0x04, 0x25] + Self.bytes(0xb028) + Self.bytes(0x11003))
        // mov rax, cr3; mov cr3, rax
        page.put(0xac, [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8] + Self.times(3, then: 0x40d0))
        page.put(0xd0, [0xbb] + Self.bytes(0x12ffc) + Self.times(3, then: 0x40f0))  // the accesses lie on two pages
        page.put(0xf0, [0xf4])
        let back: [UInt8] = [0xe9] + Self.bytes(0x4040 - 0x5008)
        var options = SoftOptions()
        options.translation = translation
        let guest = try PagedGuest(options) { _ in }
        let end = guest.run(
            1, is64: true, [(0x4000, page.code), (0x5000, [0x83, 0xc6, 1] + back), (0x11000, [0x83, 0xc7, 1] + back)])
        #expect(end.how == "halted")
        #expect(end.registers[6] == 400 && end.registers[7] == 6, "\(end.registers[6]), \(end.registers[7])")
    }

    /// What lies behind its page's end is another page's, is written, and is written on the first page.
    @Test(arguments: [Translation.off, .on, .always]) func anInstructionOnTwoPagesIsWhatBothHaveNow(
        translation: Translation
    ) throws {
        var page = Page()
        // xor esi, esi; mov ebp
        page.put(0x00, [0x31, 0xf6, 0xbd] + Self.bytes(0x4020) + Self.times(20_000, then: 0x4080))
        page.put(0x20, [0xe9] + Self.bytes(0x4ffd - 0x4025))
        page.put(0x40, [0xff, 0xc9, 0x75, 3, 0x41, 0xff, 0xe4, 0xff, 0xe5])  // dec ecx; jnz; jmp r12; jmp rbp
        // The page at 5000H is that at 11000H.
        page.put(0x80, [0x48, 0xc7, 0x04, 0x25] + Self.bytes(0xb028) + Self.bytes(0x11003))
        // mov rax, cr3; mov cr3, rax
        page.put(0x8c, [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8] + Self.times(300, then: 0x40b0))
        // mov byte [11000H], 2; [4fffH], 2
        page.put(0xb0, [0xc6, 0x04, 0x25] + Self.bytes(0x11000) + [2] + Self.times(300, then: 0x40d0))
        page.put(0xd0, [0xc6, 0x04, 0x25] + Self.bytes(0x4fff) + [2] + Self.times(300, then: 0x40f0))
        page.put(0xf0, [0xf4])
        // add esi, 1; jmp; or add esi, 101H
        page.put(0xffd, [0x81, 0xc6, 1])
        let back: [UInt8] = [0xe9] + Self.bytes(0x4040 - 0x5008)
        var options = SoftOptions()
        options.translation = translation
        let guest = try PagedGuest(options) { _ in }
        let end = guest.run(
            1, is64: true, [(0x4000, page.code), (0x5000, [0, 0, 0] + back), (0x11000, [1, 0, 0] + back)])
        #expect(end.how == "halted")
        #expect(end.registers[6] == 20_000 + 300 * (0x101 + 0x201 + 0x202), "\(end.registers[6])")
    }
}
