// The chip's state as fields.

import I8042
import PluginKit

extension StateWriter {
    func put(_ state: I8042.State) {
        put("ram", state.ram)
        put("command-byte", state.commandByte.rawValue)
        put("a20", state.a20)
        put("output", state.output)
        put("output-full", state.outputFull)
        put("output-is-auxiliary", state.outputIsAuxiliary)
        put("last-write-was-command", state.lastWriteWasCommand)
        put("expecting", state.expecting.command)
        put("reply", state.reply.map { [$0] } ?? [])
        put("reply-is-auxiliary", state.replyIsAuxiliary)
        put("translating-break", state.translatingBreak)
        put("is-arriving", state.arrival != nil)
        put("arrival", state.arrival ?? 0)
        prefixed("keyboard-").put(state.keyboard)
        prefixed("mouse-").put(state.mouse)
    }

    private func put(_ keyboard: PS2Keyboard.State) {
        put("scanning", keyboard.scanning)
        put("set", keyboard.set)
        put("leds", keyboard.leds)
        put("typematic", keyboard.typematic)
        put("command", keyboard.command?.rawValue ?? 0)
        prefixed("keyboard-breaks-").put(keyboard.breaks)
        prefixed("keyboard-repeats-").put(keyboard.repeats)
        put("replies", keyboard.replies)
        put("codes", keyboard.codes)
        put("last-sent", keyboard.lastSent)
        prefixed("keyboard-down-").put(keyboard.down)
        put("print-screen-form", keyboard.printScreenForm)
        put("repeat-key", keyboard.repeatKey)
        put("repeat-at", keyboard.repeatAt)
    }

    private func put(_ set: KeySet) {
        put("low", set.low)
        put("middle", set.middle)
        put("high", set.high)
    }

    private func put(_ mouse: PS2Mouse.State) {
        put("kind", mouse.kind.rawValue)
        put("reporting", mouse.reporting)
        put("is-remote", mouse.isRemote)
        put("is-wrapping", mouse.isWrapping)
        put("double-scale", mouse.doubleScale)
        put("resolution", mouse.resolution)
        put("sample-rate", mouse.sampleRate)
        put("earlier-rate", mouse.earlierRate)
        put("earliest-rate", mouse.earliestRate)
        put("command", mouse.command?.rawValue ?? 0)
        put("replies", mouse.replies)
        put("packet", mouse.packet)
        put("last-sent", mouse.lastSent)
        put("reports", mouse.reports.flatMap(reportBytes))
        put("buttons", mouse.buttons)
        put("told-buttons", mouse.toldButtons)
        put("next-packet", mouse.nextPacket)
    }
}

extension StateReader {
    func i8042() throws(PluginError) -> I8042.State {
        var state = I8042.State()
        state.ram = try get("ram", count: 32)
        state.commandByte = .init(rawValue: try get("command-byte"))
        state.a20 = try get("a20")
        state.output = try get("output")
        state.outputFull = try get("output-full")
        state.outputIsAuxiliary = try get("output-is-auxiliary")
        state.lastWriteWasCommand = try get("last-write-was-command")
        guard let expecting = I8042.Expecting(command: try get("expecting")) else {
            throw PluginError("no command waits for a byte so")
        }
        state.expecting = expecting
        let reply = try get("reply", count: nil)
        guard reply.count <= 1 else { throw PluginError("the controller has one answer at a time") }
        state.reply = reply.first
        state.replyIsAuxiliary = try get("reply-is-auxiliary")
        state.translatingBreak = try get("translating-break")
        let arrival: UInt64 = try get("arrival")
        state.arrival = try get("is-arriving") ? arrival : nil
        state.keyboard = try prefixed("keyboard-").keyboard()
        state.mouse = try prefixed("mouse-").mouse()
        return state
    }

    private func keyboard() throws(PluginError) -> PS2Keyboard.State {
        var state = PS2Keyboard.State()
        state.scanning = try get("scanning")
        state.set = try get("set")
        state.leds = try get("leds")
        state.typematic = try get("typematic")
        let command: UInt8 = try get("command")
        state.command = .init(rawValue: command)
        guard command == 0 || state.command != nil else { throw PluginError("the keyboard has no such command") }
        state.breaks = try prefixed("keyboard-breaks-").keySet()
        state.repeats = try prefixed("keyboard-repeats-").keySet()
        state.replies = try get("replies", count: nil)
        state.codes = try get("codes", count: nil)
        state.lastSent = try get("last-sent")
        state.down = try prefixed("keyboard-down-").keySet()
        state.printScreenForm = try get("print-screen-form")
        state.repeatKey = try get("repeat-key")
        state.repeatAt = try get("repeat-at")
        return state
    }

    private func keySet() throws(PluginError) -> KeySet {
        var set = KeySet()
        set.low = try get("low")
        set.middle = try get("middle")
        set.high = try get("high")
        return set
    }

    private func mouse() throws(PluginError) -> PS2Mouse.State {
        var state = PS2Mouse.State()
        state.kind = try get("kind", as: PS2Mouse.Kind.self)
        state.reporting = try get("reporting")
        state.isRemote = try get("is-remote")
        state.isWrapping = try get("is-wrapping")
        state.doubleScale = try get("double-scale")
        state.resolution = try get("resolution")
        state.sampleRate = try get("sample-rate")
        state.earlierRate = try get("earlier-rate")
        state.earliestRate = try get("earliest-rate")
        let command: UInt8 = try get("command")
        state.command = .init(rawValue: command)
        guard command == 0 || state.command != nil else { throw PluginError("the mouse has no such command") }
        state.replies = try get("replies", count: nil)
        state.packet = try get("packet", count: nil)
        state.lastSent = try get("last-sent")
        state.reports = try reports(try get("reports", count: nil))
        state.buttons = try get("buttons")
        state.toldButtons = try get("told-buttons")
        state.nextPacket = try get("next-packet")
        return state
    }
}

// A report of the mouse: three numbers of 32 bits, little-endian, and the buttons.

private let reportLength = 13

private func reportBytes(_ report: PS2Mouse.Report) -> [UInt8] {
    [report.x, report.y, report.z].flatMap { number in
        (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    } + [report.buttons]
}

private func reports(_ bytes: [UInt8]) throws(PluginError) -> [PS2Mouse.Report] {
    guard bytes.count % reportLength == 0, bytes.count <= 1024 else { throw PluginError("broken reports of the mouse") }
    return stride(from: 0, to: bytes.count, by: reportLength).map { start in
        func number(_ place: Int) -> Int32 {
            (0..<4).reversed().reduce(0) { $0 << 8 | Int32(bytes[start + place * 4 + $1]) }
        }
        var report = PS2Mouse.Report(buttons: bytes[start + 12])
        (report.x, report.y, report.z) = (number(0), number(1), number(2))
        return report
    }
}
