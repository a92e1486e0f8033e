import CBackplane
import Core

/// What is known of machines, as JSON.
enum Answers {
    static func machine(_ machine: Machine) -> JSONValue {
        let description = machine.description
        let place = InfoTopic.Guests.summary(of: machine)
        return .members(
            ("name", .string(description.name)), ("number", .number(machine.seat.index + 1)),
            ("status", .string(machine.runStatus.rawValue)), ("foreground", .bool(place?.isForeground ?? false)),
            ("schedule", .string(InfoTopic.Guests.name(place?.mode ?? .always))),
            ("quantum", place?.mode == .turn ? .number(place?.quantum ?? 0) : .null),
            ("may-run", .bool(place?.mayRun ?? true)),
            ("engine", machine.engineName.map { .string($0) } ?? .null), ("memory", .number(description.memory)),
            ("cpus", .number(description.cpuCount)),
            ("interrupts", description.interrupts.map { .string(text($0)) } ?? .null))
    }

    static func text(_ endpoint: Endpoint) -> String { "\(endpoint.instance).\(endpoint.index)" }

    static func value(_ value: Value) -> JSONValue {
        switch value {
        case .bool(let flag): .bool(flag)
        case .unsigned(let number), .size(let number), .duration(let number), .address(let number): .number(number)
        case .signed(let number): .integer(number)
        case .port(let port): .number(UInt64(port))
        case .text(let text), .path(let text), .choice(let text, _): .string(text)
        case .range: .string(value.text)
        case .float(let number): .double(number)
        case .list(let items): .array(items.map(Answers.value))
        }
    }

    static func result(_ result: MethodResult) -> JSONValue {
        switch result {
        case .nothing: .empty
        case .bool(let flag): .bool(flag)
        case .unsigned(let number): .number(number)
        case .signed(let number): .integer(number)
        case .float(let number): .double(number)
        case .text(let text): .string(text)
        }
    }

    static func instance(_ instance: InstanceSummary) -> JSONValue {
        let type = instance.description.type
        let properties = zip(type.properties, instance.values).map { property, current in
            JSONMember(key: property.name, value: current.map(value) ?? .null)
        }
        return .members(
            ("id", .string(instance.description.id)), ("class", .string(type.name)), ("kind", .string(type.kind.name)),
            ("library", .string(instance.description.libraryPath)), ("online", .bool(!instance.isOffline)),
            ("offline-reason", instance.isOffline ? .string(instance.offlineReason) : .null),
            ("properties", .object(properties)), ("methods", .texts(type.methods.map(\.signature))),
            ("wires", .array(wires(instance))))
    }

    static func type(_ type: ClassDescription) -> JSONValue {
        .members(
            ("name", .string(type.name)), ("kind", .string(type.kind.name)), ("summary", .string(type.summary)),
            ("properties", .array(type.properties.map(property))), ("methods", .array(type.methods.map(method))),
            (
                "slots",
                .array(type.slots.map { .members(("name", .string($0.name)), ("interface", .string($0.interface))) })
            ),
            ("interfaces", .texts(type.provided.map(\.interface))))
    }

    private static func property(_ property: PropertyDescription) -> JSONValue {
        .members(
            ("name", .string(property.name)), ("type", .string(property.type.name + (property.isList ? " list" : ""))),
            ("live", .bool(property.isLive)), ("required", .bool(property.isRequired)),
            ("default", property.defaultText.map { .string($0) } ?? .null), ("doc", .string(property.doc)))
    }

    private static func method(_ method: MethodDescription) -> JSONValue {
        .members(
            ("name", .string(method.name)), ("signature", .string(method.signature)), ("doc", .string(method.doc)),
            (
                "parameters",
                .array(method.parameters.map { .members(("name", .string($0.name)), ("type", .string($0.type.name))) })
            ),
            ("result", .string(method.result.name)))
    }

    static func policy(_ policy: InstanceSummary) -> JSONValue {
        let wants = policy.wants.map { want in
            JSONValue.members(
                ("reason", want.reason == 0xffff ? .string("all") : .number(UInt64(want.reason))),
                ("first", .number(want.first)), ("last", .number(want.last)), ("decides", .bool(want.decides)),
                ("observes", .bool(want.observes)))
        }
        return .members(
            ("position", .number(policy.place ?? 0)), ("id", .string(policy.description.id)),
            ("class", .string(policy.description.type.name)), ("online", .bool(!policy.isOffline)),
            ("wants", .array(wants)))
    }

