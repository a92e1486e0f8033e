import Core
import Glibc
import KernelImages
import PluginBench
import Testing

/// A plugin of the house, as it lies beside the tests' executable.
struct BundledPlugin: Sendable, CustomTestStringConvertible {
    var name: String
    /// Texts; `FILE:n` stands for a temporary file of n bytes, `PATH` for a name in a temporary directory, `DIRECTORY` for that.
    var properties: [String: String] = [:]
    /// A program that it starts; "tap": that tap devices can be made.
    var needs: String?

    var testDescription: String { name }

    static let all = [
        // Devices.
        BundledPlugin(name: "acpi"), BundledPlugin(name: "ata"),
        BundledPlugin(name: "ata", properties: ["slave-drive": "cdrom"]), BundledPlugin(name: "debug-console"),
        BundledPlugin(name: "debug-exit"), BundledPlugin(name: "dma8237"), BundledPlugin(name: "e1000"),
        BundledPlugin(name: "fdc82077"), BundledPlugin(name: "fdc82077", properties: ["mode": "ps2"]),
        BundledPlugin(name: "fw-cfg"), BundledPlugin(name: "gsi"), BundledPlugin(name: "i440fx"),
        BundledPlugin(name: "i8042"),
        BundledPlugin(name: "ioapic"), BundledPlugin(name: "lapic"), BundledPlugin(name: "lfsr"),
        BundledPlugin(name: "mptable"), BundledPlugin(name: "pci-bridge"),
        BundledPlugin(name: "pic8259"), BundledPlugin(name: "piix-ide"), BundledPlugin(name: "piix3"),
        BundledPlugin(name: "piix4-pm"), BundledPlugin(name: "pit8254"), BundledPlugin(name: "reset-control"),
        BundledPlugin(name: "cfi-flash", properties: ["image": "FILE:65536", "at": "0xffe00000"]),
        BundledPlugin(name: "rom", properties: ["image": "FILE:8192", "at": "0xe0000"]),
        BundledPlugin(name: "rom", properties: ["image": "FILE:8192", "at": "0x100000", "writable": "on"]),
        BundledPlugin(name: "rtc146818"), BundledPlugin(name: "smbios"), BundledPlugin(name: "uart16550"),
        // Memory is copied at each save.
        BundledPlugin(name: "vga", properties: ["memory": "256KiB"]),
        BundledPlugin(name: "virtio-9p", properties: ["path": "DIRECTORY"]),
        BundledPlugin(name: "virtio-balloon"), BundledPlugin(name: "virtio-blk"), BundledPlugin(name: "virtio-console"),
        BundledPlugin(name: "virtio-entropy"), BundledPlugin(name: "virtio-net"),
        BundledPlugin(name: "virtio-net", properties: ["mtu": "1000"]),
        BundledPlugin(name: "virtio-input"), BundledPlugin(name: "virtio-input", properties: ["kind": "keyboard"]),
        BundledPlugin(name: "virtio-input", properties: ["kind": "mouse"]),
        BundledPlugin(name: "virtio-mmio", properties: ["at": "0xd0000000"]), BundledPlugin(name: "virtio-pci"),
        // Loaders.
        BundledPlugin(name: "elf", properties: ["kernel": "ELF"]),
        BundledPlugin(name: "elf", properties: ["kernel": "ELF", "entry": "linux", "modules": "FILE:4097"]),
        BundledPlugin(name: "flat", properties: ["image": "FILE:512"]),
        BundledPlugin(name: "linux", properties: ["kernel": "BZIMAGE", "initrd": "FILE:4097"]),
        BundledPlugin(name: "linux", properties: ["kernel": "BZIMAGE", "unpack": "guest"]),
        BundledPlugin(name: "multiboot", properties: ["kernel": "KERNEL"]),
        // Policies.
        BundledPlugin(name: "budget"), BundledPlugin(name: "cpuid"),
        BundledPlugin(name: "fault-inject", properties: ["exits": "io"]), BundledPlugin(name: "guard"),
        BundledPlugin(name: "hotkey"),
        BundledPlugin(name: "memory-watch", properties: ["ranges": "0x1000-0x1fff", "at-end": "off"]),
        BundledPlugin(name: "paravirt"), BundledPlugin(name: "standard"),
        BundledPlugin(name: "stats", properties: ["at-end": "off"]), BundledPlugin(name: "strict"),
        BundledPlugin(name: "trace", properties: ["file": "PATH"]), BundledPlugin(name: "watchpoint"),
        // Backends.
        BundledPlugin(name: "browser", properties: ["port": "0", "files": "DIRECTORY"]),
        BundledPlugin(name: "capture", properties: ["path": "PATH"]),
        BundledPlugin(name: "file", properties: ["path": "PATH"]), BundledPlugin(name: "hub"),
        BundledPlugin(name: "nbd", properties: ["image": "FILE:1048576", "format": "raw"], needs: "qemu-nbd"),
        BundledPlugin(name: "nocloud", properties: ["user-data": "#cloud-config"]),
        BundledPlugin(name: "nocloud", properties: ["user-data-file": "FILE:5000", "hostname": "guest"]),
        BundledPlugin(name: "null"),
        BundledPlugin(name: "overlay", properties: ["path": "PATH"]),
        BundledPlugin(name: "picture", properties: ["path": "PATH"]), BundledPlugin(name: "pty"),
        BundledPlugin(name: "ram-disk", properties: ["size": "1MiB"]),
        BundledPlugin(name: "raw-file", properties: ["path": "FILE:1048576"]),
        BundledPlugin(name: "raw-file", properties: ["path": "FILE:1048576", "mode": "read-only"]),
        BundledPlugin(name: "screen"),
        BundledPlugin(name: "socket", properties: ["port": "0"]), BundledPlugin(name: "terminal"),
        BundledPlugin(name: "tap", properties: ["name": "bp-bench"], needs: "tap"),
        BundledPlugin(name: "user"), BundledPlugin(name: "vnc", properties: ["listen": "127.0.0.1:0"]),
    ]

