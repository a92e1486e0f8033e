import Core
import Glibc

/// Commands under QEMU's names, with QEMU's arguments and answers.
extension QMPCommand {
    static let qemu: [QMPCommand] = [
        QMPCommand("query-version", doc: "the version of this program") { call in
            QMPSession.versionValue(call.plane.version)
        },
        QMPCommand("query-commands", doc: "the names of all commands") { _ in
            let names = (all.map(\.name) + ["qmp_capabilities"]).sorted()
            return .array(names.map { .members(("name", .string($0))) })
        },
        QMPCommand("query-name", ["machine?"], doc: "the machine's name") { call in
            .members(("name", .string(try call.machine.description.name)))
        },
        QMPCommand("query-status", ["machine?"], doc: "whether the guest runs") { call in
            let status = try call.machine.runStatus
            return .members(("running", .bool(status == .running)), ("status", .string(status.rawValue)))
        },
        QMPCommand("query-kvm", ["machine?"], doc: "whether KVM runs the CPU") { call in
            .members(
                ("enabled", .bool(try call.machine.engineName == "kvm")),
                ("present", .bool(access("/dev/kvm", F_OK) == 0)))
        },
        QMPCommand("query-chardev", ["machine?"], doc: "who provides the byte streams") { call in
            let backends = try call.machine.instanceSummaries().filter { instance in
                instance.description.type.provided.contains { $0.interface == "stream/1" }
            }
            return .array(
                backends.map { backend in
                    .members(
                        ("label", .string(backend.description.id)),
                        ("filename", .string(backend.description.type.name)),
                        ("frontend-open", .bool(!backend.isOffline)))
                })
        },
        QMPCommand("stop", ["machine?"], doc: "the guest and its clock stand still") { call in
            let machine = try call.machine
            machine.setStopped(true)
            if !machine.atQuietPoint({}), machine.runStatus != .shutdown { throw CommandError.notAtRest }
            return .empty
        },
        QMPCommand("cont", ["machine?"], doc: "the guest goes on") { call in
            try call.machine.setStopped(false)
            return .empty
        },
        QMPCommand("system_reset", ["machine?"], doc: "RESET, as the button does") { call in
            try call.machine.reset()
            return .empty
        },
        QMPCommand("system_powerdown", ["machine?"], doc: "asks the guest to power off") { call in
            try call.machine.powerButton()
            return .empty
        },
        QMPCommand("quit", doc: "ends all machines at once") { call in
            call.plane.quit()
            return .empty
        },
        QMPCommand(
            "human-monitor-command", ["command-line", "cpu-index?", "machine?"], doc: "runs a command of the monitor"
        ) { call in
            let vcpu = try call.optionalUnsigned("cpu-index") ?? 0
            let monitor = Monitor(
                plane: call.plane, vcpu: Int(clamping: vcpu), choice: MachineChoice(try call.optionalText("machine")))
            let answer: String
            do throws(CommandError) {
                answer = try monitor.run(try call.text("command-line"))
            } catch {
                answer = "Error: \(error.text)\n"
            }
            return .string(answer.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n"))
        },
        QMPCommand(
            "memsave", ["val", "size", "filename", "cpu-index?", "machine?"],
            doc: "guest memory by linear address into a file"
        ) {
            call in
            let count = Int(clamping: try call.unsigned("size"))
            let vcpu = Int(clamping: try call.optionalUnsigned("cpu-index") ?? 0)
            let bytes = try call.machine.readMemory(linear: try call.unsigned("val"), count: count, vcpu: vcpu)
            try save(bytes, try call.text("filename"))
            return .empty
        },
        QMPCommand("pmemsave", ["val", "size", "filename", "machine?"], doc: "guest-physical memory into a file") {
            call in
            let count = Int(clamping: try call.unsigned("size"))
            try save(
                try call.machine.readMemory(physical: try call.unsigned("val"), count: count), try call.text("filename")
            )
            return .empty
        },
    ]

    private static func save(_ bytes: [UInt8], _ path: String) throws(CommandError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw CommandError("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw CommandError("\(path): \(String(cString: strerror(errno)))") }
            done += count
        }
    }
}
