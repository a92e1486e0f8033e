// `--share` and `--disk`: parts beside those of a machine file, as a machine file that extends it.

import ArgumentParser
import FoundationEssentials
import Glibc
import MachineFile

/// A folder that the guest may mount: DIR[:TAG][,ro].
struct ShareOption: ExpressibleByArgument {
    var folder: String
    /// nil: `share`, or `share-2` and so on.
    var tag: String?
    var isReadOnly = false

    init?(argument: String) {
        var text = argument[...]
        for (word, isReadOnly) in [(",ro", true), (",rw", false)] where text.hasSuffix(word) {
            text.removeLast(3)
            self.isReadOnly = isReadOnly
        }
        // A colon in a folder's name: "./a:b/" has a slash behind it.
        if let colon = text.lastIndex(of: ":"), !text[colon...].contains("/") {
            tag = String(text[text.index(after: colon)...])
            text = text[..<colon]
        }
        guard !text.isEmpty, tag?.isEmpty != true else { return nil }
        folder = String(text)
    }
}

struct Shorthands {
    var shares: [ShareOption]
    var disks: [String]
    var forwards: [String]

    var isEmpty: Bool { shares.isEmpty && disks.isEmpty }

    /// Functions of the PCI bus from here on are theirs; machine files of the house have theirs before.
    private static let (firstFunction, mostFunctions) = (16, 16)

    /// The machine file that they stand for.
    /// - Parameter image: in place of what the file's own parameter for it says.
    func text(extending file: String, image: DiskImage?) throws -> String {
        guard shares.count + disks.count <= Shorthands.mostFunctions else {
            throw ValidationError("--share and --disk: at most \(Shorthands.mostFunctions) together")
        }
        var parameters: [String] = []
        for parameter in image?.parameters ?? [] {
            parameters.append("  \(parameter.name): \(Shorthands.quoted(parameter.value))")
        }
        if !forwards.isEmpty { parameters.append("  forward: \(Shorthands.quoted(forwards.joined(separator: ",")))") }
        var (devices, backends): ([String], [String]) = ([], [])
        func slot(_ id: String) {
            let function = Shorthands.firstFunction + devices.count / 2
            devices.append("  - { id: \(id)-slot, plugin: virtio-pci, bus: pci.\(function) }")
        }
        for (index, share) in shares.enumerated() {
            let id = index == 0 ? "share" : "share-\(index + 1)"
            slot(id)
            let tag = share.tag.map { ", tag: \(Shorthands.quoted($0))" } ?? ""
            let path = Shorthands.quoted(Shorthands.absolute(share.folder))
            devices.append(
                "  - { id: \(id), plugin: virtio-9p, transport: \(id)-slot, path: \(path)\(tag)\(share.isReadOnly ? ", mode: read-only" : "") }"
            )
        }
        for (index, disk) in disks.enumerated() {
            let id = "disk-\(index + 2)"
            slot(id)
            devices.append("  - { id: \(id), plugin: virtio-blk, transport: \(id)-slot, block: \(id)-file }")
            let path = Shorthands.quoted(Shorthands.absolute(disk))
            let plugin = try DiskImage.isQcow2(disk) ? "nbd, image: \(path), format: qcow2" : "raw-file, path: \(path)"
            backends.append("  - { id: \(id)-file, plugin: \(plugin) }")
        }
        var lines = ["extends: \(Shorthands.quoted(Shorthands.absolute(file)))"]
        for (key, items) in [("parameters", parameters), ("devices", devices), ("backends", backends)]
        where !items.isEmpty { lines += [key + ":"] + items }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
    private static func quoted(_ text: String) -> String { JSON.quoted(text.replacing("$", with: "$$")) }
}

extension MachineFileArguments {
    /// The text of the machine file that the arguments and `shorthands` stand for.
    func printed(_ shorthands: Shorthands) throws -> String {
        guard !shorthands.isEmpty else { return try printed() }
        guard files.count == 1 else { throw ValidationError("--share and --disk take one machine file or image") }
        let image = try DiskImage(files[0])
        let file = try image.map(MachineFileArguments.path) ?? files[0]
        return try shorthands.text(extending: file, image: image)
    }

    /// Puts that file in place of the one that was named. It has no name, and goes with this process.
    mutating func apply(_ shorthands: Shorthands) throws {
        guard !shorthands.isEmpty else { return }
        let text = try printed(shorthands)
        guard let file = tmpfile(), fcntl(fileno(file), F_SETFD, FD_CLOEXEC) == 0,
            writeAll(fileno(file), text.utf8)
        else {
            complain("the machine file of --share and --disk cannot be written: \(String(cString: strerror(errno)))")
            throw ExitCode(6)
        }
        files = ["/proc/self/fd/\(fileno(file))"]
    }
}
