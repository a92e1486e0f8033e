import BackendSupport
import PluginKit

/// A stream with nobody at the other end: takes everything, gives nothing. Carrier is on, so that a guest which waits
/// for it starts to write.
final class NullBackend: StreamBackend {
    static let definition = ClassDefinition.backend(
        "null", summary: "swallows what the guest writes, and gives it nothing to read",
        provides: [Provides("stream/1", doc: "the stream that goes nowhere")],
        make: { (host, _) in
            let backend = NullBackend(host)
            backend.setCarrier(true)
            return backend
        })
}

let library = Library(
    "null", version: "1.0", summary: "a stream that goes nowhere", needsMinor: 0, classes: [NullBackend.definition])

@c(backplane_plugin)
public func backplanePlugin(_ major: UInt32, _ minor: UInt32) -> UnsafePointer<bp_plugin>? {
    library.descriptor(hostMajor: major, hostMinor: minor)
}
