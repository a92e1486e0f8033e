import CBackplane
import Core

/// A topic of `info`.
struct InfoTopic: Sendable {
    var name: String
    var help: String
    var run: @Sendable (MonitorCall) throws -> String

    static let all: [InfoTopic] = [
        InfoTopic(name: "status", help: "whether the guest runs") { call in
            let machine = try call.machine()
            let status = machine.runStatus
            let name = machine.description.name
            var text = "VM status: \(status.rawValue)\nmachine: \(name), engine \(machine.engineName ?? "none")\n"
            for debt in machine.debtSummaries { text += "'\(debt.instance)' \(debt.text)\n" }
            guard let place = Guests.summary(of: machine), !place.mayRun else { return text }
            return text + "it stands still until " + (place.mode == .turn ? "its turn" : "it comes to the foreground")
                + "\n"
        },
        InfoTopic(name: "version", help: "of this program") { call in "backplane \(call.monitor.plane.version)\n" },
        InfoTopic(name: "machines", help: "the machines of this process") { call in
            table(
                ["", "number", "machine", "status", "engine", "memory", "runs", "now"],
                call.monitor.plane.machines.map { machine in
                    let place = Guests.summary(of: machine)
                    return [
                        place?.isForeground == true ? "*" : "", "\(machine.seat.index + 1)", machine.description.name,
                        machine.runStatus.rawValue, machine.engineName ?? "none",
                        Value.size(machine.description.memory).text, place.map(Guests.schedule) ?? "",
                        place.map { $0.hasEnded ? "" : $0.mayRun ? "may run" : "stands still" } ?? "",
                    ]
                })
        },
        InfoTopic(name: "registers", help: "of the CPU") { call in
            registers(try call.machine().registers(vcpu: call.monitor.vcpu))
        },
        InfoTopic(name: "pic", help: "the interrupt controller: its inputs, and its output") { call in
            let machine = try call.machine()
            guard let controller = machine.description.interrupts else {
                return "the machine has no interrupt controller\n"
            }
            let lines = machine.lineSummaries().filter { $0.endpoint.instance == controller.instance }
            let rows = lines.map { ["\($0.endpoint.index)", $0.level ? "1" : "0", $0.drivers.joined(separator: ", ")] }
            let pin = machine.interruptPin(call.monitor.vcpu) ? 1 : 0
            let methods = machine.instanceSummaries().first { $0.description.id == controller.instance }?.description
                .type.methods
            var state = ""
            if methods?.contains(where: { $0.name == "state" && $0.parameters.isEmpty }) == true {
                state = try machine.invoke("state", [], on: controller.instance).text
            }
            return "\(controller.instance): INTR \(pin)\n" + state + table(["input", "level", "driven by"], rows)
        },
        InfoTopic(name: "irq", help: "interrupt lines, who drives them, and their levels") { call in
            table(
                ["line", "level", "driven by"],
                try call.machine().lineSummaries().map {
                    [Answers.text($0.endpoint), $0.level ? "1" : "0", $0.drivers.joined(separator: ", ")]
                })
        },
        InfoTopic(name: "clock", help: "the virtual clock, and how long changes have held the guest up") { call in
            let machine = try call.machine()
            let pauses = machine.pauseTimes
            var text =
                "virtual time: \(seconds(machine.virtualTime)), mode \(machine.description.clock.mode.rawValue)\n"
            text += "changes: \(pauses.count), median \(micro(pauses.percentile(50))), "
            text += "99th percentile \(micro(pauses.percentile(99))), longest \(micro(pauses.longest))\n"
            return text + "resets: \(machine.resetCount)\n"
        },
        InfoTopic(name: "plugins", help: "all instances, and the signatures of their methods") { call in
            let instances = try call.machine().instanceSummaries()
            let rows = instances.map {
                [
                    $0.description.id, $0.description.type.name, $0.description.type.kind.name,
                    $0.isOffline ? "off line: \($0.offlineReason)" : "on line",
                ]
            }
            let methods = instances.flatMap { instance in
                instance.description.type.methods.map { "  \(instance.description.id) \($0.signature) -- \($0.doc)\n" }
            }
            return table(["id", "class", "kind", "state"], rows)
                + (methods.isEmpty ? "" : "methods:\n" + methods.joined())
        },
        InfoTopic(name: "policies", help: "the chain, in order, with what each wants and its live properties") { call in
            try call.machine().instanceSummaries().filter { $0.place != nil }.map(policy).joined()
        },
        InfoTopic(name: "exits", help: "exits so far, as a 'stats' policy in the chain counts them") { call in
            let machine = try call.machine()
            let counter = machine.instanceSummaries().first { $0.place != nil && $0.description.type.name == "stats" }
            let seen = machine.policyExits.reduce(0, &+)
            let total = "exits that the policies' tables have numbered: \(seen)\n"
            guard let counter else { return total + "for more: policy insert stats\n" }
            return total + (try machine.invoke("report", [], on: counter.description.id).text)
        },
        InfoTopic(name: "wiring", help: "who is wired to whom") { call in
            let rows = try call.machine().instanceSummaries().flatMap { instance in
                instance.description.wires.map { wire in
                    let slot = instance.description.type.slots[wire.slot]
                    return [instance.description.id, slot.name, slot.interface, Answers.text(wire.target)]
                }
            }
            return table(["instance", "slot", "interface", "to"], rows)
        },
        InfoTopic(name: "display", help: "the text of the screen; with an instance, of that one's") { call in
            try Screens.text(try call.machine(), call.words.count > 1 ? call.words[1] : nil)
        },
        InfoTopic(name: "claims", help: "who answers which ports and addresses") { call in
            table(
                ["kind", "first", "last", "owner", "name"],
                try call.machine().claimSummaries().map {
                    [$0.kind.rawValue, hex($0.first), hex($0.last), $0.owner, $0.name]
                })
        },
        InfoTopic(name: "map", help: "guest-physical memory as it is now: who answers reads, who writes") { call in
            table(
                ["first", "last", "reads", "writes"],
                try call.machine().mapSummaries().map { part in
                    let (reads, writes) = (part.reads ?? "nobody", part.writes ?? "nobody")
                    return [hex(part.first), hex(part.last), reads, reads == writes ? "" : writes]
                })
        },
        InfoTopic(name: "translator", help: "what the software CPU has made host code of, and what not") { call in
            try TranslatorWords.summary(call)
        },
        InfoTopic(name: "pci", help: "the functions on PCI buses, and where the guest has put them") { call in
            try call.machine().pciFunctionSummaries().map(pciFunction).joined()
        },
    ]

