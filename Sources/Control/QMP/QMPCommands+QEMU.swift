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
        QMPCommand(
            "send-key", ["keys", "hold-time?", "device?", "machine?"],
            doc:
                "presses keys together; they are released in the opposite order after hold-time, in ms of the guest's time"
        ) { call in
            guard let items = call.arguments["keys"]?.items else { throw call.wrong("keys", "an array") }
            var codes: [UInt32] = []
            for item in items { codes.append(try key(item, call)) }
            let hold = try call.optionalUnsigned("hold-time") ?? KeyHold.usual
            try call.machine.press(
                keys: codes, hold: try KeyHold.nanoseconds(hold), on: try call.optionalText("device"))
            return .empty
        },
        QMPCommand(
            "screendump", ["filename", "device?", "format?", "machine?"], doc: "the screen into a file: png, or ppm"
        ) { call in
            let name = try call.optionalText("format") ?? "png"
            guard let format = Screens.Format(rawValue: name) else {
                throw CommandError("Parameter 'format' is png or ppm, not '\(name)'")
            }
            let picture = try Screens.dump(try call.machine, try call.optionalText("device"), format)
            try HostFile.save(picture, try call.text("filename"))
            return .empty
        },
        QMPCommand(
            "block_resize", ["device", "size", "machine?"],
            doc: "makes a disk larger while the guest runs: method resize of a backend"
        ) { call in
            _ = try call.machine.invoke("resize", ["\(try call.unsigned("size"))"], on: try call.text("device"))
            return .empty
        },
        QMPCommand("balloon", ["value", "machine?"], doc: "how many bytes of its memory the guest is to keep") { call in
            let machine = try call.machine
            let wanted = try call.unsigned("value")
            let size = machine.description.memory &- min(wanted, machine.description.memory)
            _ = try machine.invoke("inflate", ["\(size)"], on: try balloon(of: machine))
            return .empty
        },
        QMPCommand("query-balloon", ["machine?"], doc: "how many bytes of its memory the guest has") { call in
            let machine = try call.machine
            let result = try machine.invoke("inflated", [], on: try balloon(of: machine))
            guard case .unsigned(let inflated) = result else { throw CommandError("the balloon gives no number") }
            let memory = machine.description.memory
            return .members(("actual", .unsigned(memory - min(inflated, memory))))
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
            try HostFile.save(bytes, try call.text("filename"))
            return .empty
        },
        QMPCommand("pmemsave", ["val", "size", "filename", "machine?"], doc: "guest-physical memory into a file") {
            call in
            let count = Int(clamping: try call.unsigned("size"))
            try HostFile.save(
                try call.machine.readMemory(physical: try call.unsigned("val"), count: count), try call.text("filename")
            )
            return .empty
        },
    ]

    /// The first instance with the methods of one.
    private static func balloon(of machine: Machine) throws(CommandError) -> String {
        let found = machine.instanceSummaries().first { instance in
            let names = instance.description.type.methods.map(\.name)
            return names.contains("inflate") && names.contains("inflated")
        }
        guard let found else { throw CommandError("No balloon device has been activated") }
        return found.description.id
    }

    /// `{"type": "qcode", "data": "ctrl"}`, or a number in place of the name.
    private static func key(_ value: JSONValue, _ call: QMPCall) throws(CommandError) -> UInt32 {
        switch (value["type"]?.text, value["data"]) {
        case ("qcode", let name?): return try KeyNames.code(name.text ?? "")
        case ("number", let number?):
            guard let scan = number.unsignedValue else { throw call.wrong("keys", "numbers from 1") }
            return try KeyNames.code(scan: scan)
        default: throw call.wrong("keys", "objects of type qcode or number, with their data")
        }
    }
}
