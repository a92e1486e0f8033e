import ATA
import PluginKit

/// The channel's state as tagged fields.
enum ATAState {
    private static let deviceKeys: [[StaticString]] = [
        [
            "0-status", "0-error", "0-features", "0-count", "0-lba-low", "0-lba-mid", "0-lba-high", "0-interrupt",
            "0-write-cache", "0-look-ahead", "0-revert", "0-multiple", "0-heads", "0-sectors", "0-power",
        ],
        [
            "1-status", "1-error", "1-features", "1-count", "1-lba-low", "1-lba-mid", "1-lba-high", "1-interrupt",
            "1-write-cache", "1-look-ahead", "1-revert", "1-multiple", "1-heads", "1-sectors", "1-power",
        ],
    ]

    static func put(_ channel: ATAChannel.State, to state: StateWriter) {
        put(channel.device0, to: state, deviceKeys[0])
        put(channel.device1, to: state, deviceKeys[1])
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
        state.put("buffer", channel.buffer)
    }

    static func get(from state: StateReader) throws(PluginError) -> ATAChannel.State {
        var channel = ATAChannel.State()
        channel.device0 = try device(from: state, deviceKeys[0])
        channel.device1 = try device(from: state, deviceKeys[1])
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
        channel.buffer = try state.get("buffer", count: ATAChannel.bufferSize)
        return channel
    }

    private static func put(_ device: ATAChannel.Device, to state: StateWriter, _ keys: [StaticString]) {
        state.put(keys[0], device.status.rawValue)
        state.put(keys[1], device.error)
        state.put(keys[2], device.features)
        state.put(keys[3], device.sectorCount)
        state.put(keys[4], device.lbaLow)
        state.put(keys[5], device.lbaMid)
        state.put(keys[6], device.lbaHigh)
        state.put(keys[7], device.interruptPending)
        state.put(keys[8], device.settings.writeCache)
        state.put(keys[9], device.settings.lookAhead)
        state.put(keys[10], device.settings.revertOnReset)
        state.put(keys[11], device.settings.multiple)
        state.put(keys[12], device.settings.heads)
        state.put(keys[13], device.settings.sectorsPerTrack)
        state.put(keys[14], device.power.rawValue)
    }

    private static func device(
        from state: StateReader, _ keys: [StaticString]
    ) throws(PluginError) -> ATAChannel.Device {
        var device = ATAChannel.Device()
        device.status = try state.get(keys[0])
        device.error = try state.get(keys[1])
        device.features = try state.get(keys[2])
        device.sectorCount = try state.get(keys[3])
        device.lbaLow = try state.get(keys[4])
        device.lbaMid = try state.get(keys[5])
        device.lbaHigh = try state.get(keys[6])
        device.interruptPending = try state.get(keys[7])
        device.settings.writeCache = try state.get(keys[8])
        device.settings.lookAhead = try state.get(keys[9])
        device.settings.revertOnReset = try state.get(keys[10])
        device.settings.multiple = try state.get(keys[11])
        device.settings.heads = try state.get(keys[12])
        device.settings.sectorsPerTrack = try state.get(keys[13])
        device.power = try state.get(keys[14])
        return device
    }
}
