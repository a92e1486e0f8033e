// Interfaces of plugin.h for which the bench has no peer written by hand: their ends are made from the host's own description, as those of a
// plugin's own interfaces are.
// SAFETY for this file: descriptors are constants, made once for the process and never freed.

import CBackplane
import Core

enum HeaderInterfaces {
    static func find(_ name: String) -> UnsafePointer<bp_interface>? { all[name] }

    /// Of `count` indices that a class provides, at most four that the bench's ends are wired to. The first ones of a PCI bus are what the board
    /// itself has: the bridge, and the one to ISA.
    static func indices(_ name: String, count: Int) -> Range<Int> {
        let first = name == "pci/1" ? min(2, count) : 0
        return first..<min(count, first + 4)
    }

    /// Whether the function's last argument is the level of a line that the others name: its driver holds it, across a reset and beside a copy.
    static func isLevel(_ interface: String, _ function: String) -> Bool {
        (interface, function) == ("pci/1", "intx") || (interface, function) == ("irq-controller/1", "intr")
    }

    /// What the bench's end fills into a struct, behind its size; nil: zeros, which say something in most of them.
    static func filling(_ interface: String, _ function: String) -> [UInt8]? {
        guard interface == "virtio/1", function == "device" else { return nil }
        // A block device that offers VERSION_1 and what goes with queues, with 2 queues of at most 64 entries and 16 bytes of configuration.
        let features: UInt64 = 1 << 32 | 1 << 29 | 1 << 28 | 1 << 40
        let words: [UInt32] = [2, UInt32(truncatingIfNeeded: features), UInt32(features >> 32), 2, 64, 16]
        return words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    nonisolated(unsafe) private static let all: [String: UnsafePointer<bp_interface>] = {
        var all: [String: UnsafePointer<bp_interface>] = [:]
        for name in ["display/1", "dma-channel/1", "input/1", "irq-controller/1", "pci/1", "tables/1", "virtio/1"] {
            if let descriptor = InterfaceDescriptor.known(name) {
                all[name] = UnsafePointer(constant(form(descriptor)))
            }
        }
        return all
    }()

    private static func form(_ descriptor: InterfaceDescriptor) -> bp_interface {
        bp_interface(
            size: UInt32(MemoryLayout<bp_interface>.size), provider_count: UInt32(descriptor.provider.count),
            client_count: UInt32(descriptor.client.count), name: text(descriptor.name),
            provider: array(descriptor.provider.map(form)), client: array(descriptor.client.map(form)))
    }

    private static func form(_ function: InterfaceDescriptor.Function) -> UnsafePointer<bp_function>? {
        UnsafePointer(
            constant(
                bp_function(
                    size: UInt32(MemoryLayout<bp_function>.size), result: function.result.rawValue,
                    flags: UInt16(function.isAsynchronous ? BP_FUNCTION_ASYNC : 0), name: text(function.name),
                    parameters: array(function.parameters.map(\.rawValue)),
                    parameter_count: UInt32(function.parameters.count), since: 0)))
    }

    private static func constant<T>(_ value: T) -> UnsafeMutablePointer<T> {
        let pointer = UnsafeMutablePointer<T>.allocate(capacity: 1)
        pointer.initialize(to: value)
        return pointer
    }

    private static func array<T>(_ values: [T]) -> UnsafePointer<T> {
        let pointer = UnsafeMutablePointer<T>.allocate(capacity: max(values.count, 1))
        pointer.initialize(from: values, count: values.count)
        return UnsafePointer(pointer)
    }

    private static func text(_ text: String) -> UnsafePointer<CChar> { array(Array(text.utf8CString)) }
}
