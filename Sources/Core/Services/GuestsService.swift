// guests/1.

import CBackplane
import CHost
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let guests = HostFunctions.constant(
        bp_guests_1(
            size: HostFunctions.size(bp_guests_1.self), reserved: 0,
            count: { host in
                PluginInstance.serve(host, "guests/1 count", refused: 0) {
                    UInt32(clamping: $0.machine.seat.board.count)
                }
            },
            own: { host in
                PluginInstance.serve(host, "guests/1 own", refused: 0) { UInt32(clamping: $0.machine.seat.index + 1) }
            },
            foreground: { host in
                PluginInstance.serve(host, "guests/1 foreground", refused: 0) {
                    UInt32(clamping: ($0.machine.seat.board.foreground ?? -1) + 1)
                }
            },
            name: { host, number, text, length in
                PluginInstance.serve(host, "guests/1 name") { owner in
                    let names = owner.machine.seat.board.names
                    guard let text else { return owner.refuse("guests/1 name", "utf8", "is NULL") }
                    guard let length else { return owner.refuse("guests/1 name", "length", "is NULL") }
                    guard number > 0, names.indices.contains(Int(number) - 1) else { return status(BP_NOT_FOUND) }
                    HostFunctions.give(names[Int(number) - 1], text, length)
                    return status(BP_OK)
                }
            },
            bring: { host, number in
                PluginInstance.serve(host, "guests/1 bring") { owner in
                    do throws(MachineError) {
                        try owner.machine.bring(number)
                        return status(BP_OK)
                    } catch {
                        return status(BP_NOT_FOUND)
                    }
                }
            },
            run_when: { host, mode, quantum in
                PluginInstance.serve(host, "guests/1 run_when") { owner in
                    guard let mode = RunMode(rawValue: mode) else {
                        return owner.refuse("guests/1 run_when", "mode", "\(mode) is no BP_RUN")
                    }
                    owner.machine.setRunMode(mode, quantum: quantum, of: owner)
                    return status(BP_OK)
                }
            }))
}
