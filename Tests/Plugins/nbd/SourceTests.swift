import Foundation
import NBDClient
import Testing

@Suite struct SourceTests {
    private let folder: Folder
    init() throws { folder = try Folder() }

    private func error(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch { return (error as? NBDError)?.text ?? "\(error)" }
    }

    @Test(
        arguments: [
            ("nbd://localhost", nil, "nbd://localhost"), ("nbd://localhost:1/x", nil, "nbd://localhost:1/x"),
            ("nbd://localhost", "a b/\u{e9}", "nbd://localhost/a%20b%2F%C3%A9"),
            ("nbd://[::1]:10809/", "x", "nbd://[::1]:10809/x"),
            ("nbd+unix:///?socket=/tmp/s", "x", "nbd+unix:///x?socket=/tmp/s"),
            ("nbds://host", "", "nbds://host/"),
        ] as [(String, String?, String)])
    func exportsBecomePartOfTheURI(_ uri: String, _ export: String?, _ whole: String) throws {
        #expect(try NBDSource(uri: uri, export: export, isReadOnly: true).place == .uri(whole))
    }

    @Test(arguments: ["", "disk.img", "http://host/x", "nbd:host:1", "NBD+ssh://x", "nbd"])
    func otherURIsAreRefused(_ uri: String) {
        let text = error { _ = try NBDSource(uri: uri, export: nil, isReadOnly: false) }
        #expect(text == "uri: '\(uri)' is none of nbd://HOST:PORT/EXPORT and nbd+unix:///EXPORT?socket=PATH")
    }

    @Test func aURIThatNamesAnExportTakesNoOther() {
        let text = error { _ = try NBDSource(uri: "nbd://h/one", export: "two", isReadOnly: false) }
        #expect(text == "export: the URI names an export itself, 'one'")
    }

    /// The format's magic is "QFI" and FBh (qcow2 image format, header).
    @Test func theFormatIsThatOfTheFirstBytesUnlessNamed() throws {
        let qcow = try folder.write("a.img", [0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3])
        let raw = try folder.write("b.img", [0x51, 0x46, 0x49, 0xfa, 0, 0, 0, 3])
        let short = try folder.write("c.img", [0x51])
        for (path, format, isGuessedRaw) in [(qcow, ImageFormat.qcow2, false), (raw, .raw, true), (short, .raw, true)] {
            let source = try NBDSource(image: path, format: nil, isReadOnly: false)
            #expect(source.place == .image(path: path, format: format))
            #expect(source.isGuessedRaw == isGuessedRaw)
        }
        let named = try NBDSource(image: qcow, format: .raw, isReadOnly: true)
        #expect(named.place == .image(path: qcow, format: .raw))
        #expect(named.isReadOnly && !named.isGuessedRaw)
    }

    @Test func onlyFilesAndBlockDevicesAreImages() throws {
        let path = folder.path
        #expect(
            error { _ = try NBDSource(image: path + "/none", format: .raw, isReadOnly: false) }
                == "there is no file '\(path)/none': `qemu-img create` makes images")
        for other in [path, "/dev/null"] {
            #expect(
                error { _ = try NBDSource(image: other, format: nil, isReadOnly: false) }
                    == "'\(other)' is neither a regular file nor a block device")
        }
    }

    @Test func relativePathsAreThoseOfThisProcess() throws {
        let path = try folder.write("a.img", [1])
        let here = FileManager.default.currentDirectoryPath
        let up = String(repeating: "../", count: here.split(separator: "/").count)
        let source = try NBDSource(image: up + path.dropFirst(), format: .raw, isReadOnly: false)
        #expect(source.place == .image(path: "\(here == "/" ? "" : here)/\(up)\(path.dropFirst())", format: .raw))
    }
}
