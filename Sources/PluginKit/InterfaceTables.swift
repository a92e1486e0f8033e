// The function tables of the interfaces of plugin.h, forwarding to the instance's overrides.
// SAFETY for this file: as in Handlers.swift; the tables are constants that are never freed.

/// Index of a client function: (slot << 16) | position.
@inline(__always)
private func slot(_ index: UInt32) -> Int { Int(index >> 16) }
private func position(_ index: UInt32) -> Int { Int(index & 0xffff) }

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
                with(raw) {
                    $0.streamReceived(slot: slot(index), position: position(index), buffer(bytes, length))
                }
            },
            throttle: { raw, index, on in
                with(raw) { $0.streamThrottled(slot: slot(index), position: position(index), on != 0) }
            },
            event: { raw, index, event in
                with(raw) {
                    $0.streamEvent(slot: slot(index), position: position(index), .init(rawValue: event))
                }
            },
            window: { raw, index, columns, rows in
                with(raw) {
                    $0.streamWindow(
                        slot: slot(index), position: position(index), columns: Int(columns), rows: Int(rows))
                }
            }))

    nonisolated(unsafe) static let blockClient = constant(
        bp_block_client(
            size: UInt32(MemoryLayout<bp_block_client>.size), reserved: 0,
            complete: { raw, index, tag, status in
                let status = Status(rawValue: Int32(bitPattern: status))
                with(raw) { $0.blockCompleted(slot: slot(index), tag: tag, status) }
            }, resized: { raw, index, sectors in with(raw) { $0.blockResized(slot: slot(index), sectors: sectors) } }))

    nonisolated(unsafe) static let irqLine = constant(
        bp_irq_line(
            size: UInt32(MemoryLayout<bp_irq_line>.size), reserved: 0,
            set: { raw, index, level in with(raw) { $0.lineChanged(index, to: level != 0) } }))

    nonisolated(unsafe) static let irqController = constant(
        bp_irq_controller(
            size: UInt32(MemoryLayout<bp_irq_controller>.size), reserved: 0,
            acknowledge: { raw, _, vcpu in with(raw) { UInt32($0.acknowledge(vcpu: vcpu)) } },
            message: { raw, _, address, data, requester in
                with(raw) { $0.interruptMessage(address: address, data: data, requester: requester) }
            }))

    nonisolated(unsafe) static let irqControllerClient = constant(
        bp_irq_controller_client(
            size: UInt32(MemoryLayout<bp_irq_controller_client>.size), reserved: 0,
            intr: { raw, index, vcpu, level in
                with(raw) { $0.controllerOutput(slot: slot(index), vcpu: vcpu, to: level != 0) }
            },
            eoi: { raw, index, vcpu, vector in
                let vector = UInt8(truncatingIfNeeded: vector)
                with(raw) { $0.interruptEnded(slot: slot(index), vcpu: vcpu, vector: vector) }
            }))

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
                    return fill(out, info) ? 0 : Status.invalid.rawValue
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
            },
            insert: { raw, index, bytes, length, flags in
                guard let path = String(validating: buffer(bytes, length), as: UTF8.self), !path.utf8.contains(0) else {
                    return Status.invalid.rawValue
                }
                return reporting(raw) { (instance) throws(PluginError) in
                    try instance.blockInsert(
                        index, path: path, isReadOnly: flags & UInt32(BP_BLOCK_READ_ONLY) != 0)
                }
            }))

    nonisolated(unsafe) static let pci = constant(
        bp_pci(
            size: UInt32(MemoryLayout<bp_pci>.size), reserved: 0,
            intx: { raw, index, pin, level in
                guard (1...4).contains(pin) else { return }
                with(raw) { $0.pciINTx(index, pin: UInt8(pin), to: level != 0) }
            },
            location: { raw, index in with(raw) { UInt32($0.pciLocation(index)) } }))

    /// Whether a place in configuration space is one that an access can have.
    private static func isConfigPlace(_ offset: UInt32, _ width: UInt32) -> Bool {
        [1, 2, 4].contains(width) && offset < 4096 && offset & (width - 1) == 0
    }

    /// The place behind a bridge that an access is for; nil: the function's own.
    private static func placeBehind(_ offset: UInt32) -> PCIPlace? {
        offset & BP_PCI_BEHIND == 0 ? nil : PCIPlace(behind: offset)
    }

    nonisolated(unsafe) static let pciClient = constant(
        bp_pci_client(
            size: UInt32(MemoryLayout<bp_pci_client>.size), reserved: 0,
            config_read: { raw, index, offset, width, flags, out in
                let place = placeBehind(offset)
                let offset = place == nil ? offset : offset & 0xfff
                guard let out, isConfigPlace(offset, width) else { return Status.invalid.rawValue }
                let isPeek = flags & UInt32(BP_PCI_PEEK) != 0
                let value = with(raw) { instance in
                    guard let place else {
                        return instance.pciConfigRead(
                            slot: slot(index), UInt16(offset), width: UInt8(width), isPeek: isPeek)
                    }
                    return instance.pciConfigRead(
                        slot: slot(index), behind: place, UInt16(offset), width: UInt8(width), isPeek: isPeek)
                }
                out.pointee = value ?? .max
                return Status.ok.rawValue
            },
            config_write: { raw, index, offset, width, value in
                let place = placeBehind(offset)
                let offset = place == nil ? offset : offset & 0xfff
                guard isConfigPlace(offset, width) else { return Status.invalid.rawValue }
                with(raw) { instance in
                    guard let place else {
                        return instance.pciConfigWrite(slot: slot(index), UInt16(offset), width: UInt8(width), value)
                    }
                    instance.pciConfigWrite(
                        slot: slot(index), behind: place, UInt16(offset), width: UInt8(width), value)
                }
                return Status.ok.rawValue
            },
            bus_reset: { raw, index in with(raw) { $0.pciBusReset(slot: slot(index)) } }))

    nonisolated(unsafe) static let tables = constant(
        bp_tables(
            size: UInt32(MemoryLayout<bp_tables>.size), reserved: 0,
            count: { raw, index in with(raw) { UInt32(clamping: $0.tableFiles(index).count) } },
            describe: { raw, index, number, out in
                with(raw) { instance in
                    let files = instance.tableFiles(index)
                    guard let out, files.indices.contains(Int(number)) else { return Status.notFound.rawValue }
                    var file = bp_table_file()
                    file.size = UInt32(MemoryLayout<bp_table_file>.size)
                    file.length = UInt64(files[Int(number)].bytes.count)
                    withUnsafeMutableBytes(of: &file.name) {
                        $0.copyBytes(from: files[Int(number)].name.utf8.prefix(55))
                    }
                    return fill(out, file) ? 0 : Status.invalid.rawValue
                }
            },
            read: { raw, index, number, offset, bytes, length in
                with(raw) { instance in
                    let files = instance.tableFiles(index)
                    guard files.indices.contains(Int(number)) else { return Status.notFound.rawValue }
                    let contents = files[Int(number)].bytes
                    guard offset <= UInt64(contents.count), length <= UInt64(contents.count) - offset,
                        length == 0 || bytes != nil
                    else { return Status.outOfRange.rawValue }
                    contents[Int(offset)..<Int(offset + length)].withUnsafeBytes { part in
                        UnsafeMutableRawBufferPointer(start: bytes, count: part.count).copyMemory(from: part)
                    }
                    return Status.ok.rawValue
                }
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

    nonisolated(unsafe) static let display = constant(
        bp_display(
            size: UInt32(MemoryLayout<bp_display>.size), reserved: 0,
            surface: { raw, index, surface in
                guard let surface = whole(surface) else { return }
                with(raw) { $0.displaySurface(index, surface) }
            },
            cells: { raw, index, cells in
                guard let cells = whole(cells) else { return }
                with(raw) { $0.displayCells(index, cells) }
            },
            damage: { raw, index, x, y, width, height in
                let damage = DisplayDamage(x: x, y: y, width: width, height: height)
                with(raw) { $0.displayDamage(index, damage) }
            },
            frame: { raw, index, time in with(raw) { $0.displayFrame(index, at: time) } }))

    /// nil: shorter than it has been from the first.
    private static func whole<T>(_ pointer: UnsafePointer<T>?) -> T? {
        guard let pointer, UnsafeRawPointer(pointer).load(as: UInt32.self) >= MemoryLayout<T>.size else { return nil }
        return pointer.pointee
    }

    nonisolated(unsafe) static let displayClient = constant(
        bp_display_client(
            size: UInt32(MemoryLayout<bp_display_client>.size), reserved: 0,
            refresh: { raw, index, flags in
                let all = flags & UInt32(BP_REFRESH_ALL) != 0
                with(raw) { $0.displayRefresh(slot: slot(index), position: position(index), all: all) }
            }))

    nonisolated(unsafe) static let input = constant(
        bp_input(
            size: UInt32(MemoryLayout<bp_input>.size), reserved: 0,
            event: { raw, index, type, code, value in
                with(raw) { $0.inputEvent(index, InputEvent(type: type, code: code, value: value)) }
            },
            takes: { raw, index, out in
                guard let out else { return Status.invalid.rawValue }
                out.pointee = with(raw) { $0.inputKinds(index).rawValue }
                return Status.ok.rawValue
            }))

    nonisolated(unsafe) static let inputClient = constant(
        bp_input_client(
            size: UInt32(MemoryLayout<bp_input_client>.size), reserved: 0,
            leds: { raw, index, mask in
                let lamps = InputLamps(rawValue: mask)
                with(raw) { $0.inputLamps(slot: slot(index), position: position(index), lamps) }
            }))

    nonisolated(unsafe) static let dmaChannel = constant(
        bp_dma_channel(
            size: UInt32(MemoryLayout<bp_dma_channel>.size), reserved: 0,
            request: { raw, index, direction in
                with(raw) { $0.dmaRequested(index, DMADirection(rawValue: direction)) }
            },
            write: { raw, index, bytes, length in
                guard length <= UInt64(BP_DMA_MOST) else { return }
                with(raw) { $0.dmaWritten(index, buffer(bytes, length)) }
            },
            read: { raw, index, length in
                guard length <= UInt64(BP_DMA_MOST) else { return }
                with(raw) { $0.dmaReadAsked(index, Int(length)) }
            },
            interrupt: { raw, index, level in with(raw) { $0.dmaInterrupt(index, to: level != 0) } }))

    nonisolated(unsafe) static let dmaChannelClient = constant(
        bp_dma_channel_client(
            size: UInt32(MemoryLayout<bp_dma_channel_client>.size), reserved: 0,
            ready: { raw, index, on in with(raw) { $0.dmaReady(slot: slot(index), on != 0) } },
            moved: { raw, index, length in with(raw) { $0.dmaMoved(slot: slot(index), Int(clamping: length)) } },
            data: { raw, index, bytes, length in
                with(raw) { $0.dmaRead(slot: slot(index), buffer(bytes, length)) }
            }))

    nonisolated(unsafe) static let virtio = constant(
        bp_virtio(
            size: UInt32(MemoryLayout<bp_virtio>.size), reserved: 0,
            used: { raw, index, queue in with(raw) { $0.virtioUsed(index, queue: queue) } },
            config_changed: { raw, index in with(raw) { $0.virtioConfigChanged(index) } },
            needs_reset: { raw, index in with(raw) { $0.virtioNeedsReset(index) } }))

    nonisolated(unsafe) static let virtioClient = constant(
        bp_virtio_client(
            size: UInt32(MemoryLayout<bp_virtio_client>.size), reserved: 0,
            device: { raw, index, out in
                guard let out else { return Status.invalid.rawValue }
                let description = with(raw) { $0.virtioDescription(slot: slot(index)) }
                return fill(out, description.raw) ? Status.ok.rawValue : Status.invalid.rawValue
            },
            status: { raw, index, status, features in
                let isTaken = with(raw) {
                    $0.virtioStatus(slot: slot(index), VirtioStatus(rawValue: status), features: features)
                }
                return isTaken ? Status.ok.rawValue : Status.invalid.rawValue
            },
            queue: { raw, index, queue, place in
                guard let place = whole(place) else { return Status.invalid.rawValue }
                let layout = VirtioQueueLayout(raw: place)
                with(raw) { $0.virtioQueue(slot: slot(index), queue, is: layout) }
                return Status.ok.rawValue
            },
            kick: { raw, index, queue in with(raw) { $0.virtioKicked(slot: slot(index), queue: queue) } },
            config_read: { raw, index, offset, width, flags, out in
                guard let out, isVirtioPlace(offset, width) else { return Status.invalid.rawValue }
                let isPeek = flags & UInt32(BP_VIRTIO_PEEK) != 0
                out.pointee = with(raw) {
                    $0.virtioConfigRead(slot: slot(index), offset, width: UInt8(width), isPeek: isPeek)
                }
                return Status.ok.rawValue
            },
            config_write: { raw, index, offset, width, value in
                guard isVirtioPlace(offset, width) else { return Status.invalid.rawValue }
                with(raw) { $0.virtioConfigWrite(slot: slot(index), offset, width: UInt8(width), value) }
                return Status.ok.rawValue
            }))

    /// Whether a place is one that an access of configuration space can have.
    private static func isVirtioPlace(_ offset: UInt32, _ width: UInt32) -> Bool {
        [1, 2, 4].contains(width) && offset & (width - 1) == 0
    }

    /// Fills in as much of a struct as its owner has room for, and says how much. False: not even its size.
    private static func fill<T>(_ out: UnsafeMutablePointer<T>, _ value: T) -> Bool {
        let raw = UnsafeMutableRawPointer(out)
        let room = min(Int(raw.load(as: UInt32.self)), MemoryLayout<T>.size)
        guard room >= 4 else { return false }
        withUnsafeBytes(of: value) { raw.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: room) }
        raw.storeBytes(of: UInt32(room), as: UInt32.self)
        return true
    }

    /// The client's side of an interface of the header, for a slot.
    static func client(of interface: StaticString) -> UnsafeRawPointer? {
        switch interface.description {
        case "stream/1": UnsafeRawPointer(streamClient)
        case "block/1": UnsafeRawPointer(blockClient)
        case "irq-controller/1": UnsafeRawPointer(irqControllerClient)
        case "pci/1": UnsafeRawPointer(pciClient)
        case "net/1": UnsafeRawPointer(netClient)
        case "display/1": UnsafeRawPointer(displayClient)
        case "input/1": UnsafeRawPointer(inputClient)
        case "dma-channel/1": UnsafeRawPointer(dmaChannelClient)
        case "virtio/1": UnsafeRawPointer(virtioClient)
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
            case "irq-controller/1":
                if let client { instance.controllerClient(index, is: ControllerClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.irqController)
            case "stream/1":
                if let client { instance.streamClient(index, is: StreamClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.stream)
            case "block/1":
                if let client { instance.blockClient(index, is: BlockClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.block)
            case "pci/1":
                if let client { instance.pciFunction(index, is: PCIFunctionClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.pci)
            case "tables/1": return UnsafeRawPointer(Tables.tables)
            case "net/1":
                if let client { instance.netClient(index, is: NetClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.net)
            case "display/1":
                if let client { instance.displayClient(index, is: DisplayClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.display)
            case "input/1":
                if let client { instance.inputClient(index, is: InputClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.input)
            case "dma-channel/1":
                if let client { instance.dmaClient(index, is: DMAChannelClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.dmaChannel)
            case "virtio/1":
                if let client { instance.virtioClient(index, is: VirtioClient(peer: client.pointee)) }
                return UnsafeRawPointer(Tables.virtio)
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