    /// The directory of the running executable.
    static let directory: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }()

    var path: String { BundledPlugin.directory + "/lib\(name).so" }
    var isBuilt: Bool { access(path, R_OK) == 0 }
    var isUsable: Bool {
        guard let needs else { return true }
        if needs == "tap" { return geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 }
        let folders = (BundledPlugin.setting("PATH") ?? "").split(separator: ":")
        return folders.contains { access("\($0)/\(needs)", X_OK) == 0 }
    }

    static func setting(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

/// A directory that goes with its files.
final class TemporaryFiles {
    private let directory: String
    private var count = 0

    init() {
        var template = Array("/tmp/backplane-bench-XXXXXX".utf8CString)
        directory = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
    }

    deinit {
        for number in 1...max(1, count) { unlink("\(directory)/\(number)") }
        rmdir(directory)
    }

    func resolve(_ text: String) -> String {
        if text.hasPrefix("FILE:") {
            return make((0..<(Int(text.dropFirst(5)) ?? 0)).map { UInt8(truncatingIfNeeded: $0 * 5) })
        }
        if text == "PATH" { return make([]) }
        if text == "DIRECTORY" { return directory }
        if text == "KERNEL" { return make(TemporaryFiles.kernel) }
        // At 2 MiB: the bench has little RAM.
        if text == "ELF" { return make(KernelELF([0xF4], physical: 0x20_0000, pvhEntry: 0x20_0000).bytes) }
        if text == "BZIMAGE" {
            let payload = Pack.payload(KernelELF([0xF4], physical: 0x20_0000).bytes) { Pack.xz($0) }
            return make(BzImageFile(payload: payload, preferred: 0x20_0000, initSize: 0x1_0000).bytes)
        }
        return text
    }

    private func make(_ bytes: [UInt8]) -> String {
        count += 1
        let path = "\(directory)/\(count)"
        guard let file = fopen(path, "w") else { return path }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
        return path
    }

    /// A multiboot image with addresses in its header (Multiboot specification 0.6.96, section 3.1): a HLT at 1 MiB.
    private static var kernel: [UInt8] {
        let flags: UInt32 = 0x1_0000
        let magic: UInt32 = 0x1bad_b002
        let start: UInt32 = 0x10_0000
        let words = [magic, flags, 0 &- magic &- flags, start, start, start + 36, start + 36, start + 32, 0xf4]
        return words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32($0 * 8)) } }
    }
}

/// Of a directory; nil: it cannot be read.
func fileNames(in path: String) -> [String]? {
    guard let directory = opendir(path) else { return nil }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        names.append(
            withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }
    return names
}

func contents(of path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = fgetc(file), byte >= 0 { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    return String(decoding: bytes, as: UTF8.self)
}
