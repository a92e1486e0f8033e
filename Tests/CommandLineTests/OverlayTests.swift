import Foundation
import Testing

extension Commands {
    /// The tour guest above an overlay: it writes, verifies and restores the last four sectors.
    @Suite(.enabled(if: Host.hasTour)) struct OverlayTests {
        private static let content = (0..<2048 * 512).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }

        private func machine(_ folder: Folder, mode: String) throws -> String {
            let image = try folder.write("disk.img", Self.content)
            if mode == "read-only" { chmod(image, 0o444) }
            return try folder.write(
                "overlay.yaml",
                """
                extends: \(Program.tourMachine)
                cpu: { engine: soft }
                backends:
                  - { id: image, plugin: raw-file, path: "\(image)", mode: \(mode) }
                  - { id: disk, plugin: overlay, path: "\(folder.path)/changes", base: image, size: ~ }
                """)
        }

        private func isUnchanged(_ folder: Folder) -> Bool {
            FileManager.default.contents(atPath: folder.path + "/disk.img") == Data(Self.content)
        }

        @Test func theBaseIsNotWrittenAndAKilledMachineStartsAgain() async throws {
            let folder = Folder()
            let file = try machine(folder, mode: "read-only")
            let killed = try Tour.start(file: file)
            #expect(await killed.shows(Tour.prompt))
            killed.type("disk\r")
            #expect(await killed.shows("2048 sectors, wrote and verified 4"))
            kill(killed.pid, SIGKILL)
            _ = await killed.end()
            let end = try await Tour.session(["disk"], file: file)
            #expect(end.status == 0)
            #expect(end.output.contains("2048 sectors, wrote and verified 4"))
            #expect(isUnchanged(folder))
        }

        @Test func commitAndDiscardAreMethods() async throws {
            let folder = Folder()
            let socket = folder.path + "/qmp"
            let child = try Tour.start(
                ["--log", "info", "--qmp", "unix:\(socket)"], file: try machine(folder, mode: "read-write"))
            #expect(await child.shows(Tour.prompt))
            child.type("disk\r")
            #expect(await child.shows("2048 sectors, wrote and verified 4", times: 2))
            let before = try await backplane("ctl", socket, "call", "disk", "statistics")
            #expect(before.output.contains("changed 4 KiB of 1024"), "\(before.output)\(before.error)")
            #expect(try await backplane("ctl", socket, "call", "disk", "commit").status == 0)
            #expect(await child.shows("commit: 4 KiB are the base's; 0 KiB have changed since", onError: true))
            #expect(try await backplane("ctl", socket, "call", "disk", "discard").status == 0)
            child.type("off\r")
            #expect(await child.end().status == 0)
            #expect(isUnchanged(folder))
        }

        @Test func aReadOnlyBaseCannotBeCommittedTo() async throws {
            let folder = Folder()
            let socket = folder.path + "/qmp"
            let child = try Tour.start(["--qmp", "unix:\(socket)"], file: try machine(folder, mode: "read-only"))
            #expect(await child.shows(Tour.prompt))
            let end = try await backplane("ctl", socket, "call", "disk", "commit")
            #expect(end.status != 0)
            #expect(
                end.error.contains("the base cannot be written: it is read-only (raw-file: mode: read-write)"),
                "\(end.error)")
            child.type("off\r")
            #expect(await child.end().status == 0)
        }
    }
}
