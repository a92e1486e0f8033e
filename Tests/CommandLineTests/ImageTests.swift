import Foundation
import Testing

extension Commands {
    /// qcow2 images, which a qemu-nbd opens.
    @Suite struct ImageTests {
        /// "QFI" and FBh (qcow2 image format, header).
        private static let header: [UInt8] = [0x51, 0x46, 0x49, 0xfb] + [UInt8](repeating: 0, count: 1020)

        @Test func aQcow2ImageInPlaceOfAMachineFileIsThePC() async throws {
            let folder = Folder()
            let image = try folder.write("a disk.qcow2", Self.header)
            let end = try await backplane("run", "--print", image)
            #expect(end.status == 0)
            #expect(end.output.contains("\nextends: \"\(Program.root)/machines/pc.yaml\"\n"))
            #expect(
                end.output.contains("\n  image: { default: \"\(image)\", doc: \"a qcow2 image with a boot sector\" }\n")
            )
            #expect(
                end.output.hasSuffix(
                    "\nbackends:\n  - { id: disk, plugin: nbd, path: ~, image: \"${image}\", format: qcow2 }\n"))
            let file = try folder.write("printed.yaml", end.output)
            let check = try await backplane("check", "--files-only", file)
            #expect(check.status == 0, "\(check.error)")
        }

        @Test func aQcow2ImageIsOneMoreDisk() async throws {
            let folder = Folder()
            let image = try folder.write("more.QCOW2", Self.header)
            let end = try await backplane("run", "--print", image, "--disk", image)
            #expect(
                end.output == """
                    extends: "\(Program.root)/machines/pc-qcow2.yaml"
                    parameters:
                      image: "\(image)"
                    devices:
                      - { id: disk-2-slot, plugin: virtio-pci, bus: pci.16 }
                      - { id: disk-2, plugin: virtio-blk, transport: disk-2-slot, block: disk-2-file }
                    backends:
                      - { id: disk-2-file, plugin: nbd, image: "\(image)", format: qcow2 }

                    """)
        }

        /// What a guest has written to a raw disk makes it no qcow2 image.
        @Test func nameAndHeaderMustAgree() async throws {
            let folder = Folder()
            var boot = [UInt8](repeating: 0, count: 512)
            (boot[510], boot[511]) = (0x55, 0xaa)
            let raw = try folder.write("disk.img", boot)
            let disguised = try folder.write("disguised.img", Self.header[..<510] + [0x55, 0xaa])
            let misnamed = try folder.write("raw.qcow2", boot)
            for (image, words) in [
                (
                    disguised,
                    "\(disguised) has the header of a qcow2 image, which a guest may have written to a raw one"
                ),
                (misnamed, "\(misnamed) is no qcow2 image, as its name says"),
            ] {
                for arguments in [
                    ["run", image], ["run", "--print", image], ["run", "--print", raw, "--disk", image],
                ] {
                    let end = await (try Child(arguments)).end()
                    #expect(end.status == 2 && end.error.contains(words), "\(end.error)")
                }
            }
        }

        /// A guest that only computes, beside a disk.
        private func machine(_ folder: Folder, _ image: String) throws -> String {
            try folder.write("guest.img", [0xeb, 0xfe])
            return try folder.write(
                "machine.yaml",
                """
                machine: small
                cpu: { engine: soft }
                memory: 1MiB
                boot: { plugin: flat, image: guest.img, mode: real }
                policies:
                  - { id: rules, plugin: standard }
                devices: []
                backends:
                  - { id: disk, plugin: nbd, image: \(image) }
                """)
        }

        @Test func aMissingProgramIsNamedWithItsPackage() async throws {
            let folder = Folder()
            let file = try machine(folder, try folder.write("disk.img", [UInt8](repeating: 0, count: 512)))
            for command in ["run", "check"] {
                let end = await (try Child([command, file], environment: ["PATH": "/nowhere"])).end()
                #expect(end.status == 2)
                #expect(
                    end.error.contains(
                        "image: there is no program 'qemu-nbd', which opens it (Debian has it in the package qemu-utils)"
                    ),
                    "\(end.error)")
            }
        }

        @Test(.enabled(if: Host.hasQEMUTools)) func theServerEndsWithTheMachineAlsoWhereThatIsKilled() async throws {
            let folder = Folder()
            let image = try folder.write("disk.img", [UInt8](repeating: 0, count: 4096))
            let child = try Child(["run", "--log", "info", try machine(folder, image)])
            #expect(await child.shows("'\(image)' is taken as raw by its first bytes", onError: true))
            #expect(await eventually(60) { self.servers(image).count == 1 })
            kill(child.pid, SIGKILL)
            _ = await child.end()
            #expect(await eventually(60) { self.servers(image).isEmpty })
        }

        /// The boot sector ends the machine: interrupts off and HLT. A disk that cannot be read would not.
        @Test(.enabled(if: Host.hasQEMUTools && access("/usr/share/seabios/bios-256k.bin", R_OK) == 0))
        func thePCBootsFromAQcow2ImageWithABackingFile() async throws {
            let folder = Folder()
            var boot = [UInt8](repeating: 0, count: 1 << 20)
            boot.replaceSubrange(0..<2, with: Guest.powerOff)
            (boot[510], boot[511]) = (0x55, 0xaa)
            let base = try folder.write("base.img", boot)
            let image = folder.path + "/disk.qcow2"
            let made = await
                (try Child(
                    ["create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", image], program: Host.qemuImg ?? "")).end()
            #expect(made.status == 0, "\(made.error)")
            let end = try await backplane("run", "--engine", "soft", image)
            #expect(end.status == 0, "\(end.error)")
            #expect(end.error.contains("is a qcow2 image: it runs on \(Program.root)/machines/pc-qcow2.yaml"))
            #expect(servers(image).isEmpty)
        }

        /// Processes of qemu-nbd that have `path` as their last argument.
        private func servers(_ path: String) -> [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).filter { number in
                guard let line = FileManager.default.contents(atPath: "/proc/\(number)/cmdline") else { return false }
                let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
                return words.first?.hasSuffix("qemu-nbd") == true && words.last == path
            }
        }
    }
}
