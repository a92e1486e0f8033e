// `backplane run disk.img`: an image in place of a machine file stands for the PC of machines/pc.yaml with this disk.

import ArgumentParser
import FoundationEssentials
import Glibc
import MachineFile

/// An image of a disk that a PC boots from.
struct DiskImage {
    let path: String

    /// nil: it is none. One begins with a sector that ends in 55H AAH (the BIOS Boot Specification's signature), which no text does.
    init?(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var sector = [UInt8](repeating: 0, count: 512)
        guard pread(descriptor, &sector, 512, 0) == 512, sector[510] == 0x55, sector[511] == 0xaa else { return nil }
        self.path = URL(fileURLWithPath: path).standardizedFileURL.path
    }
}

extension MachineFileArguments {
    /// The machine file that images stand for.
    static let pcFile = "pc.yaml"

    /// Images are replaced by the PC that they stand for, which is said.
    mutating func replaceImages() throws {
        guard let image = files.lazy.compactMap(DiskImage.init).first else { return }
        guard files.count == 1 else {
            throw ValidationError("\(image.path) is a disk image: it is run alone, or by a machine file that names it")
        }
        let file = try MachineFileArguments.pcPath()
        complain(
            "\(files[0]) is a disk image: it runs on \(file) (--print shows the machine file that this stands for)")
        files = [file]
        settings.insert("disk=" + image.path, at: 0)
    }

    /// In the installed tree, or in the checkout that the program was built in.
    static func pcPath() throws -> String {
        let here = PluginFinder.executableDirectory
        let up = (1...5).map { here + "/" + String(repeating: "../", count: $0) + "machines" }
        for folder in [here + "/../share/backplane/machines"] + up {
            let path = URL(fileURLWithPath: folder + "/" + pcFile).standardizedFileURL.path
            if access(path, R_OK) == 0 { return path }
        }
        complain("there is no \(pcFile), which disk images run on: neither installed nor beside \(here)")
        throw ExitCode(2)
    }

    /// The text of the machine file that the arguments stand for: of an image the PC with its disk named.
    func printed() throws -> String {
        guard files.count == 1 else { throw ValidationError("--print takes one machine file or disk image") }
        guard let image = DiskImage(files[0]) else { return try MachineFileArguments.text(of: files[0]) }
        let file = try MachineFileArguments.pcPath()
        let text = try MachineFileArguments.text(of: file)
        let name = "default: " + JSON.quoted(image.path)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("  disk: {")
                ? line.replacing(/default: [^,}]*[^,} ]/, with: name, maxReplacements: 1) : line[...]
        }
        return lines.joined(separator: "\n")
    }

    private static func text(of path: String) throws -> String {
        do {
            return try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
        } catch {
            complain("\(path) cannot be read")
            throw ExitCode(2)
        }
    }
}
