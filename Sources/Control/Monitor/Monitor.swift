import Core
import MachineFile
import Synchronization

/// The monitor: commands for a person, in words. One table for the terminal (Ctrl-A c), for QMP's human-monitor-command and for
/// `backplane ctl`.
package struct Monitor: Sendable {
    let plane: ControlPlane
    /// Of `info registers` and `x`.
    var vcpu = 0
    /// The machine that commands are for.
    let choice: MachineChoice

    package init(plane: ControlPlane, vcpu: Int = 0, choice: MachineChoice = MachineChoice()) {
        self.plane = plane
        self.vcpu = vcpu
        self.choice = choice
    }

    /// The answer: lines that each end with a newline, or nothing.
    package func run(_ line: String) throws(CommandError) -> String { try run(try Words.split(line)) }

    func machine() throws(CommandError) -> Machine {
        if let name = choice.name { return try plane.machine(name) }
        return try plane.foregroundMachine()
    }

    func run(_ words: [String]) throws(CommandError) -> String {
        guard let name = words.first else { return "" }
        guard let command = MonitorCommand.named(name) else {
            throw CommandError("unknown command: '\(name)'; 'help' lists them", kind: "CommandNotFound")
        }
        do {
            return try command.run(MonitorCall(monitor: self, command: command, words: Array(words.dropFirst())))
        } catch let error as CommandError {
            throw error
        } catch let error as MachineError {
            throw CommandError(error.description)
        } catch {
            throw CommandError("\(error)")
        }
    }
}

/// Which machine a monitor's commands are for: nil: the one in the foreground.
package final class MachineChoice: Sendable {
    private let chosen: Mutex<String?>
    package init(_ name: String? = nil) { chosen = Mutex(name) }

    var name: String? {
        get { chosen.withLock { $0 } }
        set { chosen.withLock { $0 = newValue } }
    }
}

struct MonitorCommand: Sendable {
    var name: String
    /// Another name for it.
    var short: String?
    var parameters: String
    var help: String
    var run: @Sendable (MonitorCall) throws -> String

    init(
        _ name: String, short: String? = nil, _ parameters: String = "", _ help: String,
        _ run: @escaping @Sendable (MonitorCall) throws -> String
    ) {
        self.name = name
        self.short = short
        self.parameters = parameters
        self.help = help
        self.run = run
    }

    /// "policy insert PLUGIN[,PROPERTY=VALUE...] [PLACE]", as help shows it. The name alone is the first word, or "quit|q".
    var usage: String { (short.map { "\(name)|\($0)" } ?? name) + (parameters.isEmpty ? "" : " " + parameters) }

    static func named(_ name: String) -> MonitorCommand? { all.first { $0.name == name || $0.short == name } }

