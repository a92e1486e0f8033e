// What a plugin reaches through its context: `service`, `fail`, `reply`.
// SAFETY for this folder: `host` is the context of a live instance; pointers are the plugin's and valid for the call.

import CBackplane
import CHost

enum HostFunctions {
    static let service: @convention(c) (UnsafePointer<bp_host>?, UnsafePointer<CChar>?) -> UnsafeRawPointer? = {
        host, name in
        guard let name, let instance = PluginInstance.of(host) else { return nil }
        switch String(cString: name) {
        case "io/1": return UnsafeRawPointer(ServiceTables.io)
        case "memory/1": return UnsafeRawPointer(ServiceTables.memory)
        case "irq/1": return UnsafeRawPointer(ServiceTables.irq)
        case "msi/1": return UnsafeRawPointer(ServiceTables.messages)
        case "clock/1": return UnsafeRawPointer(ServiceTables.clock)
        case "events/1": return UnsafeRawPointer(ServiceTables.events)
        case "log/1": return UnsafeRawPointer(ServiceTables.log)
        case "state/1": return UnsafeRawPointer(ServiceTables.state)
        case "machine/1": return UnsafeRawPointer(ServiceTables.machine)
        case "host/1": return UnsafeRawPointer(ServiceTables.world)
        case "wiring/1": return UnsafeRawPointer(ServiceTables.wiring)
        case "survey/1": return UnsafeRawPointer(ServiceTables.survey)
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
        PluginInstance.serve(host, "fail", .always, refused: ()) { $0.failure = HostFunctions.text(text, length) }
    }

    static let reply: @convention(c) (UnsafePointer<bp_host>?, UnsafeRawPointer?, UInt64) -> Void = {
        host, bytes, length in
        guard let bytes else { return }
        let count = Int(min(length, 16 << 20))
        PluginInstance.serve(host, "reply", refused: ()) {
            $0.reply = [UInt8](UnsafeRawBufferPointer(start: bytes, count: count))
        }
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

    /// A text for the caller's buffer of `length` bytes, which then says how many were filled in.
    static func give(_ text: String, _ buffer: UnsafeMutablePointer<CChar>, _ length: UnsafeMutablePointer<UInt64>) {
        let bytes = Array(text.utf8.prefix(Int(clamping: length.pointee)))
        UnsafeMutableRawPointer(buffer).copyMemory(from: bytes, byteCount: bytes.count)
        length.pointee = UInt64(bytes.count)
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
