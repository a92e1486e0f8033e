import Core
import MachineFile

/// Commands that QEMU does not have: instances, policies, wires, methods, statistics.
extension QMPCommand {
    static let own: [QMPCommand] = [
        QMPCommand("query-machines", doc: "the machines of this process, and which is in the foreground") { call in
            .array(call.plane.machines.map(Answers.machine))
        },
        QMPCommand("foreground", ["machine?"], doc: "brings a machine to the foreground; without one, the next") {
            call in
            try call.plane.bring(try call.optionalText("machine"))
            return .empty
        },
        QMPCommand("query-instances", ["machine?"], doc: "all instances: class, properties, methods, wires") { call in
            .array(try call.machine.instanceSummaries().map(Answers.instance))
        },
        QMPCommand(
            "query-plugins", ["machine?"], doc: "the classes that the machine uses, with their methods' signatures"
        ) {
            call in
            var classes: [ClassDescription] = []
            for instance in try call.machine.instanceSummaries() {
                let type = instance.description.type
                if !classes.contains(type) { classes.append(type) }
            }
            return .array(classes.map(Answers.type))
        },
        QMPCommand("query-policies", ["machine?"], doc: "the chain, in order") { call in
            .array(try call.machine.instanceSummaries().filter { $0.place != nil }.map(Answers.policy))
        },
        QMPCommand("query-wiring", ["machine?"], doc: "who is wired to whom") { call in
            .array(try call.machine.instanceSummaries().flatMap(Answers.wires))
        },
        QMPCommand("query-claims", ["machine?"], doc: "who answers which ports and addresses") { call in
            .array(try call.machine.claimSummaries().map(Answers.claim))
        },
        QMPCommand("query-interrupt-lines", ["machine?"], doc: "interrupt lines, who drives them, and their levels") {
            call in
            .array(try call.machine.lineSummaries().map(Answers.line))
        },
        QMPCommand("query-statistics", ["machine?"], doc: "exits, pauses and the clock") { call in
            Answers.statistics(try call.machine)
        },
        QMPCommand(
            "query-translator", ["machine?", "cpu-index?"],
            doc: "what the software CPU has made host code of; null where the CPU itself runs the guest"
        ) { call in
            let vcpu = Int(clamping: try call.optionalUnsigned("cpu-index") ?? 0)
            return try call.machine.translationReport(vcpu: vcpu).map(Answers.translation) ?? .null
        },
        QMPCommand("query-registers", ["machine?", "cpu-index?"], doc: "the CPU's registers") { call in
            let vcpu = Int(clamping: try call.optionalUnsigned("cpu-index") ?? 0)
            return Answers.registers(try call.machine.registers(vcpu: vcpu))
        },
        QMPCommand(
            "policy-insert", ["plugin", "id?", "properties?", "position?", "machine?"],
            doc: "puts a policy into the chain of a running machine"
        ) { call in
            let machine = try call.machine
            let description = try call.plane.describe(try request(call), for: machine)
            try machine.insertPolicy(description, at: try call.place() ?? .first)
            return .members(("id", .string(description.id)))
        },
        QMPCommand("policy-remove", ["id", "machine?"], doc: "takes a policy out of the chain") { call in
            try call.machine.removePolicy(try call.text("id"))
            return .empty
        },
        QMPCommand(
            "policy-replace", ["id", "plugin", "new-id?", "properties?", "machine?"],
            doc: "puts another policy in the place of one; a new build of its library is loaded"
        ) { call in
            let machine = try call.machine
            let id = try call.text("id")
            var wanted = try request(call)
            wanted.id = try call.optionalText("new-id") ?? id
            try machine.replacePolicy(id, with: try call.plane.describe(wanted, for: machine, replaces: true))
            return .empty
        },
        QMPCommand("policy-move", ["id", "position", "machine?"], doc: "gives a policy another place in the chain") {
            call in
            guard let place = try call.place() else { throw CommandError("Parameter 'position' is missing") }
            try call.machine.movePolicy(try call.text("id"), to: place)
            return .empty
        },
        QMPCommand("property-get", ["instance", "property", "machine?"], doc: "a property's value") { call in
            let (instance, index) = try property(call)
            guard let value = instance.values[index] else { return .null }
            return Answers.value(value)
        },
        QMPCommand("property-set", ["instance", "property", "value", "machine?"], doc: "sets a live property") { call in
            let (instance, index) = try property(call)
            let property = instance.description.type.properties[index]
            let text = try QMPCall.propertyText(call.arguments["value"] ?? .null, "value")
            try call.machine.setProperty(
                property.name, of: instance.description.id, to: try propertyValue(text, of: property))
            return .empty
        },
        QMPCommand("instance-offline", ["instance", "machine?"], doc: "takes an instance off line, as a fault can") {
            call in
            try call.machine.takeOffline(try call.text("instance"))
            return .empty
        },
        QMPCommand("instance-online", ["instance", "machine?"], doc: "brings it back, in its state after power-on") {
            call in
            try call.machine.bringOnline(try call.text("instance"))
            return .empty
        },
        QMPCommand("instance-reset", ["instance", "machine?"], doc: "resets one instance, as power-on does") { call in
            try call.machine.resetInstance(try call.text("instance"))
            return .empty
        },
        QMPCommand(
            "monitor", ["command-line", "machine?"], doc: "runs a command of the monitor; its failure is an error"
        ) { call in
            let monitor = Monitor(plane: call.plane, choice: MachineChoice(try call.optionalText("machine")))
            return .string(try monitor.run(try call.text("command-line")))
        },
        QMPCommand(
            "call-method", ["instance", "method", "arguments?", "machine?"], doc: "calls a method of an instance"
        ) { call in
            var texts: [String] = []
            if let arguments = call.arguments["arguments"] {
                guard let items = arguments.items else { throw call.wrong("arguments", "an array") }
                for item in items { texts.append(try QMPCall.scalarText(item, "arguments")) }
            }
            let result = try call.machine.invoke(try call.text("method"), texts, on: try call.text("instance"))
            return Answers.result(result)
        },
    ]

    private static func request(_ call: QMPCall) throws(CommandError) -> PolicyRequest {
        var request = PolicyRequest(plugin: try call.text("plugin"))
        if call.arguments["new-id"] == nil { request.id = try call.optionalText("id") }
        guard let properties = call.arguments["properties"] else { return request }
        guard case .object(let members) = properties else { throw call.wrong("properties", "an object") }
        for member in members {
            request.properties.append((member.key, try QMPCall.propertyText(member.value, member.key)))
        }
        return request
    }

    private static func property(_ call: QMPCall) throws(CommandError) -> (InstanceSummary, Int) {
        let id = try call.text("instance")
        let name = try call.text("property")
        guard let instance = try call.machine.instanceSummaries().first(where: { $0.description.id == id }) else {
            throw CommandError("there is no instance '\(id)'")
        }
        guard let index = instance.description.type.properties.firstIndex(where: { $0.name == name }) else {
            throw CommandError("'\(id)' has no property '\(name)'")
        }
        return (instance, index)
    }
}
