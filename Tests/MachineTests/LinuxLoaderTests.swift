import Core
import Foundation
import KernelImages
import Testing

/// Files of a test, gone with it.
final class KernelFiles {
    let directory: String

    init() throws {
        directory = NSTemporaryDirectory() + "bp-kernel-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let path = "\(directory)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    func machine(_ recorder: String, boot: String, memory: String = "32MiB") -> String {
        """
        machine: \(recorder)
        cpu: { engine: kvm, interrupts: pic }
        memory: \(memory)
        boot: \(boot)
        devices:
          - { id: pic, plugin: pic8259 }
          - { id: com1, plugin: uart16550, stream: term }
          - { id: exit, plugin: debug-exit }
          - { id: reset, plugin: reset-control }
        backends:
          - { id: term, plugin: recorder, name: \(recorder) }
        """
    }

    static func bzImage(_ content: [UInt8], is64: Bool = true) -> [UInt8] {
        let payload = Pack.payload(KernelELF(content, is64: is64).bytes) { Pack.xz($0) }
        return BzImageFile(payload: payload, longMode: is64).bytes
    }
}

/// The loaders linux and elf, with guests that check how they are entered.
@Suite(.serialized, .timeLimit(.minutes(30)))
struct LinuxLoaderTests {
    /// Runs to the end: what the guest said, and its answer.
    private func run(
        _ name: String, _ file: String, expecting text: String, typing: String, on engine: TestEngine
    ) async throws -> Int32 {
        let recorder = Recorder(name)
        let machine = try TestMachine(file, on: engine)
        let end = try machine.run()
        let isSaid = await recorder.waits(for: text)
        #expect(isSaid, "\(recorder.text)\n\(machine.log.current.joined(separator: "\n"))")
        if isSaid { recorder.type(typing) } else { machine.machine.stop(99, "it did not say it") }
        return await end.value.status
    }

    /// The memory map has three ranges: its answer is 3 * 2 + 1.
    private let right: Int32 = 7

    @Test(arguments: TestEngine.here) func anUnpackedKernelIsEnteredIn64BitMode(on engine: TestEngine) async throws {
        let files = try KernelFiles()
        let kernel = try files.write("vmlinuz", KernelFiles.bzImage(ProbeGuest.linux64))
        let first = try files.write("first", Array("<first>.".utf8))
        let second = try files.write("second", Array("<second>".utf8))
        let boot = "{ plugin: linux, kernel: \(kernel), initrd: [\(first), \(second)], command-line: a=1 b }"
        let status = try await run(
            "linux64", files.machine("linux64", boot: boot), expecting: "a=1 b<first>.<second>", typing: "q", on: engine
        )
        #expect(status == right)
    }

    @Test(arguments: TestEngine.here) func aKernelThatUnpacksItselfIsEnteredAt0x200(on engine: TestEngine) async throws
    {
        let files = try KernelFiles()
        let code = [UInt8](repeating: 0xF4, count: 0x200) + ProbeGuest.linux64
        let kernel = try files.write("vmlinuz", BzImageFile(code: code, payload: [1, 2, 3, 4, 5]).bytes)
        for (index, unpack) in ["guest", "host"].enumerated() {
            let boot = "{ plugin: linux, kernel: \(kernel), command-line: packed, unpack: \(unpack) }"
            let file = files.machine("packed\(index)", boot: boot)
            #expect(try await run("packed\(index)", file, expecting: "packed", typing: "q", on: engine) == right)
        }
    }

    @Test(arguments: TestEngine.here) func a32BitKernelIsEnteredInProtectedMode(on engine: TestEngine) async throws {
        let files = try KernelFiles()
        let unpacked = try files.write("vmlinuz", KernelFiles.bzImage(ProbeGuest.linux32, is64: false))
        let packed = try files.write(
            "vmlinuz-packed", BzImageFile(code: ProbeGuest.linux32, longMode: false).bytes)
        for (index, kernel) in [unpacked, packed].enumerated() {
            let boot = "{ plugin: linux, kernel: \(kernel), command-line: thirty-two }"
            let file = files.machine("linux32-\(index)", boot: boot)
            #expect(try await run("linux32-\(index)", file, expecting: "thirty-two", typing: "q", on: engine) == right)
        }
    }

    @Test(arguments: TestEngine.here) func aRebootLoadsTheKernelAgain(on engine: TestEngine) async throws {
        let files = try KernelFiles()
        let kernel = try files.write("vmlinuz", KernelFiles.bzImage(ProbeGuest.linux64))
        let recorder = Recorder("linux-reboot")
        let boot = "{ plugin: linux, kernel: \(kernel), command-line: again }"
        let machine = try TestMachine(files.machine("linux-reboot", boot: boot), on: engine)
        let end = try machine.run()
        for times in 1...3 {
            #expect(await recorder.waits(for: "again", times: times))
            recorder.type(times < 3 ? "r" : "q")
        }
        #expect(await end.value.status == right)
    }

