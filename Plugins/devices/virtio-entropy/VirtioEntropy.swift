import PluginKit
import Virtio
import VirtioKit

/// A virtio entropy device: the host's random numbers, or, where runs must repeat, those of the machine file.
///
/// Source: virtio 1.2, 5.4.
final class VirtioEntropy: VirtioDevice {
    static let definition = ClassDefinition.device(
        "virtio-entropy", summary: "virtio entropy device",
        slots: [VirtioDevice.slot],
        make: { (host, _) throws(PluginError) in VirtioEntropy(host) })

    /// Bytes of one buffer at most; the driver is told how many there are.
    private static let longest: UInt32 = 4096

    private var world: World?

    override func connectDevice() throws(PluginError) -> VirtioIdentity {
        world = try host.world
        return VirtioIdentity(type: 4, features: .ofQueues, queues: 1, entries: 8, configSize: 0)
    }

    override func work(_ queue: Int, _ chain: Chain) throws(VirtQueue.Violation) -> Bool {
        guard let memory else { return false }
        let bytes = world?.entropy(count: Int(min(chain.writableLength, Self.longest))) ?? []
        finish(queue, chain, written: try chain.write(bytes, memory))
        return true
    }
}

let library = Library(
    "virtio-entropy", version: "1.0", summary: "virtio entropy device", needsMinor: 6,
    classes: [VirtioEntropy.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