    static let all: [MonitorCommand] = [
        MonitorCommand("help", short: "?", "[COMMAND]", "what there is") { call in
            guard let name = call.words.first else { return all.map { line($0.usage, $0.help) }.joined() }
            guard let command = named(name) else { throw CommandError("unknown command: '\(name)'") }
            let topics = name == "info" ? InfoTopic.all.map { line("info " + $0.name, $0.help) }.joined() : ""
            let policies = name == "policy" ? PolicyWords.help : ""
            return line(command.usage, command.help) + topics + policies
        },
        MonitorCommand("info", "[TOPIC]", "tables of the machine's state") { call in
            guard let name = call.words.first else {
                return InfoTopic.all.map { line("info " + $0.name, $0.help) }.joined()
            }
            guard let topic = InfoTopic.all.first(where: { $0.name == name }) else {
                throw CommandError("there is no topic '\(name)'; 'info' lists them")
            }
            return try topic.run(call)
        },
        MonitorCommand("x", "/FORMAT ADDRESS", "guest memory by linear address: x /16xb $rsp, x /5i $pc") { call in
            try MemoryDump(call.words).text { (address, count) throws(MachineError) in
                try call.machine().readMemory(linear: address, count: count, vcpu: call.monitor.vcpu)
            } registers: { () throws(MachineError) in
                try call.machine().registers(vcpu: call.monitor.vcpu)
            }
        },
        MonitorCommand("xp", "/FORMAT ADDRESS", "guest-physical memory: xp /4xw 0x7c00") { call in
            try MemoryDump(call.words).text { (address, count) throws(MachineError) in
                try call.machine().readMemory(physical: address, count: count)
            } registers: { () throws(MachineError) in
                try call.machine().registers(vcpu: call.monitor.vcpu)
            }
        },
        MonitorCommand(
            "explain", "ADDRESS", "the software CPU's block with that instruction, guest and host code side by side"
        ) { call in
            try TranslatorWords.explain(call)
        },
        MonitorCommand("stop", "", "the guest and its clock stand still") { call in
            let machine = try call.machine()
            machine.setStopped(true)
            if !machine.atQuietPoint({}), machine.runStatus != .shutdown { throw CommandError.notAtRest }
            return ""
        },
        MonitorCommand("cont", short: "c", "", "the guest goes on") { call in
            try call.machine().setStopped(false)
            return ""
        },
        MonitorCommand("system_reset", "", "RESET, as the button does") { call in
            try call.machine().reset()
            return ""
        },
        MonitorCommand("system_powerdown", "", "asks the guest to power off") { call in
            try call.machine().powerButton()
            return ""
        },
        MonitorCommand(
            "sendkey", "KEYS [HOLD_MS] [INSTANCE]",
            "presses keys together, such as ctrl-alt-delete, for 100 ms of the guest's time"
        ) { call in
            guard (1...3).contains(call.words.count) else { throw call.usage }
            let hold = call.words.count > 1 ? UInt64(call.words[1]) : KeyHold.usual
            guard let hold else { throw call.usage }
            try call.machine().press(
                keys: try KeyNames.codes(call.words[0]), hold: try KeyHold.nanoseconds(hold),
                on: call.words.count > 2 ? call.words[2] : nil)
            return ""
        },
        MonitorCommand("screendump", "FILE [INSTANCE]", "the screen into a file: PNG, or PPM where its name ends so") {
            call in
            guard (1...2).contains(call.words.count) else { throw call.usage }
            let path = call.words[0]
            let name = call.words.count > 1 ? call.words[1] : nil
            try HostFile.save(
                try Screens.dump(try call.machine(), name, path.lowercased().hasSuffix(".ppm") ? .ppm : .png), path)
            return ""
        },
        MonitorCommand(
            "machine", "[NAME [COMMAND...]]",
            "whom commands are for: a machine by name or number, or the foreground's; with COMMAND for this one only"
        ) {
            try MachineWords.choose($0)
        },
        MonitorCommand(
            "foreground", "[NAME]", "brings a machine to the foreground, by name or number; else the next one"
        ) {
            try $0.monitor.plane.bring($0.words.first)
            return ""
        },
        MonitorCommand("quit", short: "q", "", "ends all machines at once") { call in
            call.monitor.plane.quit()
            return ""
        },
        MonitorCommand(
            "policy", "VERB ...", "changes the chain: insert, remove, replace, move, set; 'help policy' has more"
        ) {
            try PolicyWords.run($0)
        },
        MonitorCommand(
            "set", "INSTANCE PROPERTY VALUE...", "sets a live property of any instance; several values are a list"
        ) {
            try PolicyWords.set($0, $0.words)
        },
        MonitorCommand(
            "instance", "offline|online|reset INSTANCE",
            "takes it off line, brings it back as after power-on, resets it"
        ) { call in
            guard call.words.count == 2 else { throw call.usage }
            let machine = try call.machine()
            switch call.words[0] {
            case "offline": try machine.takeOffline(call.words[1])
            case "online": try machine.bringOnline(call.words[1])
            case "reset": try machine.resetInstance(call.words[1])
            default: throw call.usage
            }
            return ""
        },
        MonitorCommand("call", "INSTANCE METHOD [ARGUMENT...]", "calls a method; 'info plugins' has their signatures") {
            call in
            guard call.words.count >= 2 else { throw call.usage }
            let result = try call.machine().invoke(call.words[1], Array(call.words.dropFirst(2)), on: call.words[0])
            let text = result.text
            return text.isEmpty || text.hasSuffix("\n") ? text : text + "\n"
        },
    ]

