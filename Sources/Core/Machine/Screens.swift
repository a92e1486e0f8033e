// What devices show, as the operator looks at it: the host is one more that looks, behind the wires that the machine file gives a "display/1"
// slot. It asks only when the operator does, and knows the interface, not the device.
// SAFETY for this file: the host's end of a wire is kept by its machine, which outlives its instances; structs are the plugin's, valid for the
// call; regions live as long as the machine.

public import CBackplane
import CHost

/// What a screen shows now. Regions are the device's memory, valid while the machine's lock is held; what the structs say of them is the plugin's
/// word, and to be checked.
public enum ShownPicture {
    /// Nothing: the screen is dark.
    case dark
    case cells(bp_display_cells, UnsafeRawBufferPointer)
    /// `palette`: of indexed pixels.
    case surface(bp_display_surface, UnsafeRawBufferPointer, palette: UnsafeRawBufferPointer)
}

/// The host's end of a "display/1" wire.
final class ScreenEnd {
    unowned(unsafe) let machine: Machine
    let instance: PluginInstance
    /// Of the client's functions: (slot << 16) | position.
    let index: UInt32
    let slot: String
    private let client: UnsafePointer<bp_display_client>
    private var shown: Shown?
    private var isWhole = false

    private enum Shown {
        case cells(bp_display_cells)
        case surface(bp_display_surface)
    }

    init(
        _ machine: Machine, _ instance: PluginInstance, _ index: UInt32, slot: String,
        client: UnsafePointer<bp_display_client>
    ) {
        (self.machine, self.instance, self.index, self.slot, self.client) = (machine, instance, index, slot, client)
    }

    /// What the device calls.
    var peer: bp_peer {
        bp_peer(
            size: HostFunctions.size(bp_peer.self), index: 0, self: Unmanaged.passUnretained(self).toOpaque(),
            functions: UnsafeRawPointer(ScreenEnd.table))
    }

    /// With the lock held. Asks for everything: an operator looks seldom, and the device may have forgotten what it said.
    func picture() throws(MachineError) -> ShownPicture {
        guard !instance.isOffline, instance.phase == .connected else {
            throw MachineError("'\(instance.id)' is off line")
        }
        (shown, isWhole) = (nil, false)
        instance.call(ch_activity_interface) { client.pointee.refresh(instance.raw, index, UInt32(BP_REFRESH_ALL)) }
        machine.drain()
        guard isWhole, let shown else { throw MachineError("'\(instance.id)' has not answered with a picture") }
        switch shown {
        case .cells(let cells): return .cells(cells, try region(cells.region))
        case .surface(let surface) where surface.width == 0 || surface.height == 0: return .dark
        case .surface(let surface):
            let isIndexed = surface.format == UInt32(BP_PIXELS_INDEXED8)
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            return .surface(
                surface, try region(surface.region), palette: isIndexed ? try region(surface.palette_region) : none)
        }
    }

    private func region(_ id: bp_id) throws(MachineError) -> UnsafeRawBufferPointer {
        guard let region = machine.memory.region(of: id) else {
            throw MachineError("'\(instance.id)' shows what is in no region")
        }
        return UnsafeRawBufferPointer(start: region.bytes.baseAddress, count: Int(region.length))
    }

    // MARK: What the device calls

    nonisolated(unsafe) private static let table = HostFunctions.constant(
        bp_display(
            size: HostFunctions.size(bp_display.self), reserved: 0,
            surface: { raw, _, surface in
                guard let surface, let copy = take(surface, bp_display_surface()) else { return }
                with(raw) { $0.shown = .surface(copy) }
            },
            cells: { raw, _, cells in
                guard let cells, let copy = take(cells, bp_display_cells()) else { return }
                with(raw) { $0.shown = .cells(copy) }
            },
            damage: { _, _, _, _, _, _ in },
            frame: { raw, _, _ in with(raw) { $0.isWhole = true } }))

    private static func take<T: BitwiseCopyable>(_ pointer: UnsafePointer<T>, _ empty: T) -> T? {
        PassedStruct.read(pointer, least: HostFunctions.size(T.self), empty: empty)
    }

    private static func with(_ raw: UnsafeMutableRawPointer?, _ body: (ScreenEnd) -> Void) {
        guard let raw else { return }
        let end = Unmanaged<ScreenEnd>.fromOpaque(raw).takeUnretainedValue()
        // A plugin that calls from a thread of its own breaks its contract: nothing is changed under who holds the lock.
        if end.machine.lock.isMine { body(end) }
    }
}

extension Machine {
    /// While assembling: the host's wires to what the instance shows, after those of the machine file.
    func watchScreens(of instance: PluginInstance) {
        for (slot, description) in instance.description.type.slots.enumerated()
        where description.interface == "display/1" && (description.isMany || instance.wires[slot].isEmpty) {
            let known = InterfaceDescriptor.standard["display/1"]?.client ?? []
            guard instance.raw != nil,
                let table = wireTable.completed(instance.type.pointee.slots?[slot]?.pointee.client, known)
            else { continue }
            let end = ScreenEnd(
                self, instance, UInt32(slot) << 16 | UInt32(instance.wires[slot].count), slot: description.name,
                client: table.assumingMemoryBound(to: bp_display_client.self))
            screens.append(end)
            instance.wires[slot].append(WireEnd(peer: end.peer, line: nil, driver: 0))
        }
    }

    /// Ids of the instances that show something, in the order of the machine file.
    public var screenNames: [String] { (try? locked { () in screens.map(\.instance.id) }) ?? [] }

    /// What a screen shows, looked at with the lock held. nil: the first one that there is.
    public func look<R>(
        at name: String?, _ body: (ShownPicture) throws(MachineError) -> R
    ) throws(MachineError) -> R {
        try locked { () throws(MachineError) in
            guard let screen = screens.first(where: { name == nil || $0.instance.id == name }) else {
                throw MachineError(
                    name.map { "'\($0)' is no instance with a screen" }
                        ?? "nothing in the machine has a screen (a slot for display/1), as the plugin vga has")
            }
            return try body(try screen.picture())
        }
    }
}
