// guests/1.

import CBackplane
import CHost
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let guests = HostFunctions.constant(
        bp_guests_1(
            size: HostFunctions.size(bp_guests_1.self), reserved: 0,
            count: { host in UInt32(clamping: PluginInstance.of(host).machine.seat.board.count) },
            own: { host in UInt32(clamping: PluginInstance.of(host).machine.seat.index + 1) },
            foreground: { host in
                UInt32(clamping: (PluginInstance.of(host).machine.seat.board.foreground ?? -1) + 1)
            },
            name: { host, number, text, length in
                let names = PluginInstance.of(host).machine.seat.board.names
                guard let text, let length else { return status(BP_INVALID) }
                guard number > 0, names.indices.contains(Int(number) - 1) else { return status(BP_NOT_FOUND) }
                let bytes = Array(names[Int(number) - 1].utf8.prefix(Int(clamping: length.pointee)))
                memcpy(text, bytes, bytes.count)
                length.pointee = UInt64(bytes.count)
                return status(BP_OK)
            },
            bring: { host, number in
                do throws(MachineError) {
                    try PluginInstance.of(host).machine.bring(number)
                    return status(BP_OK)
                } catch {
                    return status(BP_NOT_FOUND)
                }
            },
            run_when: { host, mode, quantum in
                guard let mode = RunMode(rawValue: mode) else { return status(BP_INVALID) }
                let owner = PluginInstance.of(host)
                owner.machine.setRunMode(mode, quantum: quantum, of: owner)
                return status(BP_OK)
            }))
}
