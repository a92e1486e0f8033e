import ArgumentParser
import CHost
import Core
import FoundationEssentials
import Glibc

/// Describes plugin libraries in a throw-away child process with a time limit, so that one that crashes or hangs on load takes
/// nothing down. One child describes many; after a broken one the next child goes on with the rest.
enum DescribeChild {
    static let secondsPerLibrary = 15.0

    struct Answer: Codable {
        var path: String
        var description: PluginDescription?
        var problem: String?
    }

    typealias Results = [String: Result<PluginDescription, PluginFinder.LibraryProblem>]

    static func describe(_ paths: [String]) -> Results {
        var results: Results = [:]
        var rest = paths
        while !rest.isEmpty {
            let (answers, end) = run(rest)
            for answer in answers {
                results[answer.path] =
                    answer.description.map { .success($0) }
                    ?? .failure(.init(text: answer.problem ?? "it gives no description"))
            }
            rest.removeAll { results[$0] != nil }
            // The first one without an answer is the one that the child did not survive.
            guard let culprit = rest.first, answers.count < paths.count else { break }
            if let end { results[culprit] = .failure(.init(text: end)) }
            rest.removeFirst()
        }
        return results
    }

    /// The answers, and what became of the child where it did not describe all.
    private static func run(_ paths: [String]) -> ([Answer], String?) {
        let output: ClosingPipe
        let process: ChildProcess
        do throws(HostError) {
            output = try ClosingPipe()
            process = try ChildProcess(["plugin", "describe-for-parent"] + paths, .output(output.writing))
        } catch {
            return ([], error.description)
        }
        output.closeWriting()
        let reader = LineReader(descriptor: output.reading)
        var answers: [Answer] = []
        var end: String?
        while answers.count < paths.count {
            guard let line = reader.next(seconds: secondsPerLibrary) else {
                end = reader.hasEnded ? nil : "it does not return from being loaded within \(Int(secondsPerLibrary)) s"
                break
            }
            guard let answer = try? JSONDecoder().decode(Answer.self, from: line) else { continue }
            answers.append(answer)
        }
        // One that has ended by itself is waited for, and nothing of it is killed any more.
        if !reader.hasEnded { process.kill() }
        let fate = process.wait()
        if end == nil, answers.count < paths.count { end = text(of: fate) }
        return (answers, end)
    }

    private static func text(of end: ChildProcess.End) -> String {
        switch end {
        case .exited(let status): "it ends the process that loads it, with status \(status)"
        case .killed(let signal): "it crashes when it is loaded: \(String(cString: strsignal(signal)))"
        }
    }
}

/// Lines of a descriptor, with a time limit for each.
final class LineReader {
    private let descriptor: Int32
    private var buffer = Data()
    private(set) var hasEnded = false

    init(descriptor: Int32) { self.descriptor = descriptor }

    func next(seconds: Double) -> Data? {
        let deadline = Date().addingTimeInterval(seconds)
        while true {
            if let newline = buffer.firstIndex(of: 10) {
                let line = buffer[..<newline]
                buffer = Data(buffer[(newline + 1)...])
                return Data(line)
            }
            let left = deadline.timeIntervalSinceNow
            if left <= 0 || hasEnded || buffer.count > 64 << 20 { return nil }
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, Int32(left * 1000) + 1) > 0 else { continue }
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = read(descriptor, &chunk, chunk.count)
            if count > 0 {
                buffer.append(contentsOf: chunk[..<count])
            } else if count == 0 || errno != EINTR {
                hasEnded = true
            }
        }
    }
}

/// The child's side.
struct DescribeForParent: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "describe-for-parent", shouldDisplay: false)

    @Argument var paths: [String]

    func run() throws {
        // What a library prints while it is loaded must not mix with the answers.
        let answers = dup(STDOUT_FILENO)
        dup2(STDERR_FILENO, STDOUT_FILENO)
        for path in paths {
            var answer = DescribeChild.Answer(path: path)
            do throws(LibraryError) {
                answer.description = try PluginLibrary(path: path).description
            } catch {
                answer.problem = error.description
            }
            writeAll(answers, try JSONEncoder().encode(answer) + [10])
        }
    }
}