    static func wires(_ instance: InstanceSummary) -> [JSONValue] {
        instance.description.wires.map { wire in
            let slot = instance.description.type.slots[wire.slot]
            return .members(
                ("from", .string(instance.description.id)), ("slot", .string(slot.name)),
                ("position", .number(wire.position)), ("interface", .string(slot.interface)),
                ("to", .string(text(wire.target))))
        }
    }

    static func claim(_ claim: ClaimSummary) -> JSONValue {
        .members(
            ("owner", .string(claim.owner)), ("name", .string(claim.name)), ("kind", .string(claim.kind.rawValue)),
            ("first", .number(claim.first)), ("last", .number(claim.last)), ("priority", .integer(claim.priority)))
    }

    static func line(_ line: LineSummary) -> JSONValue {
        .members(
            ("line", .string(text(line.endpoint))), ("drivers", .texts(line.drivers)), ("level", .bool(line.level)))
    }

    static func statistics(_ machine: Machine) -> JSONValue {
        let pauses = machine.pauseTimes
        return .members(
            ("virtual-time", .number(machine.virtualTime)),
            ("halted-time", .number(machine.haltedTime)),
            ("policy-exits", .array(machine.policyExits.map { .number($0) })), ("resets", .number(machine.resetCount)),
            (
                "pauses",
                .members(
                    ("count", .number(pauses.count)), ("longest", .number(pauses.longest)),
                    ("median", .number(pauses.percentile(50))), ("percentile-99", .number(pauses.percentile(99))))
            ))
    }

    static func translation(_ report: TranslationReport) -> JSONValue {
        func counts(_ counts: [TranslationReport.Count]) -> JSONValue {
            .array(counts.map { .members(("cause", .string($0.cause)), ("count", .number($0.count))) })
        }
        return .members(
            ("mode", .string(report.mode)), ("interpreted", .texts(report.interpreted)),
            ("instructions", .number(report.retiredInstructions)),
            ("translated-instructions", .number(report.translatedInstructions)),
            ("blocks", .number(report.decodedBlocks)), ("translated-blocks", .number(report.translatedBlocks)),
            ("grouped-blocks", .number(report.groupedBlocks)),
            ("code-bytes", .number(UInt64(report.codeBytes))), ("code-room", .number(UInt64(report.codeRoom))),
            ("drops", counts(report.drops)), ("refusals", counts(report.refusals)))
    }

    static func registers(_ registers: bp_registers) -> JSONValue {
        .object(RegisterNames.list(registers).map { JSONMember(key: $0.name, value: .number($0.value)) })
    }
}

/// A register file by the SDM's names, in lower case.
enum RegisterNames {
    private static let general = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    ]

    static func list(_ registers: bp_registers) -> [(name: String, value: UInt64)] {
        var copy = registers
        let values = withUnsafeBytes(of: &copy.general) { Array($0.bindMemory(to: UInt64.self)) }
        var list = zip(general, values).map { (name: $0, value: $1) }
        list += [("rip", registers.rip), ("rflags", registers.rflags)]
        for (name, segment) in segments(registers) {
            list += [(name, UInt64(segment.selector)), (name + "-base", segment.base)]
        }
        list += [("gdtr-base", registers.gdtr_base), ("gdtr-limit", UInt64(registers.gdtr_limit))]
        list += [("idtr-base", registers.idtr_base), ("idtr-limit", UInt64(registers.idtr_limit))]
        list += [("cr0", registers.cr0), ("cr2", registers.cr2), ("cr3", registers.cr3), ("cr4", registers.cr4)]
        list += [("cr8", registers.cr8), ("efer", registers.efer)]
        return list
    }

    static func segments(_ registers: bp_registers) -> [(name: String, segment: bp_segment)] {
        [
            ("es", registers.es), ("cs", registers.cs), ("ss", registers.ss), ("ds", registers.ds),
            ("fs", registers.fs), ("gs", registers.gs), ("ldtr", registers.ldtr), ("tr", registers.tr),
        ]
    }
}
