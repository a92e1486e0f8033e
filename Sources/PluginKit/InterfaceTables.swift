// The function tables of the interfaces of plugin.h, forwarding to the instance's overrides.
// SAFETY for this file: as in Handlers.swift; the tables are constants that are never freed.

/// Index of a client function: (slot << 16) | position.
@inline(__always)
private func slot(_ index: UInt32) -> Int { Int(index >> 16) }

private func buffer(_ bytes: UnsafeRawPointer?, _ length: UInt64) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : Int(clamping: length))
}

enum Tables {
    private static func constant<T>(_ value: T) -> UnsafePointer<T> {
        let memory = UnsafeMutablePointer<T>.allocate(capacity: 1)
        memory.initialize(to: value)
        return UnsafePointer(memory)
    }

    nonisolated(unsafe) static let streamClient = constant(
        bp_stream_client(
            size: UInt32(MemoryLayout<bp_stream_client>.size), reserved: 0,
            receive: { raw, index, bytes, length in
                with(raw) { $0.streamReceived(slot: slot(index), buffer(bytes, length)) }
            },
            throttle: { raw, index, on in with(raw) { $0.streamThrottled(slot: slot(index), on != 0) } },
            event: { raw, index, event in with(raw) { $0.streamEvent(slot: slot(index), .init(rawValue: event)) } }))

    nonisolated(unsafe) static let blockClient = constant(
        bp_block_client(
            size: UInt32(MemoryLayout<bp_block_client>.size), reserved: 0,
            complete: { raw, index, tag, status in
                let status = Status(rawValue: Int32(bitPattern: status))
                with(raw) { $0.blockCompleted(slot: slot(index), tag: tag, status) }
            }))

    nonisolated(unsafe) static let irqLine = constant(
        bp_irq_line(
            size: UInt32(MemoryLayout<bp_irq_line>.size), reserved: 0,
            set: { raw, index, level in with(raw) { $0.lineChanged(index, to: level != 0) } }))

    nonisolated(unsafe) static let irqController = constant(
        bp_irq_controller(
            size: UInt32(MemoryLayout<bp_irq_controller>.size), reserved: 0,
            acknowledge: { raw, _, vcpu in with(raw) { UInt32($0.acknowledge(vcpu: vcpu)) } }))

    nonisolated(unsafe) static let stream = constant(
        bp_stream(
            size: UInt32(MemoryLayout<bp_stream>.size), reserved: 0,
            write: { raw, index, bytes, length in with(raw) { $0.streamWritten(index, buffer(bytes, length)) } },
            ready: { raw, index, room in with(raw) { $0.streamReady(index, room: room) } },
            event: { raw, index, event in
                with(raw) { $0.streamEventFromClient(index, .init(rawValue: event)) }
            }))

    nonisolated(unsafe) static let block = constant(
        bp_block(
            size: UInt32(MemoryLayout<bp_block>.size), reserved: 0,
            info: { raw, index, out in
                with(raw) { instance in
                    guard var info = instance.blockInfo(index), let out else { return Status.notFound.rawValue }
                    info.size = UInt32(MemoryLayout<bp_block_info>.size)
                    out.pointee = info
                    return 0
                }
            },
            submit: { raw, index, request in
                guard let request, let operation = BlockOperation(rawValue: request.pointee.operation) else { return }
                let copy = BlockRequest(
                    operation: operation, sector: request.pointee.sector, count: request.pointee.count,
                    data: request.pointee.data, tag: request.pointee.tag)
                with(raw) { $0.blockSubmitted(index, copy) }
            },
            cancel_all: { raw, index in
                with(raw) { $0.blockCancelAll(index) }
                return 0
            }))

    nonisolated(unsafe) static let net = constant(
        bp_net(
            size: UInt32(MemoryLayout<bp_net>.size), reserved: 0,
            send: { raw, index, frame, length in with(raw) { $0.netSent(index, buffer(frame, length)) } },
            ready: { raw, index, frames in with(raw) { $0.netReady(index, frames: frames) } }))

    nonisolated(unsafe) static let netClient = constant(
        bp_net_client(
            size: UInt32(MemoryLayout<bp_net_client>.size), reserved: 0,
            receive: { raw, index, frame, length in
                with(raw) { $0.netReceived(slot: slot(index), buffer(frame, length)) }
            },
            link: { raw, index, isUp in with(raw) { $0.netLink(slot: slot(index), isUp: isUp != 0) } }))

    /// The client's side of an interface of the header, for a slot.
    static func client(of interface: StaticString) -> UnsafeRawPointer? {
        switch interface.description {
        case "stream/1": UnsafeRawPointer(streamClient)
        case "block/1": UnsafeRawPointer(blockClient)
        case "net/1": UnsafeRawPointer(netClient)
        default: nil
        }
    }
}

let queryInterface:
    @convention(c) (
        Raw, UnsafePointer<CChar>?, UInt32, UnsafePointer<bp_peer>?, UnsafeMutablePointer<bp_peer>?
    ) -> bp_status = { raw, name, index, client, out in
        guard let name, let out else { return Status.invalid.rawValue }
        let interface = String(cString: name)
        let functions: UnsafeRawPointer? = with(raw) { instance in
            switch interface {
            case "irq-line/1": return UnsafeRawPointer(Tables.irqLine)
            case "irq-controller/1": return UnsafeRawPointer(Tables.irqController)
            case "stream/1":
                if let client { instance.streamClient(index, is: StreamClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.stream)
            case "block/1":
                if let client { instance.blockClient(index, is: BlockClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.block)
            case "net/1":
                if let client { instance.netClient(index, is: NetClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.net)
            default:
                return instance.customInterface(interface, index: index, client: client?.pointee)
            }
        }
        guard let functions else { return Status.notFound.rawValue }
        out.pointee.`self` = raw
        out.pointee.index = index
        out.pointee.functions = functions
        return Status.ok.rawValue
    }