    @Test(arguments: TestEngine.here) func anELFKernelIsEnteredByItsNoteOrItsEntry(on engine: TestEngine) async throws {
        let files = try KernelFiles()
        let content = ProbeGuest.linux64 + [UInt8](repeating: 0, count: 512 - ProbeGuest.linux64.count) + ProbeGuest.pvh
        let kernel = try files.write("vmlinux", KernelELF(content, pvhEntry: 0x100_0200).bytes)
        for entry in ["auto", "pvh"] {
            let boot = "{ plugin: elf, kernel: \(kernel), command-line: by the note, entry: \(entry) }"
            let file = files.machine("elf-\(entry)", boot: boot)
            #expect(try await run("elf-\(entry)", file, expecting: "by the note", typing: "", on: engine) == right)
        }
        let module = try files.write("module", Array("<module>".utf8))
        let boot = "{ plugin: elf, kernel: \(kernel), modules: \(module), command-line: by the entry, entry: linux }"
        let file = files.machine("elf-linux", boot: boot)
        #expect(try await run("elf-linux", file, expecting: "by the entry<module>", typing: "q", on: engine) == right)
    }
}

/// What cannot be booted is an error at load, with its place and the kernel's name.
@Suite(.serialized) struct LinuxLoaderErrorTests {
    private func error(_ files: KernelFiles, _ boot: String, memory: String = "32MiB") -> String {
        _ = Recorder("linux-errors")
        do {
            let machine = try TestMachine(files.machine("linux-errors", boot: boot, memory: memory), engine: false)
            machine.machine.tearDown()
            return ""
        } catch { return "\(error)" }
    }

    @Test func filesThatAreNoKernelsAreNamed() throws {
        let files = try KernelFiles()
        let text = try files.write("text", Array(repeating: 0x41, count: 4096))
        #expect(
            error(files, "{ plugin: linux, kernel: \(text) }").contains("text: this is not a Linux kernel for a PC"))
        #expect(error(files, "{ plugin: elf, kernel: \(text) }").contains("text: this is not an ELF file"))
        let elf = try files.write("vmlinux", KernelELF([1]).bytes)
        #expect(error(files, "{ plugin: linux, kernel: \(elf) }").contains("the loader `elf` boots it"))
        #expect(error(files, "{ plugin: elf, kernel: \(elf), entry: pvh }").contains("has no PVH entry"))
        let old = try files.write("old", BzImageFile(version: 0x0203).bytes)
        #expect(error(files, "{ plugin: linux, kernel: \(old) }").contains("boot protocol 2.03 is too old"))
        #expect(error(files, "{ plugin: linux, kernel: \(files.directory)/absent }").contains("No such file"))
    }

    @Test func tooLittleMemoryIsSaidBeforeAnythingRuns() throws {
        let files = try KernelFiles()
        let kernel = try files.write("vmlinuz", KernelFiles.bzImage(ProbeGuest.linux64))
        let text = error(files, "{ plugin: linux, kernel: \(kernel) }", memory: "17MiB")
        #expect(text == "")
        let small = error(files, "{ plugin: linux, kernel: \(kernel) }", memory: "16MiB")
        #expect(small.contains("vmlinuz: the kernel needs 0x1000000-0x10fffff, 1 MiB, which is not all RAM"))
        let initrd = try files.write("initrd", [UInt8](repeating: 1, count: 17 << 20))
        let full = error(files, "{ plugin: linux, kernel: \(kernel), initrd: \(initrd) }", memory: "32MiB")
        #expect(full.contains("vmlinuz: there is no room for the initrd, 17825792 bytes"))
    }

    @Test func aDamagedPayloadIsSaid() throws {
        let files = try KernelFiles()
        var bytes = KernelFiles.bzImage(ProbeGuest.linux64)
        bytes[BzImageFile.code + 0x420] ^= 0x55
        let kernel = try files.write("vmlinuz", bytes)
        #expect(
            error(files, "{ plugin: linux, kernel: \(kernel) }").contains("vmlinuz: its payload cannot be unpacked"))
        #expect(error(files, "{ plugin: linux, kernel: \(kernel), unpack: guest }") == "")
    }

    @Test func anUnknownCompressionIsLeftToTheKernelWithOneLine() throws {
        let files = try KernelFiles()
        let kernel = try files.write("vmlinuz", BzImageFile(payload: Array("BZh91AY&SY".utf8)).bytes)
        _ = Recorder("linux-bzip2")
        let machine = try TestMachine(
            files.machine("linux-bzip2", boot: "{ plugin: linux, kernel: \(kernel) }"), engine: false)
        machine.machine.tearDown()
        let lines = machine.log.current.filter { $0.contains("unpacks itself") }
        #expect(lines == ["info boot: vmlinuz: its payload is compressed with bzip2; it unpacks itself"])
    }
}
