import ATA
import PluginKit

/// The channel's state as tagged fields.
enum ATAState {
    static func put(_ channel: ATAChannel.State, to state: StateWriter) {
        put(channel.device0, to: state.prefixed("0-"))
        put(channel.device1, to: state.prefixed("1-"))
        state.put("select", channel.select.rawValue)
        state.put("control", channel.control.rawValue)
        let transfer = channel.transfer
        state.put("phase", transfer.phase.rawValue)
        state.put("kind", transfer.kind.rawValue)
        state.put("addressing", transfer.addressing.rawValue)
        state.put("block", transfer.block)
        state.put("singles", transfer.singles)
        state.put("next", transfer.next)
        state.put("remaining", transfer.remaining)
        state.put("position", transfer.position)
        state.put("block-end", transfer.blockEnd)
        state.put("filled", transfer.filled)
        state.put("limit", transfer.limit, optional: true)
        state.put("buffer", channel.buffer)
    }

    static func get(from state: StateReader) throws(PluginError) -> ATAChannel.State {
        var channel = ATAChannel.State()
        channel.device0 = try device(from: state.prefixed("0-"))
        channel.device1 = try device(from: state.prefixed("1-"))
        channel.select = DeviceSelect(rawValue: try state.get("select"))
        channel.control = try state.get("control")
        channel.transfer.phase = try state.get("phase")
        channel.transfer.kind = try state.get("kind")
        channel.transfer.addressing = try state.get("addressing")
        channel.transfer.block = try state.get("block")
        channel.transfer.singles = try state.get("singles")
        channel.transfer.next = try state.get("next")
        channel.transfer.remaining = try state.get("remaining")
        channel.transfer.position = try state.get("position")
        channel.transfer.blockEnd = try state.get("block-end")
        channel.transfer.filled = try state.get("filled")
        // States of before there were CD-ROM drives have none of theirs.
        if state.has("limit") { channel.transfer.limit = try state.get("limit") }
        channel.buffer = try state.get("buffer", count: ATAChannel.bufferSize)
        return channel
    }

    private static func put(_ device: ATAChannel.Device, to state: StateWriter) {
        state.put("status", device.status.rawValue)
        state.put("error", device.error)
        state.put("features", device.features)
        state.put("count", device.sectorCount)
        state.put("lba-low", device.lbaLow)
        state.put("lba-mid", device.lbaMid)
        state.put("lba-high", device.lbaHigh)
        state.put("interrupt", device.interruptPending)
        state.put("write-cache", device.settings.writeCache)
        state.put("look-ahead", device.settings.lookAhead)
        state.put("revert", device.settings.revertOnReset)
        state.put("multiple", device.settings.multiple)
        state.put("dma-mode", device.settings.dmaMode, optional: true)
        state.put("heads", device.settings.heads)
        state.put("sectors", device.settings.sectorsPerTrack)
        state.put("power", device.power.rawValue)
        put(device.packet.sense, "sense", to: state)
        put(device.packet.attention, "attention", to: state)
        state.put("locked", device.packet.isLocked, optional: true)
        state.put("open", device.packet.isOpen, optional: true)
        state.put("eject-wanted", device.packet.isEjectWanted, optional: true)
    }

    private static func put(_ sense: Sense, _ name: StaticString, to state: StateWriter) {
        let word = UInt32(sense.key) << 16 | UInt32(sense.code) << 8 | UInt32(sense.qualifier)
        state.put(name, word, optional: true)
    }

    private static func sense(_ name: StaticString, from state: StateReader) throws(PluginError) -> Sense {
        guard state.has(name) else { return .none }
        let word: UInt32 = try state.get(name)
        guard word < 1 << 24 else { throw PluginError("the saved sense 0x\(String(word, radix: 16)) is none") }
        return Sense(UInt8(word >> 16), UInt8(word >> 8 & 0xFF), UInt8(word & 0xFF))
    }

    private static func device(from state: StateReader) throws(PluginError) -> ATAChannel.Device {
        var device = ATAChannel.Device()
        device.status = try state.get("status")
        device.error = try state.get("error")
        device.features = try state.get("features")
        device.sectorCount = try state.get("count")
        device.lbaLow = try state.get("lba-low")
        device.lbaMid = try state.get("lba-mid")
        device.lbaHigh = try state.get("lba-high")
        device.interruptPending = try state.get("interrupt")
        device.settings.writeCache = try state.get("write-cache")
        device.settings.lookAhead = try state.get("look-ahead")
        device.settings.revertOnReset = try state.get("revert")
        device.settings.multiple = try state.get("multiple")
        // States of before there was DMA have none.
        if state.has("dma-mode") { device.settings.dmaMode = try state.get("dma-mode") }
        device.settings.heads = try state.get("heads")
        device.settings.sectorsPerTrack = try state.get("sectors")
        device.power = try state.get("power")
        device.packet.sense = try sense("sense", from: state)
        device.packet.attention = try sense("attention", from: state)
        if state.has("locked") { device.packet.isLocked = try state.get("locked") }
        if state.has("open") { device.packet.isOpen = try state.get("open") }
        if state.has("eject-wanted") { device.packet.isEjectWanted = try state.get("eject-wanted") }
        return device
    }
}