    /// A machine's place among the guests, in words.
    enum Guests {
        static func summary(of machine: Machine) -> GuestSummary? {
            machine.seat.board.summaries.first { $0.number == machine.seat.index + 1 }
        }

        /// As the policy hotkey calls it.
        static func name(_ mode: RunMode) -> String {
            switch mode {
            case .always: "all"
            case .foreground: "foreground"
            case .turn: "round-robin"
            }
        }

        static func schedule(_ place: GuestSummary) -> String {
            name(place.mode) + (place.mode == .turn ? " " + Value.duration(place.quantum).text : "")
        }
    }

    // MARK: Texts

    /// PCI 3.0, 6.1: vendor and device at 0, class code at 8, base addresses from 0x10 on, interrupt line and pin at 0x3c.
    private static func pciFunction(_ function: PCIFunctionSummary) -> String {
        let place =
            "\(function.bus.instance) \(function.bus.index >> 3).\(function.bus.index & 7): \(function.instance)"
        guard let header = function.header, header.count == 16 else { return place + ", does not answer\n" }
        func digits(_ value: UInt32, _ count: Int) -> String { MemoryDump.hex(UInt64(value), digits: count) }
        var text =
            place
            + ", \(digits(header[0] & 0xffff, 4)):\(digits(header[0] >> 16, 4)), class \(digits(header[2] >> 8, 6))"
        text += ", command \(digits(header[1] & 0xffff, 4))\n"
        let isBridge = header[3] >> 16 & 0x7f == 1
        var position = 4
        while position < (isBridge ? 6 : 10) {
            let low = header[position]
            let isWide = low & 7 == 4 && position + 1 < 10
            if low & 1 != 0 {
                if low & ~3 != 0 { text += "   BAR \(position - 4): ports at \(hex(UInt64(low & ~3)))\n" }
            } else {
                let base = UInt64(low & ~15) | (isWide ? UInt64(header[position + 1]) << 32 : 0)
                if base != 0 { text += "   BAR \(position - 4): memory at \(hex(base))\n" }
            }
            position += isWide ? 2 : 1
        }
        let pin = header[15] >> 8 & 0xff
        if pin != 0, pin < 5 {
            text += "   INT\(["A", "B", "C", "D"][Int(pin) - 1])#, interrupt line \(header[15] & 0xff)\n"
        }
        return text
    }

