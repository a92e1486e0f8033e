import Foundation

/// A folder that goes away with the test.
final class Folder: Sendable {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/disk-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A file of `count` bytes that tell their place.
    func image(_ name: String = "disk.img", count: Int) throws -> String {
        try Data(pattern(count)).write(to: URL(fileURLWithPath: path + "/" + name))
        return path + "/" + name
    }

    static func contents(_ path: String) -> [UInt8] {
        FileManager.default.contents(atPath: path).map { [UInt8]($0) } ?? []
    }
}

func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(($0 / 512 + $0) % 251) } }
