// What a plugin reaches through its context: `service`, `fail`, `reply`.
// SAFETY for this folder: `host` is the context of a live instance; pointers are the plugin's and valid for the call.

import CBackplane
import CHost

enum HostFunctions {
    static let service: @convention(c) (UnsafePointer<bp_host>?, UnsafePointer<CChar>?) -> UnsafeRawPointer? = {
        host, name in
        guard let name else { return nil }
        let instance = PluginInstance.of(host)
        switch String(cString: name) {
        case "io/1": return UnsafeRawPointer(ServiceTables.io)
        case "memory/1": return UnsafeRawPointer(ServiceTables.memory)
        case "irq/1": return UnsafeRawPointer(ServiceTables.irq)
        case "clock/1": return UnsafeRawPointer(ServiceTables.clock)
        case "events/1": return UnsafeRawPointer(ServiceTables.events)
        case "log/1": return UnsafeRawPointer(ServiceTables.log)
        case "state/1": return UnsafeRawPointer(ServiceTables.state)
        case "machine/1": return UnsafeRawPointer(ServiceTables.machine)
        case "host/1": return UnsafeRawPointer(ServiceTables.world)
        case "wiring/1": return UnsafeRawPointer(ServiceTables.wiring)
        case "console/1": return instance.machine.options.console.map { _ in UnsafeRawPointer(ServiceTables.console) }
        case "vcpu/1": return UnsafeRawPointer(ServiceTables.vcpu)
        case "exit/1":
            return instance.description.type.kind == .policy ? UnsafeRawPointer(ServiceTables.exit) : nil
        case "guests/1":
            return instance.description.type.kind == .policy ? UnsafeRawPointer(ServiceTables.guests) : nil
        default: return nil
        }
    }

    static let fail: @convention(c) (UnsafePointer<bp_host>?, UnsafePointer<CChar>?, UInt64) -> Void = {
        host, text, length in
        PluginInstance.of(host).failure = HostFunctions.text(text, length)
    }

    static let reply: @convention(c) (UnsafePointer<bp_host>?, UnsafeRawPointer?, UInt64) -> Void = {
        host, bytes, length in
        guard let bytes else { return }
        let count = Int(min(length, 16 << 20))
        PluginInstance.of(host).reply = [UInt8](UnsafeRawBufferPointer(start: bytes, count: count))
    }

    /// At most 64 KiB; control characters but newline and tab are shown as '?', so that a plugin cannot drive a terminal.
    static func text(_ text: UnsafePointer<CChar>?, _ length: UInt64) -> String {
        guard let text else { return "" }
        let bytes = UnsafeRawBufferPointer(start: text, count: Int(min(length, 65536)))
        let clean = String(decoding: bytes, as: UTF8.self).unicodeScalars.map { scalar in
            (scalar.value < 32 && scalar != "\n" && scalar != "\t") || scalar.value == 127 ? "?" : Character(scalar)
        }
        return String(clean)
    }

    static func constant<T>(_ value: T) -> UnsafePointer<T> {
        let memory = UnsafeMutablePointer<T>.allocate(capacity: 1)
        memory.initialize(to: value)
        return UnsafePointer(memory)
    }

    static func size<T>(_ type: T.Type) -> UInt32 { UInt32(MemoryLayout<T>.size) }
}

/// The tables are constants: allocated once for the process, never written again.
enum ServiceTables {}

func status(_ constant: Int) -> bp_status { Int32(truncatingIfNeeded: constant) }
