import ArgumentParser
import Glibc
import MachineFile

struct DiskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disk", abstract: "Make disk images.", subcommands: [Create.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an empty raw disk image (a sparse file).")

        @Argument(help: "The file; it must not exist.", completion: .file()) var path: String
        @Argument(help: "Its size, such as 64MiB: a multiple of 512 bytes.") var size: String

        func run() throws {
            guard let bytes = parseSize(size), bytes >= 512, bytes % 512 == 0, bytes <= UInt64(Int64.max) else {
                complain("'\(size)' is not a size of whole 512-byte sectors, such as 64MiB")
                throw ExitCode(2)
            }
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else {
                complain("\(path) cannot be made: \(String(cString: strerror(errno)))")
                throw ExitCode(2)
            }
            defer { close(descriptor) }
            guard ftruncate(descriptor, off_t(bytes)) == 0 else {
                let reason = String(cString: strerror(errno))
                unlink(path)
                complain("\(path) cannot be made \(size) long: \(reason)")
                throw ExitCode(2)
            }
            print("\(path): \(bytes / 512) sectors of 512 bytes")
        }
    }
}
