import BackendSupport
import CBackplane
import Glibc
import Pictures
import Testing

@testable import PictureFiles

@Suite struct PictureFilesTests {
    private let folder: String = {
        var template = Array("/tmp/backplane-picture-XXXXXX".utf8CString)
        return mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
    }()

    private func contents(_ path: String) -> [UInt8]? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = fgetc(file), byte >= 0 { bytes.append(UInt8(truncatingIfNeeded: byte)) }
        return bytes
    }

    private func cells(_ text: String) throws -> CellPicture {
        var form = bp_display_cells()
        (form.columns, form.rows, form.cell_width, form.cell_height) = (UInt32(text.unicodeScalars.count), 2, 8, 8)
        let row = text.unicodeScalars.flatMap { withUnsafeBytes(of: UInt64($0.value)) { Array($0) } }
        let region = row + [UInt8](repeating: 0, count: row.count)
        return try #require(region.withUnsafeBytes { CellPicture(form, $0) })
    }

    @Test func pictureAndTextAreWrittenAndReplacedAsAWhole() throws {
        let link = HostLink(post: { _ in true }, log: { _, _ in })
        let files = PictureFiles(picture: folder + "/a.png", text: folder + "/a.txt", link: link, postArgument: 1)
        try files.start()
        files.write(.cells(try cells("first")))
        files.write(.cells(try cells("last ")))
        while !files.isIdle { usleep(1000) }
        #expect(files.stop())
        #expect(files.takeProblem() == nil)
        #expect(contents(folder + "/a.txt") == Array("last\n".utf8))
        #expect(contents(folder + "/a.png") == (try cells("last ")).raster.png)
        #expect(contents(folder + "/a.png.part") == nil)
    }

    @Test func aFileThatCannotBeWrittenIsNamed() throws {
        let link = HostLink(post: { _ in true }, log: { _, _ in })
        let files = PictureFiles(picture: folder + "/none/a.png", text: nil, link: link, postArgument: 1)
        try files.start()
        files.write(.dark)
        while !files.isIdle { usleep(1000) }
        #expect(files.takeProblem()?.contains("/none/a.png' cannot be written") == true)
        #expect(files.stop())
    }
}
