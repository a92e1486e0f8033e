// `backplane run disk.img`: an image in place of a machine file stands for a PC that boots from it: that of machines/pc.yaml with this disk, or the
// one of a file beside it with this disc, floppy or qcow2 image.

import ArgumentParser
import FoundationEssentials
import Glibc
import MachineFile

/// An image of a medium that a PC boots from.
struct DiskImage {
    /// What the image is; each has a machine file of its own, with a parameter for it.
    enum Kind {
        case disk, disc, qcow2
        /// For a drive of this kind, as rtc146818's property `floppies` names it.
        case floppy(drive: String)
    }

    let path: String
    let kind: Kind

    /// nil: it is none.
    init?(_ path: String) throws {
        guard let kind = try DiskImage.kind(path) else { return nil }
        self.kind = kind
        self.path = URL(fileURLWithPath: path).standardizedFileURL.path
    }

    /// A disc has a volume descriptor in its block 16 (ECMA-119, 8.1), and may well begin as a disk does, for those who write it to one. A
    /// disk begins with a sector that ends in 55H AAH (the BIOS Boot Specification's signature), which no text does. A floppy is known by its
    /// size; some of DOS 1 have no signature, and none is text.
    private static func kind(_ path: String) throws -> Kind? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        if try isQcow2(path, descriptor) { return .qcow2 }
        if read(descriptor, at: 0x8001, count: 5).elementsEqual("CD001".utf8) { return .disc }
        let isBoot = read(descriptor, at: 510, count: 2) == [0x55, 0xaa]
        var status = stat()
        if fstat(descriptor, &status) == 0, let drive = floppyDrives[Int(status.st_size)],
            isBoot || read(descriptor, at: 0, count: 512).contains(0)
        {
            return .floppy(drive: drive)
        }
        return isBoot ? .disk : nil
    }

    /// By the size of the image in bytes.
    private static let floppyDrives = [
        163_840: "360K", 184_320: "360K", 327_680: "360K", 368_640: "360K", 737_280: "720K", 1_228_800: "1.2M",
        1_474_560: "1.44M", 2_949_120: "2.88M",
    ]

    /// Whether the file is called .qcow2 and is one. One of both alone is an error: a guest can write that format's header to a raw disk, and would
    /// have the files that it names opened when the disk is next run.
    static func isQcow2(_ path: String) throws -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return try isQcow2(path, descriptor)
    }

    private static func isQcow2(_ path: String, _ descriptor: Int32) throws -> Bool {
        let isCalledSo = path.lowercased().hasSuffix(".qcow2")
        let isOne = read(descriptor, at: 0, count: 4) == [0x51, 0x46, 0x49, 0xfb]
        if isOne, !isCalledSo {
            throw ValidationError(
                "\(path) has the header of a qcow2 image, which a guest may have written to a raw one: name it .qcow2 if it is one; else a machine file can say raw-file"
            )
        }
        if isCalledSo, !isOne {
            throw ValidationError("\(path) is no qcow2 image, as its name says: its header is another")
        }
        return isOne
    }

    private static func read(_ descriptor: Int32, at offset: off_t, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        return pread(descriptor, &bytes, count, offset) == count ? bytes : []
    }

    /// The machine file that it stands for.
    var file: String {
        switch kind {
        case .disk: "pc.yaml"
        case .disc: "pc-cdrom.yaml"
        case .floppy: "pc-floppy.yaml"
        case .qcow2: "pc-qcow2.yaml"
        }
    }

    /// That file's parameters for the image.
    var parameters: [(name: String, value: String)] {
        switch kind {
        case .disk: [("disk", path)]
        case .disc: [("iso", path)]
        case .floppy(let drive): [("floppy", path), ("drive", drive)]
        case .qcow2: [("image", path)]
        }
    }

    var noun: String {
        switch kind {
        case .disk: "a disk image"
        case .disc: "an image of a disc"
        case .floppy: "an image of a floppy"
        case .qcow2: "a qcow2 image"
        }
    }
}

extension MachineFileArguments {
    /// Images are replaced by the PC that they stand for, which is said.
    mutating func replaceImages(silently: Bool = false) throws {
        guard let image = try files.lazy.compactMap({ try DiskImage($0) }).first else { return }
        guard files.count == 1 else {
            throw ValidationError("\(image.path) is \(image.noun): it is run alone, or by a machine file that names it")
        }
        let file = try MachineFileArguments.path(of: image)
        if !silently {
            complain(
                "\(files[0]) is \(image.noun): it runs on \(file) (--print shows the machine file that this stands for)"
            )
        }
        files = [file]
        settings.insert(contentsOf: image.parameters.map { $0.name + "=" + $0.value }, at: 0)
    }

    /// In the installed tree, or in the checkout that the program was built in.
    static func path(of image: DiskImage) throws -> String {
        let here = PluginFinder.executableDirectory
        let up = (1...5).map { here + "/" + String(repeating: "../", count: $0) + "machines" }
        for folder in [here + "/../share/backplane/machines"] + up {
            let path = URL(fileURLWithPath: folder + "/" + image.file).standardizedFileURL.path
            if access(path, R_OK) == 0 { return path }
        }
        complain("there is no \(image.file), on which \(image.noun) runs: neither installed nor beside \(here)")
        throw ExitCode(2)
    }

    /// The text of the machine file that the arguments stand for: of an image the PC with it named.
    func printed() throws -> String {
        guard files.count == 1 else { throw ValidationError("--print takes one machine file or image") }
        guard let image = try DiskImage(files[0]) else { return try MachineFileArguments.text(of: files[0]) }
        let file = try MachineFileArguments.path(of: image)
        let text = try MachineFileArguments.text(of: file)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            if let parameter = image.parameters.first(where: { line.hasPrefix("  \($0.name): {") }) {
                let value = "default: " + JSON.quoted(parameter.value)
                return line.replacing(/default: [^,}]*[^,} ]/, with: value, maxReplacements: 1)
            }
            guard line.hasPrefix("extends: ") else { return line[...] }
            // It will be read elsewhere.
            let base = URL(fileURLWithPath: file).deletingLastPathComponent().path
            return "extends: " + JSON.quoted(base + "/" + line.dropFirst("extends: ".count))
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