    private static func line(_ usage: String, _ help: String) -> String { "\(usage) -- \(help)\n" }
}

/// One call of a command.
struct MonitorCall {
    let monitor: Monitor
    let command: MonitorCommand
    let words: [String]

    func machine() throws(MachineError) -> Machine {
        do throws(CommandError) {
            return try monitor.machine()
        } catch {
            throw MachineError(error.text)
        }
    }
    var usage: CommandError { CommandError("usage: \(command.name) \(command.parameters)") }
}

/// `machine ...`
enum MachineWords {
    static func choose(_ call: MonitorCall) throws -> String {
        let choice = call.monitor.choice
        guard let name = call.words.first else {
            let machine = try call.machine().description.name
            return machine + (choice.name == nil ? ", the one in the foreground" : "") + "\n"
        }
        if name == "foreground", call.words.count == 1 {
            choice.name = nil
            return ""
        }
        let machine = try call.monitor.plane.machine(name).description.name
        guard call.words.count > 1 else {
            choice.name = machine
            return ""
        }
        let monitor = Monitor(plane: call.monitor.plane, vcpu: call.monitor.vcpu, choice: MachineChoice(machine))
        return try monitor.run(Array(call.words.dropFirst()))
    }
}

/// `policy ...`
enum PolicyWords {
    static let verbs = ["insert", "remove", "replace", "move", "set"]
    static let help = """
        policy insert SPEC [PLACE] -- puts a policy into the chain, first unless PLACE says otherwise
        policy remove ID -- takes it out
        policy replace ID SPEC -- puts another in its place; a new build of its library is loaded
        policy move ID PLACE -- gives it another place
        policy set ID PROPERTY VALUE... -- sets a live property; several values are a list
        SPEC is PLUGIN[,PROPERTY=VALUE...] or ID=PLUGIN[,...]; PLACE is first, last, before:ID, after:ID or a number.

        """

    static func run(_ call: MonitorCall) throws -> String {
        let words = Array(call.words.dropFirst())
        let machine = try call.machine()
        switch (call.words.first, words.count) {
        case ("insert", 1...2):
            let description = try call.monitor.plane.describe(try PolicyRequest(text: words[0]), for: machine)
            try machine.insertPolicy(description, at: words.count == 2 ? try place(words[1]) : .first)
            return "\(description.id) is in the chain\n"
        case ("remove", 1): try machine.removePolicy(words[0])
        case ("replace", 2):
            var request = try PolicyRequest(text: words[1])
            request.id = request.id ?? words[0]
            let description = try call.monitor.plane.describe(request, for: machine, replaces: true)
            try machine.replacePolicy(words[0], with: description)
        case ("move", 2): try machine.movePolicy(words[0], to: try place(words[1]))
        case ("set", 3...): return try set(call, words)
        default: throw CommandError("'help policy' tells what it takes")
        }
        return ""
    }

    private static func place(_ text: String) throws(CommandError) -> ChainPlace {
        if let place = ChainPlace(text: text) { return place }
        throw CommandError("a place is first, last, before:ID, after:ID or a number, not '\(text)'")
    }

    static func set(_ call: MonitorCall, _ words: [String]) throws -> String {
        guard words.count >= 3 else { throw call.usage }
        let machine = try call.machine()
        guard let instance = machine.instanceSummaries().first(where: { $0.description.id == words[0] }) else {
            throw CommandError("there is no instance '\(words[0])'")
        }
        guard let property = instance.description.type.properties.first(where: { $0.name == words[1] }) else {
            let live = instance.description.type.properties.filter(\.isLive).map(\.name).joined(separator: ", ")
            throw CommandError(
                "'\(words[0])' has no property '\(words[1])'" + (live.isEmpty ? "" : "; those that can be set: \(live)")
            )
        }
        let text: PropertyText = words.count == 3 ? .single(words[2]) : .list(Array(words.dropFirst(2)))
        try machine.setProperty(words[1], of: words[0], to: try propertyValue(text, of: property))
        return ""
    }
}
