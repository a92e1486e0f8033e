import BackendSupport
import Foundation
import Glibc
import NBDClient
import PluginKit
import enum PluginKit.BlockOperation

/// A folder that goes away with the test.
final class Folder: Sendable {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/nbd-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
        return path + "/" + name
    }
}

/// What this host has. What is missing is said once, and the tests that need it skip.
enum Peers {
    static let hasNbdkit = has("nbdkit", "nbdkit")
    static let hasQEMU = has("qemu-nbd", "qemu-utils") && has("qemu-img", "qemu-utils")

    private static func has(_ program: String, _ package: String) -> Bool {
        if path(program) != nil { return true }
        print("some tests of nbd are skipped: there is no \(program) (Debian's package \(package))")
        return false
    }

    static func path(_ program: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "") + ":/usr/sbin"
        return folders.split(separator: ":").map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    @discardableResult static func run(_ arguments: String...) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path(arguments[0]) ?? "/nowhere")
        process.arguments = Array(arguments.dropFirst())
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }
}

/// nbdkit on a Unix socket.
final class Nbdkit {
    let uri: String
    private let process = Process()

    init(_ folder: Folder, _ arguments: [String]) throws {
        let socket = folder.path + "/socket"
        uri = "nbd+unix:///?socket=\(socket)"
        unlink(socket)
        process.executableURL = URL(fileURLWithPath: Peers.path("nbdkit") ?? "/nowhere")
        process.arguments =
            ["--foreground", "--exit-with-parent", "--unix", socket, "--pidfile", socket + ".pid"] + arguments
        process.standardError = FileHandle.nullDevice
        unlink(socket + ".pid")
        try process.run()
        // The file is there once it listens.
        for _ in 0..<2000 where access(socket + ".pid", F_OK) != 0 && process.isRunning { usleep(5000) }
    }

    deinit { kill() }

    var isRunning: Bool { process.isRunning }
    func kill() {
        guard process.isRunning else { return }
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
    /// Stalls it.
    func hold() { Glibc.kill(process.processIdentifier, SIGSTOP) }
    func letGo() { Glibc.kill(process.processIdentifier, SIGCONT) }
}

/// An engine, and what it told.
final class Bench: @unchecked Sendable {
    let engine: NBDEngine
    let export: NBDExport
    private let box = Box()
    /// Kept as long.
    private var server: Nbdkit?

    private final class Box: @unchecked Sendable {
        let monitor = Monitor()
        var posts = 0
        var lines: [String] = []
    }

    init(_ source: NBDSource, sectorSize: UInt32 = 512, milliseconds: Int = 5000) throws(NBDError) {
        let box = box
        engine = try NBDEngine(
            source,
            link: HostLink(
                post: { argument in
                    box.monitor.locked {
                        box.posts += 1
                        box.monitor.wake()
                        return argument == 3
                    }
                }, log: { _, text in box.monitor.locked { box.lines.append(text) } }),
            postArgument: 3)
        export = try engine.open(sectorSize: sectorSize, milliseconds: milliseconds)
    }

    convenience init(_ server: Nbdkit, sectorSize: UInt32 = 512) throws {
        try self.init(try NBDSource(uri: server.uri, export: nil, isReadOnly: false), sectorSize: sectorSize)
        self.server = server
    }

    var log: [String] { box.monitor.locked { box.lines } }

    /// Completions until there are `count`, or `seconds` have passed; and whether the engine said that it is quiet.
    func news(_ count: Int, untilQuiet: Bool = false, seconds: Int = 60) -> DiskNews {
        let deadline = Monitor.Deadline(milliseconds: seconds * 1000)
        var all = DiskNews()
        while all.completions.count < count || (untilQuiet && !all.isQuiet) {
            let isThere = box.monitor.locked {
                while box.posts == 0 {
                    if !box.monitor.wait(until: deadline) { return false }
                }
                box.posts -= 1
                return true
            }
            guard isThere else { break }
            let news = engine.takeNews()
            all.completions += news.completions
            all.isQuiet = all.isQuiet || news.isQuiet
        }
        return all
    }

    /// One request, until it is done.
    func perform(_ operation: BlockOperation, _ buffer: Buffer? = nil, at offset: UInt64 = 0, length: Int = 0)
        -> Status?
    {
        guard
            engine.submit(
                buffer?.request(operation, at: offset, tag: 77)
                    ?? .init(operation, offset: offset, length: length, tag: 77))
        else { return nil }
        return news(1).completions.first?.status
    }

    /// Until the state is so, or a minute has passed.
    func waits(for isConnected: Bool) -> Bool {
        for _ in 0..<12000 {
            if engine.statistics.isConnected == isConnected { return true }
            usleep(5000)
        }
        return false
    }
}

/// A client's buffer. Never freed: a test that ends early must not pull it away from an engine.
final class Buffer: @unchecked Sendable {
    let raw: UnsafeMutableRawBufferPointer
    init(_ bytes: [UInt8]) {
        raw = .allocate(byteCount: bytes.count, alignment: 16)
        raw.copyBytes(from: bytes)
    }
    convenience init(count: Int) { self.init([UInt8](repeating: 0xee, count: count)) }
    var bytes: [UInt8] { [UInt8](raw) }
    /// What differs is not printed.
    func holds(_ bytes: some Collection<UInt8>) -> Bool { raw.elementsEqual(bytes) }

    func request(_ operation: BlockOperation, at offset: UInt64, tag: UInt64) -> DiskRequest {
        .init(operation, offset: offset, length: raw.count, data: raw.baseAddress, tag: tag)
    }
}

func pattern(_ count: Int, _ seed: Int = 0) -> [UInt8] { (0..<count).map { UInt8(($0 / 512 + $0 + seed) % 251) } }
