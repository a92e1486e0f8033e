import Foundation
import Testing

/// All tests of the command, one after the other: each starts processes.
@Suite(.serialized) enum Commands {}

/// The program under test and what belongs to it. `BACKPLANE_BINARY` names another one.
enum Program {
    /// Beside the tests' own executable.
    static let path =
        ProcessInfo.processInfo.environment["BACKPLANE_BINARY"]
        ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path + "/backplane"
    /// Its bundled plugins, as it finds them itself.
    static let directory = URL(fileURLWithPath: path).resolvingSymlinksInPath().deletingLastPathComponent().path
    static let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    static let tourMachine = root + "/machines/tour.yaml"
    static let tour = root + "/.build/guests/tour.elf"

    static let plugins = [
        "acpi", "ata", "browser", "budget", "capture", "cfi-flash", "cpuid", "debug-console", "debug-exit", "dma8237",
        "e1000", "elf", "fault-inject", "fdc82077", "file", "flat", "fw-cfg", "gsi", "guard", "hotkey", "hub",
        "i440fx", "i8042", "ioapic", "lapic", "lfsr", "linux", "memory-watch", "mptable", "multiboot", "nbd",
        "nocloud", "null", "overlay", "paravirt", "pci-bridge", "pic8259", "picture", "piix-ide", "piix3", "piix4-pm",
        "pit8254", "pty", "ram-disk", "raw-file", "reset-control", "rom", "rtc146818", "screen", "smbios", "socket",
        "standard", "stats", "strict", "tap", "terminal", "trace", "uart16550", "user", "vga", "virtio-9p",
        "virtio-balloon", "virtio-blk", "virtio-console", "virtio-entropy", "virtio-input", "virtio-mmio",
        "virtio-net", "virtio-pci", "vnc", "watchpoint",
    ]
}

/// What this host has. What is missing is said once, and the tests that need it skip.
enum Host {
    static let hasKVM = has("/dev/kvm", "a machine cannot run") { access("/dev/kvm", R_OK | W_OK) == 0 }
    static let hasTour = hasKVM && has(Program.tour, "`make guests` builds it") { access(Program.tour, R_OK) == 0 }
    static let compiler = ["cc", "clang", "gcc"].lazy.compactMap(inPath).first
    static let hasCompiler = has("a C compiler", "plugins cannot be made") { compiler != nil }
    static let canRunPlugins = hasKVM && hasCompiler
    static let isRoot = has("root", "no file system can be mounted") { geteuid() == 0 }

    static let qemuImg = inPath("qemu-img")
    static let hasQEMUTools = has("qemu-nbd and qemu-img (Debian's package qemu-utils)", "no image is opened") {
        qemuImg != nil && inPath("qemu-nbd") != nil
    }

    private static func has(_ what: String, _ consequence: String, _ test: () -> Bool) -> Bool {
        let result = test()
        if !result { print("some command line tests are skipped: no \(what): \(consequence)") }
        return result
    }

    private static func inPath(_ name: String) -> String? {
        let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return directories.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}

/// A temporary directory, removed with its owner.
final class Folder: Sendable {
    let path: String

    init() {
        path =
            URL(fileURLWithPath: NSTemporaryDirectory()).resolvingSymlinksInPath().path + "/bp-cli-\(UUID().uuidString)"
        mkdir(path, 0o755)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
        let file = "\(path)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    @discardableResult func write(_ name: String, _ text: String) throws -> String { try write(name, text.utf8) }

    func makeDirectory(_ name: String) -> String {
        mkdir("\(path)/\(name)", 0o755)
        return "\(path)/\(name)"
    }

    /// A machine of 1 MiB that boots a flat image, on KVM.
    func machine(
        _ image: [UInt8], mode: String = "real", top: String = "", rules: String = "", devices: [String] = [],
        backends: [String] = []
    ) throws -> String {
        try write("guest.img", image)
        func list(_ items: [String]) -> String { items.map { "  - \($0)\n" }.joined() }
        return try write(
            "machine.yaml",
            """
            machine: small
            cpu: { engine: kvm }
            memory: 1MiB
            boot: { plugin: flat, image: guest.img, mode: \(mode) }
            \(top)
            policies:
              - { id: rules, plugin: standard\(rules.isEmpty ? "" : ", " + rules) }
            devices:
              - { id: exit, plugin: debug-exit }
            \(list(devices))backends:
            \(list(backends))
            """)
    }

    /// A machine with COM1 at the terminal, whose guest says ">".
    func echo(
        _ image: [UInt8] = Guest.key(to: 0x501), top: String = "", rules: String = "", devices: [String] = []
    ) throws -> String {
        try machine(
            image, top: top, rules: rules, devices: ["{ id: com1, plugin: uart16550, stream: term }"] + devices,
            backends: ["{ id: term, plugin: terminal }"])
    }
}

/// Guests, assembled by hand. In real mode they start at 0x7c00, in protected mode too.
enum Guest {
    /// cli; hlt
    static let powerOff: [UInt8] = [0xfa, 0xf4]
    /// mov al,5; mov dx,0x501; out dx,al; hlt
    static let exit5: [UInt8] = [0xb0, 0x05, 0xba, 0x01, 0x05, 0xee, 0xf4]
    /// mov al,5; mov ecx,0x1234; rdmsr; mov dx,0x501; out dx,al; hlt. No CPU has the MSR 0x1234.
    static let unknownMSR: [UInt8] = [
        0xb0, 0x05, 0x66, 0xb9, 0x34, 0x12, 0x00, 0x00, 0x0f, 0x32, 0xba, 0x01, 0x05, 0xee, 0xf4,
    ]
    /// out 0x80,al; cli; hlt
    static let port80: [UInt8] = [0xe6, 0x80, 0xfa, 0xf4]
    /// 32-bit: lidt [0x7c10]; ud2; and at 0x7c10 an empty table's descriptor.
    static let tripleFault: [UInt8] =
        [0x0f, 0x01, 0x1d, 0x10, 0x7c, 0x00, 0x00, 0x0f, 0x0b] + [UInt8](repeating: 0x90, count: 7)
        + [UInt8](repeating: 0, count: 8)
    /// Says ">" on COM1, with characters of eight bits.
    private static let hello: [UInt8] = [
        0xb0, 0x03, 0xba, 0xfb, 0x03, 0xee,  // mov al,3; mov dx,0x3fb; out dx,al
        0xb0, 0x3e, 0xba, 0xf8, 0x03, 0xee,  // mov al,'>'; mov dx,0x3f8; out dx,al
    ]
    /// Says ">" and goes on for ever: jmp $
    static let spin = hello + [0xeb, 0xfe]
    /// mov al,7; mov dx,0x300; out dx,al; in al,dx; mov dx,0x501; out dx,al; hlt: its status tells what it read.
    static let trap: [UInt8] = [0xb0, 0x07, 0xba, 0x00, 0x03, 0xee, 0xec, 0xba, 0x01, 0x05, 0xee, 0xf4]

    /// Says ">", waits for a byte on COM1 and writes it to a port.
    static func key(to port: UInt16) -> [UInt8] {
        hello + [
            0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb,  // mov dx,0x3fd; in al,dx; test al,1; jz back to in
            0xba, 0xf8, 0x03, 0xec,  // mov dx,0x3f8; in al,dx
            0xba, UInt8(port & 0xff), UInt8(port >> 8), 0xee,  // mov dx,port; out dx,al
            0xfa, 0xf4,  // cli; hlt
        ]
    }
}
