import PluginKit

@testable import TraceFormat

/// A record with the numbers of the SDM and of plugin.h written out.
func exit(
    _ reason: UInt16, flags: UInt16 = 0, vcpu: UInt32 = 0, width: UInt32 = 0, rip: UInt64 = 0, address: UInt64 = 0,
    value: UInt64 = 0, time: UInt64 = 0
) -> bp_exit {
    var exit = bp_exit()
    exit.reason = reason
    exit.flags = flags
    exit.vcpu = vcpu
    exit.width = width
    exit.rip = rip
    exit.address = address
    exit.value = value
    exit.time = time
    return exit
}

extension ByteBuffer {
    var text: String {
        withPending { span in
            var bytes: [UInt8] = []
            for index in span.indices { bytes.append(span[index]) }
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}

extension TraceEncoder {
    @discardableResult
    mutating func append(_ exit: bp_exit, verdict: UInt32 = 0, ns: UInt64 = 0, owner: String = "") -> Bool {
        append(exit, verdict: verdict, nanoseconds: ns, owner: Array(owner.utf8).span)
    }
}
