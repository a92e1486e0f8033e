import FDC82077
import PluginKit

/// The chip's state as tagged fields.
enum FDC82077State {
    private static let prefixes: [StaticString] = ["0-", "1-", "2-", "3-"]

    static func put(_ chip: FDC82077.State, to state: StateWriter) {
        state.put("output", chip.output.rawValue)
        state.put("rate", chip.rate.rawValue)
        state.put("tape", chip.tape)
        state.put("specified", chip.specified)
        state.put("configuration", chip.configuration.rawValue)
        state.put("precompensation-track", chip.precompensationTrack)
        state.put("locked", chip.isLocked)
        state.put("perpendicular", chip.perpendicular)
        state.put("last-sectors", chip.lastSectors)
        state.put("sense-raised", chip.isSenseRaised)
        state.put("phase", chip.phase.rawValue)
        state.put("bytes", chip.bytes)
        state.put("byte-position", chip.position)
        state.put("result-interrupts", chip.resultInterrupts)
        state.put("buffer", chip.buffer)
        put(chip.transfer, to: state.prefixed("transfer-"))
        for (prefix, unit) in zip(prefixes, chip.units) { put(unit, to: state.prefixed(prefix)) }
    }

    private static func put(_ transfer: FDC82077.Transfer, to state: StateWriter) {
        state.put("step", transfer.step.rawValue)
        state.put("deadline", transfer.deadline)
        state.put("id", [transfer.c, transfer.h, transfer.r, transfer.n])
        state.put("head", transfer.head)
        state.put("status-1", transfer.status1.rawValue)
        state.put("status-2", transfer.status2.rawValue)
        state.put("sought", transfer.hasSought)
        state.put("position", transfer.position)
        state.put("done", transfer.done)
        state.put("ending", transfer.isEnding)
    }

    private static func put(_ unit: FDC82077.Unit, to state: StateWriter) {
        state.put("known-cylinder", unit.knownCylinder)
        state.put("cylinder", unit.cylinder)
        state.put("seek-end", unit.seekEnd)
        state.put("status", unit.status)
        state.put("pending", unit.isPending)
        state.put("changed", unit.isChanged)
        state.put("open", unit.isOpen)
    }

    static func get(from state: StateReader) throws(PluginError) -> FDC82077.State {
        var chip = FDC82077.State()
        chip.output = .init(rawValue: try state.get("output"))
        chip.rate = try state.get("rate")
        chip.tape = try state.get("tape")
        chip.specified = try state.get("specified", count: 2)
        let configuration: UInt8 = try state.get("configuration")
        guard configuration < 0x80 else { throw PluginError("field configuration: no such value") }
        chip.configuration = .init(rawValue: configuration)
        chip.precompensationTrack = try state.get("precompensation-track")
        chip.isLocked = try state.get("locked")
        chip.perpendicular = try state.get("perpendicular")
        chip.lastSectors = try state.get("last-sectors")
        chip.isSenseRaised = try state.get("sense-raised")
        chip.phase = try state.get("phase")
        chip.bytes = try state.get("bytes", count: nil)
        chip.position = try state.get("byte-position")
        chip.resultInterrupts = try state.get("result-interrupts")
        chip.buffer = try state.get("buffer", count: FDC82077.sectorSize)
        chip.transfer = try transfer(from: state.prefixed("transfer-"))
        for (index, prefix) in prefixes.enumerated() { chip.units[index] = try unit(from: state.prefixed(prefix)) }
        return chip
    }

    private static func transfer(from state: StateReader) throws(PluginError) -> FDC82077.Transfer {
        var transfer = FDC82077.Transfer()
        transfer.step = try state.get("step")
        transfer.deadline = try state.get("deadline")
        let id = try state.get("id", count: 4)
        (transfer.c, transfer.h, transfer.r, transfer.n) = (id[0], id[1], id[2], id[3])
        transfer.head = try state.get("head")
        transfer.status1 = .init(rawValue: try state.get("status-1"))
        transfer.status2 = .init(rawValue: try state.get("status-2"))
        transfer.hasSought = try state.get("sought")
        transfer.position = try state.get("position")
        transfer.done = try state.get("done")
        transfer.isEnding = try state.get("ending")
        return transfer
    }

    private static func unit(from state: StateReader) throws(PluginError) -> FDC82077.Unit {
        var unit = FDC82077.Unit()
        unit.knownCylinder = try state.get("known-cylinder")
        unit.cylinder = try state.get("cylinder")
        unit.seekEnd = try state.get("seek-end")
        unit.status = try state.get("status")
        unit.isPending = try state.get("pending")
        unit.isChanged = try state.get("changed")
        unit.isOpen = try state.get("open")
        return unit
    }
}
