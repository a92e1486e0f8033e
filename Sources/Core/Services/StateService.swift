import CBackplane
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let state = HostFunctions.constant(
        bp_state_1(
            size: HostFunctions.size(bp_state_1.self), reserved: 0,
            put_unsigned: { state, key, value, flags in
                put(state, "state/1 put_unsigned", key, flags) { _ in .unsigned(value) }
            },
            put_bytes: { state, key, bytes, length, flags in
                put(state, "state/1 put_bytes", key, flags) { owner in
                    guard length == 0 || bytes != nil else {
                        _ = owner.refuse("state/1 put_bytes", "bytes", "is NULL")
                        return nil
                    }
                    guard length <= StateBuffer.limits.bytes else {
                        _ = owner.refuse("state/1 put_bytes", "length", "is more than 256 MiB")
                        return nil
                    }
                    return .bytes([UInt8](UnsafeRawBufferPointer(start: bytes, count: Int(length))))
                }
            },
            get_unsigned: { state, key, value in
                get(state, "state/1 get_unsigned", key) { owner, _, content in
                    guard let value else { return owner.refuse("state/1 get_unsigned", "value", "is NULL") }
                    guard case .unsigned(let number) = content else { return status(BP_INVALID) }
                    value.pointee = number
                    return status(BP_OK)
                }
            },
            get_bytes: { state, key, bytes, length in
                get(state, "state/1 get_bytes", key) { owner, buffer, content in
                    guard let bytes else { return owner.refuse("state/1 get_bytes", "bytes", "is NULL") }
                    guard let length else { return owner.refuse("state/1 get_bytes", "length", "is NULL") }
                    guard case .bytes(let content) = content else { return status(BP_INVALID) }
                    let lent = buffer.lend(content)
                    bytes.pointee = lent.baseAddress
                    length.pointee = UInt64(lent.count)
                    return status(BP_OK)
                }
            },
            quiesced: { host in PluginInstance.serve(host, "state/1 quiesced", refused: ()) { $0.hasQuiesced = true } })
    )

    /// SAFETY: an opaque `bp_state` is the instance that was handed it (`PluginInstance.stateHandle`).
    private static func serve(
        _ state: OpaquePointer?, _ service: StaticString, _ key: UnsafePointer<CChar>?, isLoading: Bool,
        _ body: (PluginInstance, StateBuffer, String) -> bp_status
    ) -> bp_status {
        guard let state else { return status(BP_INVALID) }
        let instance = Unmanaged<PluginInstance>.fromOpaque(UnsafeRawPointer(state)).takeUnretainedValue()
        return PluginInstance.serve(instance.context, service) { owner in
            guard let open = owner.openState, open.isLoading == isLoading else {
                return owner.refuse(
                    service, "state", isLoading ? "is not of a load now" : "is not of a save now", BP_REFUSED)
            }
            guard let key else { return owner.refuse(service, "key", "is NULL") }
            return body(owner, open.buffer, HostFunctions.text(key, UInt64(strnlen(key, 256))))
        }
    }

    private static func put(
        _ state: OpaquePointer?, _ service: StaticString, _ key: UnsafePointer<CChar>?, _ flags: UInt32,
        _ content: (PluginInstance) -> StateBuffer.Content?
    ) -> bp_status {
        serve(state, service, key, isLoading: false) { owner, buffer, key in
            guard !key.isEmpty, key.utf8.count <= 255 else {
                return owner.refuse(service, "key", "has not 1 to 255 bytes")
            }
            guard buffer.fields[key] == nil else { return owner.refuse(service, "key", "'\(key)' is put twice") }
            guard let content = content(owner) else { return status(BP_INVALID) }
            return buffer.put(key, content, flags: flags)
        }
    }

    private static func get(
        _ state: OpaquePointer?, _ service: StaticString, _ key: UnsafePointer<CChar>?,
        _ body: (PluginInstance, StateBuffer, StateBuffer.Content) -> bp_status
    ) -> bp_status {
        serve(state, service, key, isLoading: true) { owner, buffer, key in
            guard let content = buffer.get(key) else { return status(BP_NOT_FOUND) }
            return body(owner, buffer, content)
        }
    }
}
