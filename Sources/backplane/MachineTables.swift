import Core

/// The tables of `show`.
struct MachineTables {
    let survey: MachineSurvey

    init(_ survey: MachineSurvey) { self.survey = survey }

    var text: String {
        [summary, instances, ports, memory, registers, lines, wiring].filter { !$0.isEmpty }.joined(separator: "\n")
    }

    private var summary: String {
        let machine = survey.description
        let controller = machine.interrupts.map(\.instance) ?? "none"
        return "machine \(machine.name): engine \(machine.engine.rawValue), \(Value.size(machine.memory).text) of RAM, "
            + "interrupts \(controller), clock \(machine.clock.mode.rawValue)\n"
    }

    private var instances: String {
        let rows = survey.description.instances.map { instance in
            let given = zip(instance.type.properties, zip(instance.values, instance.isGiven)).compactMap {
                property, value in value.1 ? value.0.map { "\(property.name) \($0.text)" } : nil
            }
            return [instance.id, instance.type.kind.name, instance.type.name, given.joined(separator: ", ")]
        }
        return table("Instances", ["ID", "KIND", "PLUGIN", "PROPERTIES"], rows)
    }

    private var ports: String {
        let rows = survey.claims.filter { $0.kind == .ports }.map { claim in
            [hex(claim.first, claim.last, digits: 4), claim.owner, claim.name, widths(claim.widths)]
        }
        return table("Ports", ["PORTS", "OWNER", "WHAT", "WIDTHS"], rows)
    }

    private var memory: String {
        let rows = survey.claims.filter { $0.kind != .ports && $0.kind != .msrs }.map { claim in
            [
                hex(claim.first, claim.last, digits: 9), claim.kind.rawValue, claim.owner, claim.name,
                Value.size(claim.last &- claim.first &+ 1).text,
                claim.owner == "memory" ? "lowest" : "\(claim.priority)",
            ]
        }
        return table("Memory", ["ADDRESSES", "KIND", "OWNER", "WHAT", "SIZE", "PRIORITY"], rows)
    }

    private var registers: String {
        let rows = survey.claims.filter { $0.kind == .msrs }.map { claim in
            [hex(claim.first, claim.last, digits: 1), claim.owner, claim.name]
        }
        return table("Model-specific registers", ["MSRS", "OWNER", "WHAT"], rows)
    }

    private var lines: String {
        var drivers: [Endpoint: [String]] = [:]
        for wire in survey.wires where wire.slot.interface == "irq-line/1" {
            drivers[wire.target, default: []].append(wire.instance.id)
        }
        let rows = drivers.sorted { ($0.key.instance, $0.key.index) < ($1.key.instance, $1.key.index) }
            .map { ["\($0.key.instance).\($0.key.index)", $0.value.joined(separator: ", ")] }
        return table("Interrupt lines", ["LINE", "DRIVEN BY"], rows)
    }

    private var wiring: String {
        let rows = survey.wires.map { wire in
            [
                "\(wire.instance.id).\(wire.slot.name)", wire.slot.interface,
                endpointText(wire.target, interface: wire.slot.interface, in: survey.description),
                survey.type(of: wire.target.instance),
            ]
        }
        return table("Wiring", ["FROM", "INTERFACE", "TO", "PLUGIN"], rows)
    }

    private func hex(_ first: UInt64, _ last: UInt64, digits: Int) -> String {
        func padded(_ number: UInt64) -> String {
            let text = String(number, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        return first == last ? padded(first) : padded(first) + "-" + padded(last)
    }

    private func widths(_ mask: UInt8) -> String {
        [(1, "8"), (2, "16"), (4, "32"), (8, "64")].filter { mask & UInt8($0.0) != 0 }.map(\.1).joined(separator: "/")
    }

    private func table(_ title: String, _ head: [String], _ rows: [[String]]) -> String {
        guard !rows.isEmpty else { return "" }
        return title + "\n" + Columns.text(["  " + head[0]] + head[1...], rows.map { ["  " + $0[0]] + $0[1...] })
    }
}