    private static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
    private static func micro(_ nanoseconds: UInt64) -> String { "\((nanoseconds + 500) / 1000) us" }
    private static func seconds(_ nanoseconds: UInt64) -> String {
        "\(nanoseconds / 1_000_000_000)."
            + String(1_000_000_000 + nanoseconds % 1_000_000_000).dropFirst() + " s"
    }

    private static func policy(_ policy: InstanceSummary) -> String {
        var text = "\(policy.place ?? 0): \(policy.description.id) (\(policy.description.type.name))"
        text += policy.isOffline ? ", off line: \(policy.offlineReason)\n" : "\n"
        for want in policy.wants {
            let what = want.reason == 0xffff ? "all exits" : "reason \(want.reason)"
            let range = want.first == 0 && want.last == .max ? "" : " \(hex(want.first))-\(hex(want.last))"
            text +=
                "   wants \(what)\(range)" + (want.decides ? ", decides" : "") + (want.observes ? ", observes" : "")
                + "\n"
        }
        for (property, value) in zip(policy.description.type.properties, policy.values) where property.isLive {
            text += "   \(property.name): \(value?.text ?? "not set")\n"
        }
        return text
    }

    private static func registers(_ registers: bp_registers) -> String {
        let list = RegisterNames.list(registers)
        func cell(_ name: String) -> String {
            let value = list.first { $0.name == name }?.value ?? 0
            return name + String(repeating: " ", count: max(0, 6 - name.count)) + " "
                + MemoryDump.hex(value, digits: 16)
        }
        var text = ""
        let general = list.prefix(18).map(\.name)
        for first in stride(from: 0, to: general.count, by: 3) {
            text += general[first..<min(first + 3, general.count)].map(cell).joined(separator: "  ") + "\n"
        }
        for (name, segment) in RegisterNames.segments(registers) {
            text +=
                name + String(repeating: " ", count: 5 - name.count)
                + MemoryDump.hex(UInt64(segment.selector), digits: 4)
            text += " base " + MemoryDump.hex(segment.base, digits: 16)
            text += " limit " + MemoryDump.hex(UInt64(segment.limit), digits: 8)
            text += " attributes " + MemoryDump.hex(UInt64(segment.attributes), digits: 4) + "\n"
        }
        for name in ["gdtr", "idtr"] { text += cell(name + "-base") + "  " + cell(name + "-limit") + "\n" }
        text += ["cr0", "cr2", "cr3"].map(cell).joined(separator: "  ") + "\n"
        return text + ["cr4", "cr8", "efer"].map(cell).joined(separator: "  ") + "\n"
    }

    static func table(_ header: [String], _ rows: [[String]]) -> String {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell + String(repeating: " ", count: widths[column] - cell.count + 2)
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}
