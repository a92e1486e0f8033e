import Foundation
import Testing

extension Commands {
    /// Disk images as the tour guest uses them: it writes, verifies and restores the last four sectors.
    @Suite(.enabled(if: Host.hasTour)) struct DiskTests {
        private static let sectors = 2048
        private static let content = (0..<sectors * 512).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }

        private func contents(_ path: String) -> [UInt8] {
            FileManager.default.contents(atPath: path).map(Array.init) ?? []
        }

        private func image(in folder: Folder) throws -> String { try folder.write("disk.img", Self.content) }

        @Test func theGuestReadsAndWritesTheImage() async throws {
            let folder = Folder()
            let image = try image(in: folder)
            let end = try await Tour.session(file: try Tour.withDisk(image, in: folder))
            #expect(end.status == 0)
            #expect(end.output.contains("disk: ata0-0 starts with 00 07 0e 15 1c"))
            #expect(end.output.contains("disk: ata0-0 2048 sectors, wrote and verified 4"))
            #expect(contents(image) == Self.content)
        }

        /// An image with a boot sector's signature stands for machines/pc.yaml with it as the disk; other files are machine files.
        @Test func anImageInPlaceOfAMachineFileIsThePC() async throws {
            let folder = Folder()
            var bytes = [UInt8](repeating: 0, count: 1024)
            (bytes[510], bytes[511]) = (0x55, 0xaa)
            let image = try folder.write("a disk.img", bytes)
            let end = try await backplane("run", "--print", image)
            #expect(end.status == 0)
            let pc = try String(contentsOfFile: Program.root + "/machines/pc.yaml", encoding: .utf8)
            #expect(end.output == pc.replacing("default: disk.img", with: "default: \"\(image)\""))
            #expect(end.output != pc)
            let other = try await backplane("run", "--print", Program.tourMachine)
            #expect(other.output == (try String(contentsOfFile: Program.tourMachine, encoding: .utf8)))
            let both = try await backplane("run", image, Program.tourMachine)
            #expect(both.status == 2 && both.error.contains("is a disk image: it is run alone"))
        }

        /// A volume descriptor in block 16 of 2048 bytes makes an image a disc (ECMA-119, 8.1), one that begins as a disk does too; what is cut off
        /// before it is none.
        @Test func anISOImageInPlaceOfAMachineFileIsThePCWithADrive() async throws {
            let folder = Folder()
            var bytes = [UInt8](repeating: 0, count: 40 << 10)
            (bytes[510], bytes[511]) = (0x55, 0xaa)
            bytes.replaceSubrange(32769..<32774, with: "CD001".utf8)
            let image = try folder.write("a disc.iso", bytes)
            let end = try await backplane("run", "--print", image)
            #expect(end.status == 0 && end.output.contains("iso: { default: \"\(image)\", doc:"))
            #expect(end.output.contains("\nextends: \"\(Program.root)/machines/pc.yaml\"\n"))
            let file = try folder.write("printed.yaml", end.output)
            let check = try await backplane("check", "--files-only", file)
            #expect(check.status == 0, "\(check.error)")
            let shared = try await backplane("run", "--print", image, "--share", folder.path)
            #expect(shared.output.contains("parameters:\n  iso: \"\(image)\"\n"), "\(shared.output)")
            let cut = try folder.write("cut.iso", Array(bytes[..<32772]))
            #expect(try await backplane("run", "--print", cut).output.contains("\n  disk: { default: \"\(cut)\""))
        }

        /// The size makes an image a floppy, and says for which drive.
        @Test(arguments: [
            (160, "360K"), (360, "360K"), (720, "720K"), (1200, "1.2M"), (1440, "1.44M"), (2880, "2.88M"),
        ])
        func aFloppyInPlaceOfAMachineFileIsThePCWithADrive(kibibytes: Int, drive: String) async throws {
            let folder = Folder()
            let bytes = [UInt8](repeating: 0, count: kibibytes << 10)
            let image = try folder.write("a floppy.img", bytes)
            let end = try await backplane("run", "--print", image)
            #expect(end.status == 0 && end.output.contains("floppy: { default: \"\(image)\", doc:"))
            #expect(end.output.contains("drive: { default: \"\(drive)\", doc:"))
            let check = try await backplane("check", "--files-only", try folder.write("printed.yaml", end.output))
            #expect(check.status == 0, "\(check.error)")
            let shared = try await backplane("run", "--print", image, "--share", folder.path)
            #expect(shared.output.contains("parameters:\n  floppy: \"\(image)\"\n  drive: \"\(drive)\"\n"))
            let longer = try folder.write("longer.img", bytes + [0])
            #expect(try await backplane("run", "--print", longer).output.contains("floppy:") == false)
            let text = try folder.write("text.yaml", [UInt8](repeating: 0x23, count: kibibytes << 10))
            #expect(try await backplane("run", "--print", text).output.contains("floppy:") == false)
        }

