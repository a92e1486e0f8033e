import PluginKit

/// Says when its machine runs among the guests of the process, and hands over to another one where the guest reads a key. It has no
/// state for a snapshot: the foreground is the process's.
final class Hotkey: Instance {
    static let definition = ClassDefinition.policy(
        "hotkey", summary: "says when its machine runs beside other guests, and switches to another on a key",
        properties: [
            Property(
                "schedule", .choice, default: "all", live: true, choices: ["all", "foreground", "round-robin"],
                doc:
                    "in the background the machine goes on, stops, or takes turns with all others that do so"),
            Property(
                "quantum", .duration, default: "100ms", live: true, bounds: 1_000_000...10_000_000_000,
                doc: "how long its turn lasts while others wait for theirs"),
            Property(
                "key", .unsigned, live: true, bounds: 0...255,
                doc:
                    "a byte that the guest reads from `port`: it brings the guest `to` to the foreground; the guest gets it all the same"
            ),
            Property(
                "port", .port, default: "0x3f8",
                doc: "where keys come from: a UART's data register, or the keyboard's at 0x60"),
            Property(
                "to", .unsigned, default: "0", live: true, bounds: 0...64,
                doc: "a guest's number; 0: the next one that runs"),
        ],
        methods: [
            Method(
                "switch", [("number", .u32)], result: .status,
                doc: "brings a guest to the foreground; 0: the next one that runs", function: switchMethod),
            Method(
                "status", result: .text, doc: "the guests, which one is in the foreground, and the schedule",
                function: statusMethod),
        ],
        make: { (host, values) throws(PluginError) in try Hotkey(host, values) })

    private static let schedules = ["all", "foreground", "round-robin"]

    private var schedule: Int
    private var quantum: UInt64
    private var key: UInt64?
    private let port: UInt64
    private var target: UInt32

    init(_ host: Host, _ values: Values) throws(PluginError) {
        schedule = values.choice("schedule")
        quantum = values.unsigned("quantum")
        key = values.isGiven("key") ? values.unsigned("key") : nil
        port = values.unsigned("port")
        target = UInt32(clamping: values.unsigned("to"))
        super.init(host)
    }

    override func connect() throws(PluginError) {
        try apply()
        if key != nil { try host.exits.want(Int(BP_EXIT_IO), port...port, .observe) }
    }

    private func apply() throws(PluginError) {
        let mode: Guests.RunMode = [.always, .foreground, .turn][schedule]
        try host.guests.run(mode, quantum: quantum)
    }

    override func setProperty(_ name: String, to values: Values) throws(PluginError) {
        switch name {
        case "schedule":
            schedule = values.choice(name)
            try apply()
        case "quantum":
            quantum = values.unsigned(name)
            try apply()
        case "key":
            if key == nil { try host.exits.want(Int(BP_EXIT_IO), port...port, .observe) }
            key = values.unsigned(name)
        case "to": target = UInt32(clamping: values.unsigned(name))
        default: try super.setProperty(name, to: values)
        }
    }

    override func observe(_ exit: bp_exit, _ outcome: bp_outcome) {
        guard exit.reason == UInt16(BP_EXIT_IO), exit.flags & UInt16(BP_EXITF_WRITE) == 0, exit.width == 1,
            exit.value & 0xff == key
        else { return }
        do throws(PluginError) {
            try bring(target)
        } catch {
            host.log(.warning, "\(error)")
        }
    }

    // MARK: Methods

    fileprivate func bring(_ number: UInt32) throws(PluginError) {
        let guests = try host.guests
        try guests.bring(number)
        host.log(.debug, "guest \(guests.foreground) comes to the foreground")
    }

    fileprivate func tell() {
        guard let guests = try? host.guests else { return }
        let foreground = guests.foreground
        var text = "schedule: \(Hotkey.schedules[schedule])"
        if schedule == 2 { text += ", quantum \(quantum / 1_000_000) ms" }
        text += "\n"
        for number in 1...max(1, guests.count) {
            text += "\(number) \(guests.name(number) ?? "")"
            if number == guests.own { text += ", this one" }
            if number == foreground { text += ", in the foreground" }
            text += "\n"
        }
        host.reply(text)
    }
}

private let switchMethod: @convention(c) (UnsafeMutableRawPointer?, UInt32) -> Int32 = { raw, number in
    let policy = instance(raw, as: Hotkey.self)
    do throws(PluginError) {
        try policy.bring(number)
        return Status.ok.rawValue
    } catch {
        policy.host.fail("there is no guest \(number), or it has ended")
        return Status.notFound.rawValue
    }
}
private let statusMethod: @convention(c) (UnsafeMutableRawPointer?) -> Void = { instance($0, as: Hotkey.self).tell() }

let library = Library(
    "hotkey", version: "1.0", summary: "guests beside one another", needsMinor: 3, classes: [Hotkey.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
