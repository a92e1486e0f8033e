import BackendSupport
import CBackendSupport
import Foundation
import NBDClient
import SplitMix
import Testing

/// Servers that break the protocol.
@Suite(.serialized) struct HostileServerTests {
    /// What it says to whom connects; then it ends the connection.
    private final class Speaker: Sendable {
        let path: String
        private let listener: Descriptor
        private let bytes: [UInt8]

        init(_ folder: Folder, _ bytes: [UInt8]) throws {
            path = folder.path + "/" + UUID().uuidString.prefix(8)
            listener = try Descriptor(checking: bh_unix_listen(path))
            self.bytes = bytes
        }

        func start() throws {
            _ = try WorkerThread("speaker") { [self] in
                guard bh_poll(listener.raw, Int16(POLLIN), 5000) > 0,
                    let end = try? Descriptor(checking: bh_accept(listener.raw))
                else { return }
                _ = bytes.withUnsafeBytes { end.send($0) }
                _ = bh_poll(end.raw, Int16(POLLIN), 20)
            }
        }
    }

    private func outcome(_ bytes: [UInt8], _ folder: Folder) throws -> NBDError? {
        let speaker = try Speaker(folder, bytes)
        try speaker.start()
        do throws(NBDError) {
            let source = try NBDSource(uri: "nbd+unix:///?socket=\(speaker.path)", export: nil, isReadOnly: false)
            let bench = try Bench(source, milliseconds: 3000)
            _ = bench.perform(.read, Buffer(count: 512))
            _ = bench.engine.stop()
            return nil
        } catch { return error }
    }

    @Test func whatIsNoServerIsSaid() throws {
        let folder = try Folder()
        for bytes in [[], Array("SSH-2.0-OpenSSH_9.2p1 Debian\r\n".utf8), [UInt8](repeating: 0, count: 4096)] {
            let text = try outcome(bytes, folder)?.text ?? ""
            #expect(text.hasPrefix("'nbd+unix:///?socket=") && !text.contains("\n"), "\(text)")
        }
    }

    /// The old handshake gives a size of anything and ends (protocol: "oldstyle negotiation"); so does the new one, with noise behind.
    @Test func noiseBehindAGreetingEndsInAnError() throws {
        let folder = try Folder()
        var random = SplitMix64(seed: 11)
        let old = Array("NBDMAGIC".utf8) + [0x00, 0x00, 0x42, 0x02, 0x81, 0x86, 0x12, 0x53]
        let new = Array("NBDMAGICIHAVEOPT".utf8) + [0, 3]
        for round in 0..<40 {
            var bytes = round % 2 == 0 ? old : new
            bytes += (0..<Int.random(in: 0..<400, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random)
            }
            _ = try outcome(bytes, folder)
        }
    }
}
