import BackendSupport
import Foundation
import PluginKit
import enum PluginKit.BlockOperation

@testable import OverlayStore

/// A folder that goes away with the test.
final class Folder: Sendable {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/overlay-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    var file: String { path + "/changes" }
}

func contents(_ path: String) -> [UInt8] { FileManager.default.contents(atPath: path).map { [UInt8]($0) } ?? [] }
func pattern(_ count: Int, _ seed: Int = 0) -> [UInt8] { (0..<count).map { UInt8(($0 / 512 + $0 + seed) % 251) } }

/// A base in memory, an engine above it, and what it told. Everything happens in `pump`.
final class Bench {
    private final class Posts: @unchecked Sendable {
        let monitor = Monitor()
        var count = 0
    }

    var base: [UInt8]
    /// What the base was asked for and has not answered.
    private var asked: [() -> Void] = []
    private let posts = Posts()
    var baseFailure: (BlockOperation, Status)?
    private(set) var baseWrites = 0
    private(set) var completions: [UInt64: Status] = [:]
    private(set) var isQuiet = false
    private(set) var log: [String] = []
    private(set) var engine: OverlayEngine!
    private var lastTag: UInt64 = 0

    init(_ path: String, base: [UInt8], sectorSize: UInt32 = 512, baseLimit: Int = .max) throws(OverlayError) {
        self.base = base
        let geometry = DiskGeometry(sectorSize: sectorSize, sectors: UInt64(base.count) / UInt64(sectorSize))
        let posts = posts
        engine = try OverlayEngine(
            OverlayFile(path: path, geometry: geometry), baseLimit: baseLimit,
            link: HostLink(
                post: { _ in
                    posts.monitor.locked {
                        posts.count += 1
                        posts.monitor.wake()
                        return true
                    }
                }, log: { _, _ in }),
            postArgument: 1,
            .init(
                base: { [unowned self] in answer($0, Int($1), $2, $3, $4) },
                complete: { [unowned self] in completions[$0] = $1 }, expect: {},
                quiesced: { [unowned self] in isQuiet = true }, log: { [unowned self] in log.append($1) }))
        do throws(HostCallError) { try engine.start() } catch { throw OverlayError(error.text) }
    }

    private func answer(
        _ operation: BlockOperation, _ offset: Int, _ length: Int, _ data: UnsafeMutableRawPointer?, _ tag: UInt64
    ) {
        asked.append { [unowned self] in
            var status = Status.ok
            if let baseFailure, baseFailure.0 == operation { status = baseFailure.1 }
            let bytes = UnsafeMutableRawBufferPointer(start: data, count: length)
            if operation == .write { baseWrites += 1 }
            if status == .ok, operation == .read { bytes.copyBytes(from: base[offset..<(offset + length)]) }
            if status == .ok, operation == .write { base.replaceSubrange(offset..<(offset + length), with: bytes) }
            engine.baseCompleted(tag, status)
        }
    }

    /// What is under way comes to its end, or one thing of it.
    @discardableResult func step() -> Bool {
        if !asked.isEmpty {
            asked.removeFirst()()
            return true
        }
        guard !engine.isIdle || engine.isAtWork else { return false }
        let isThere = posts.monitor.locked {
            let deadline = Monitor.Deadline(milliseconds: 60000)
            while posts.count == 0 {
                if !posts.monitor.wait(until: deadline) { return false }
            }
            posts.count -= 1
            return true
        }
        if isThere { engine.posted() }
        return isThere
    }

    func pump() { while step() {} }

    func submit(_ operation: BlockOperation, at offset: Int = 0, _ buffer: Buffer? = nil, length: Int = 0) -> UInt64 {
        lastTag += 1
        let count = buffer?.raw.count ?? length
        _ = engine.submit(
            .init(operation, offset: UInt64(offset), length: count, data: buffer?.raw.baseAddress, tag: lastTag))
        return lastTag
    }

    func perform(_ operation: BlockOperation, at offset: Int = 0, _ buffer: Buffer? = nil, length: Int = 0) -> Status? {
        let tag = submit(operation, at: offset, buffer, length: length)
        pump()
        return completions[tag]
    }

    func write(_ bytes: [UInt8], at offset: Int) -> Status? { perform(.write, at: offset, Buffer(bytes)) }

    /// All of the disk.
    var disk: [UInt8] {
        let buffer = Buffer([UInt8](repeating: 0xee, count: base.count))
        return perform(.read, buffer) == .ok ? buffer.bytes : []
    }
}

/// Never freed: a test that ends early must not pull it away.
final class Buffer {
    let raw: UnsafeMutableRawBufferPointer
    init(_ bytes: [UInt8]) {
        raw = .allocate(byteCount: bytes.count, alignment: 16)
        raw.copyBytes(from: bytes)
    }
    var bytes: [UInt8] { [UInt8](raw) }
}
