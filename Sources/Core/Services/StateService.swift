import CBackplane
import Glibc

extension ServiceTables {
    nonisolated(unsafe) static let state = HostFunctions.constant(
        bp_state_1(
            size: HostFunctions.size(bp_state_1.self), reserved: 0,
            put_unsigned: { state, key, value, flags in
                guard let state, let key else { return status(BP_INVALID) }
                return buffer(state).put(keyText(key), .unsigned(value), flags: flags)
            },
            put_bytes: { state, key, bytes, length, flags in
                guard let state, let key, length == 0 || bytes != nil, length <= 256 << 20 else {
                    return status(BP_INVALID)
                }
                let copy = [UInt8](UnsafeRawBufferPointer(start: bytes, count: Int(length)))
                return buffer(state).put(keyText(key), .bytes(copy), flags: flags)
            },
            get_unsigned: { state, key, value in
                guard let state, let key, let value else { return status(BP_INVALID) }
                switch buffer(state).get(keyText(key)) {
                case nil: return status(BP_NOT_FOUND)
                case .bytes?: return status(BP_INVALID)
                case .unsigned(let number)?:
                    value.pointee = number
                    return status(BP_OK)
                }
            },
            get_bytes: { state, key, bytes, length in
                guard let state, let key, let bytes, let length else { return status(BP_INVALID) }
                switch buffer(state).get(keyText(key)) {
                case nil: return status(BP_NOT_FOUND)
                case .unsigned?: return status(BP_INVALID)
                case .bytes(let content)?:
                    let lent = buffer(state).lend(content)
                    bytes.pointee = lent.baseAddress
                    length.pointee = UInt64(lent.count)
                    return status(BP_OK)
                }
            },
            quiesced: { host in PluginInstance.of(host).hasQuiesced = true }))

    /// SAFETY: an opaque `bp_state` is a StateBuffer that the caller of save or load holds.
    private static func buffer(_ state: OpaquePointer) -> StateBuffer {
        Unmanaged<StateBuffer>.fromOpaque(UnsafeRawPointer(state)).takeUnretainedValue()
    }

    private static func keyText(_ key: UnsafePointer<CChar>) -> String {
        HostFunctions.text(key, UInt64(strnlen(key, 256)))
    }
}
