import Multiboot
import Testing

@Suite struct BootLineTests {
    @Test func theFirstWordIsTheFilesName() {
        #expect(BootLine.text(path: "/home/me/kernel.elf", arguments: "") == "kernel.elf")
        #expect(BootLine.text(path: "/home/me/kernel.elf", arguments: "root=hd0 quiet") == "kernel.elf root=hd0 quiet")
        #expect(BootLine.text(path: "/home/me/my kernel.elf", arguments: "a") == "my_kernel.elf a")
    }

    @Test func theShortestBeginningThatIsAFileIsThePath() throws {
        let files: Set<String> = ["/a dir/initrd.img", "/plain", "/plain second"]
        var split = try #require(BootLine.split("/a dir/initrd.img one two", isFile: files.contains))
        #expect(split.path == "/a dir/initrd.img")
        #expect(split.arguments == "one two")
        split = try #require(BootLine.split("/plain second", isFile: files.contains))
        #expect(split.path == "/plain")
        #expect(split.arguments == "second")
        split = try #require(BootLine.split("/plain   second", isFile: files.contains))
        #expect(split.arguments == "second")
        split = try #require(BootLine.split("/plain", isFile: files.contains))
        #expect(split.arguments.isEmpty)
        #expect(BootLine.split("/nothing here", isFile: files.contains) == nil)
        #expect(BootLine.split("", isFile: files.contains) == nil)
    }
}