        /// --share and --disk stand for a machine file that extends the one that is named, and that `check` takes.
        @Test func shorthandsStandForAMachineFile() async throws {
            let folder = Folder()
            var bytes = [UInt8](repeating: 0, count: 1024)
            (bytes[510], bytes[511]) = (0x55, 0xaa)
            let image = try folder.write("a $disk.img", bytes)
            let end = try await backplane(
                "run", "--print", "--forward", "tcp:2222:22", image, "--share", folder.path, "--share",
                "\(folder.path):src,ro", "--disk", image)
            let (path, name) = (folder.path, image.replacing("$", with: "$$"))
            #expect(
                end.output == """
                    extends: "\(Program.root)/machines/pc.yaml"
                    parameters:
                      disk: "\(name)"
                      forward: "tcp:2222:22"
                    devices:
                      - { id: share-slot, plugin: virtio-pci, bus: pci.16 }
                      - { id: share, plugin: virtio-9p, transport: share-slot, path: "\(path)" }
                      - { id: share-2-slot, plugin: virtio-pci, bus: pci.17 }
                      - { id: share-2, plugin: virtio-9p, transport: share-2-slot, path: "\(path)", tag: "src", mode: read-only }
                      - { id: disk-2-slot, plugin: virtio-pci, bus: pci.18 }
                      - { id: disk-2, plugin: virtio-blk, transport: disk-2-slot, block: disk-2-file }
                    backends:
                      - { id: disk-2-file, plugin: raw-file, path: "\(name)" }

                    """)
            let file = try folder.write("printed.yaml", end.output)
            let check = try await backplane("check", "--files-only", file)
            #expect(check.status == 0, "\(check.error)")
            let bare = try await backplane("run", Program.tourMachine, "--share", folder.path)
            #expect(bare.status == 2 && bare.error.contains("there is no instance \"pci\""), "\(bare.error)")
        }

        /// What it prints is that machine still.
        @Test func aDisplayThatIsLeftOpenIsTold() async throws {
            let folder = Folder()
            let text = """
                machine: open
                memory: 1MiB
                devices:
                  - { id: kbd, plugin: i8042 }
                  - { id: vga, plugin: vga }

                """
            let file = try folder.write("open.yaml", Array(text.utf8))
            let printed = try await backplane("run", "--print", file).output
            #expect(
                printed == text + """
                    # A terminal shows the display, of which nothing is said above, as if it had this:
                    #   devices: [{ id: vga, display: [screen] }]
                    #   backends: [{ id: screen, plugin: screen, keyboard: kbd.0 }]

                    """)
            let again = try folder.write("again.yaml", Array(printed.utf8))
            #expect(try await backplane("run", "--print", again).output.hasPrefix(printed))
            let closed = text.replacing("plugin: vga", with: "plugin: vga, display: []")
            let choice = try folder.write("closed.yaml", Array(closed.utf8))
            #expect(try await backplane("run", "--print", choice).output == closed)
            let broken = try folder.write("broken.yaml", Array(text.replacing("i8042", with: "i8043").utf8))
            #expect(try await backplane("run", "--print", broken).output == text.replacing("i8042", with: "i8043"))
        }

        @Test func anImageShorterThanASectorIsRefused() async throws {
            let folder = Folder()
            let image = try folder.write("disk.img", "x")
            let end = try await Tour.session(file: try Tour.withDisk(image, in: folder), refused: true)
            #expect(end.status == 2)
            #expect(end.error.contains("'disk' (raw-file) cannot be created"))
            #expect(end.error.contains("'\(image)' has 1 bytes, less than one sector of 512"))
        }

        /// Firmware that is cut off, and an option ROM without its signature (PCI 3.0, 6.3.1), are said to be so; the machine starts.
        @Test func firmwareThatIsNotWholeIsWarnedOf() async throws {
            let folder = Folder()
            // HLT with interrupts off at each address that may be the first.
            let firmware = try folder.write("bios.bin", [UInt8](repeating: 0xf4, count: 65535))
            let expansion = try folder.write("vga.rom", [0x55, 0xaa, 4] + [UInt8](repeating: 0, count: 1021))
            let foreign = try folder.write("nic.rom", [UInt8](repeating: 0, count: 1024))
            let file = try folder.write(
                "board.yaml",
                """
                machine: board
                memory: 1MiB
                cpu: { engine: soft }
                devices:
                  - { id: bios, plugin: rom, image: \(firmware), end: 0x100000000, alias: [0xf0000], alias-size: 64KiB }
                  - { id: pci, plugin: i440fx }
                  - { id: vga, plugin: vga, bus: pci.2, rom: \(expansion) }
                  - { id: nic, plugin: e1000, bus: pci.3, rom: \(foreign) }
                """)
            let end = try await backplane("run", file)
            #expect(end.status == 0, "\(end.error)")
            for said in [
                "bios: warning: bios.bin has 65535 bytes, not a multiple of 512: is it whole?",
                "vga: warning: rom: vga.rom is cut off: its header says 2048 bytes, and it has 1024",
                "nic: warning: rom: nic.rom is no expansion ROM: it does not begin with 55 AA",
            ] { #expect(end.error.contains(said), "\(end.error)") }
        }

        @Test func aMissingImageSaysHowToMakeOne() async throws {
            let folder = Folder()
            let image = folder.path + "/absent.img"
            let end = try await Tour.session(file: try Tour.withDisk(image, in: folder), refused: true)
            #expect(end.status == 2)
            #expect(end.error.contains("there is no file '\(image)'"))
            #expect(end.error.contains("disk create"))
            #expect(access(image, F_OK) != 0)
        }

        @Test func theErrorNamesTheFileThatGivesThePath() async throws {
            let folder = Folder()
            let file = try Tour.withDisk(folder.path + "/absent.img", in: folder)
            let end = try await Tour.session(file: file, refused: true)
            #expect(end.error.contains("absent.img"))
            // The instance is where its id was first written; a note says where an extending file overrides it.
            #expect(end.error.contains("\(Program.tourMachine):"))
            #expect(end.error.contains("\n  \(file):3:17: note: overridden here: plugin, path, mode\n"))
        }

        @Test func aDirectoryAndAPipeAreNoImages() async throws {
            let folder = Folder()
            let pipe = folder.path + "/pipe"
            mkfifo(pipe, 0o600)
            for path in [folder.path, pipe, "/dev/null"] {
                let end = try await Tour.session(file: try Tour.withDisk(path, in: folder), refused: true)
                #expect(end.status == 2)
                #expect(end.error.contains("'\(path)' is "))
            }
        }

        @Test func anImageInUseIsRefusedAndTheFirstMachineGoesOn() async throws {
            let folder = Folder()
            let file = try Tour.withDisk(try image(in: folder), in: folder)
            let first = try Tour.start(file: file)
            #expect(await first.shows(Tour.prompt))
            let second = try await Tour.session(file: file, refused: true)
            #expect(second.status == 2)
            #expect(second.error.contains("disk.img' is in use by another writer"))
            let reader = try await Tour.session(
                file: try Tour.withDisk(folder.path + "/disk.img", mode: "read-only", in: folder), refused: true)
            #expect(reader.status == 2)
            first.type("disk\r")
            #expect(await first.shows("wrote and verified 4", times: 2))
            first.type("off\r")
            #expect(await first.end().status == 0)
        }

        @Test func aReadOnlyImageRefusesTheGuestsWrites() async throws {
            let folder = Folder()
            let image = try image(in: folder)
            chmod(image, 0o444)
            let end = try await Tour.session(file: try Tour.withDisk(image, mode: "read-only", in: folder))
            #expect(end.status == 0)
            #expect(end.output.contains("disk: ata0-0 write: refused"))
            #expect(end.output.contains("disk: ata0-0 2048 sectors, cannot be written"))
            #expect(contents(image) == Self.content)
        }

        @Test func twoMachinesMayReadOneReadOnlyImage() async throws {
            let folder = Folder()
            let file = try Tour.withDisk(try image(in: folder), mode: "read-only", in: folder)
            let first = try Tour.start(file: file)
            #expect(await first.shows(Tour.prompt))
            #expect(try await Tour.session(file: file).status == 0)
            first.type("off\r")
            #expect(await first.end().status == 0)
        }

        @Test func snapshotLeavesTheImageAsItWas() async throws {
            let folder = Folder()
            let image = try image(in: folder)
            chmod(image, 0o444)
            let temporary = folder.makeDirectory("temporary")
            let end = try await Tour.session(
                ["disk"], file: try Tour.withDisk(image, mode: "snapshot", in: folder),
                environment: ["TMPDIR": temporary])
            #expect(end.status == 0)
            #expect(end.output.components(separatedBy: "wrote and verified 4").count == 3)
            #expect(contents(image) == Self.content)
            #expect(try FileManager.default.contentsOfDirectory(atPath: temporary).isEmpty)
        }

        @Test(.enabled(if: Host.isRoot)) func aFullFileSystemIsTheGuestsWriteError() async throws {
            let folder = Folder()
            let small = folder.makeDirectory("small")
            guard mount("tmpfs", small, "tmpfs", 0, "size=1m") == 0 else {
                return print("the test of a full file system is skipped: mount: \(String(cString: strerror(errno)))")
            }
            defer { umount2(small, Int32(MNT_DETACH)) }
            let image = small + "/disk.img"
            #expect(try await backplane("disk", "create", image, "8MiB").status == 0)
            fill(small + "/rest")
            let end = try await Tour.session(file: try Tour.withDisk(image, in: folder))
            #expect(end.status == 0)
            #expect(end.output.contains("disk: ata0-0 write: refused"))
            #expect(end.error.contains("No space left on device"))
            #expect(contents(image) == [UInt8](repeating: 0, count: 8 << 20))
        }

        /// Takes all the room that there is.
        private func fill(_ path: String) {
            let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            let page = [UInt8](repeating: 1, count: 4096)
            while write(file, page, page.count) > 0 {}
            close(file)
        }
    }

    @Suite struct DiskCreateTests {
        @Test(arguments: [("512", 512), ("64KiB", 65536), ("1.5MiB", 3 << 19), ("2G", 2 << 30), ("0x400", 1024)])
        func imagesAreAsLongAsAskedAndTakeNoRoom(_ size: String, _ length: Int) async throws {
            let folder = Folder()
            let end = try await backplane("disk", "create", folder.path + "/d.img", size)
            #expect(end.status == 0)
            var status = stat()
            #expect(stat(folder.path + "/d.img", &status) == 0)
            #expect(status.st_size == length)
            #expect(status.st_blocks == 0)
            #expect(end.output.contains("\(length / 512) sectors"))
        }

        @Test(arguments: ["0", "511", "1000", "1MB", "x", "", "99999999TiB", "nan"])
        func badSizesAreRefusedAndNothingIsMade(_ size: String) async throws {
            let folder = Folder()
            let end = try await backplane("disk", "create", folder.path + "/d.img", size)
            #expect(end.status == 2)
            #expect(end.error.contains("'\(size)'"))
            #expect(access(folder.path + "/d.img", F_OK) != 0)
        }

        @Test func aFileThatExistsIsLeftAlone() async throws {
            let folder = Folder()
            let file = try folder.write("d.img", "precious")
            let end = try await backplane("disk", "create", file, "1MiB")
            #expect(end.status == 2)
            #expect(end.error.contains("\(file) cannot be made: File exists"))
            #expect(FileManager.default.contents(atPath: file) == Data("precious".utf8))
        }

        @Test func aDirectoryThatIsNotThereIsNamed() async throws {
            let end = try await backplane("disk", "create", "/absent/d.img", "1MiB")
            #expect(end.status == 2)
            #expect(end.error.contains("/absent/d.img cannot be made: No such file or directory"))
        }
    }
}

extension Tour {
    /// A machine that does not come up.
    static func session(file: String, refused: Bool) async throws -> Child.Ended {
        await (try Child(arguments(file: file))).end()
    }
}
