import Glibc
import PluginKit

/// The host file that a report goes to. Opened and left as it is until `replace`; closed with the instance.
final class ReportFile {
    private let path: String
    private let descriptor: Int32

    init(_ path: String) throws(PluginError) {
        // Not blocking: opening a pipe that nobody reads fails instead of hanging.
        let flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
        let (descriptor, code) = path.withCString { name in
            let descriptor = open(name, flags, 0o644)
            return (descriptor, errno)
        }
        guard descriptor >= 0 else {
            let text = String(cString: strerror(code))
            throw PluginError("cannot open \(path) for the report: \(text)", status: .ioError)
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// The sentence that says what failed, nil: done.
    func replace(with text: String) -> String? {
        // Pipes and terminals have no length to cut.
        if ftruncate(descriptor, 0) != 0, errno != EINVAL { return failure(errno) }
        var copy = text
        let code = copy.withUTF8 { utf8 -> Int32 in
            var rest = UnsafeRawBufferPointer(utf8)
            while !rest.isEmpty {
                let count = write(descriptor, rest.baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
            }
            return 0
        }
        return code == 0 ? nil : failure(code)
    }

    private func failure(_ code: Int32) -> String {
        "cannot write the report to \(path): " + String(cString: strerror(code))
    }
}
