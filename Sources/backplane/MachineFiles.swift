import ArgumentParser
import Core
import Glibc
import MachineFile

extension MachineFileArguments {
    /// Reads and checks the files. Prints every diagnostic; where one is an error, ends with status 2.
    func load(_ finder: PluginFinder) throws -> GuestsResult {
        let result = loadGuests(paths: files, options: try options(), catalog: finder)
        let useColor = isatty(STDERR_FILENO) != 0 && getenv("NO_COLOR") == nil
        for diagnostic in result.diagnostics {
            writeAll(STDERR_FILENO, (diagnostic.rendered(color: useColor) + "\n").utf8)
        }
        guard result.guests?.isEmpty == false else { throw ExitCode(2) }
        return result
    }

    func options() throws -> MachineFileOptions {
        MachineFileOptions(settings: try parsedSettings(), engine: try parsedEngine(), extraPolicies: policies)
    }

    private func parsedSettings() throws -> [(String, String)] {
        try settings.map { setting in
            guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
                throw ValidationError("--set takes NAME=VALUE, and got '\(setting)'")
            }
            return (String(setting[..<equals]), String(setting[setting.index(after: equals)...]))
        }
    }

    private func parsedEngine() throws -> EngineChoice? {
        guard let engine else { return nil }
        guard let choice = EngineChoice(rawValue: engine) else {
            let known = EngineChoice.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--engine takes one of \(known), and got '\(engine)'")
        }
        return choice
    }
}

/// Ends a command with the status and the sentence of an error.
func fail(_ error: MachineError) -> ExitCode {
    let place = error.location.map { "\($0): " } ?? ""
    complain("\(place)error: \(error.description)")
    for override in error.overrides {
        let keys = override.keys.joined(separator: ", ")
        writeAll(STDERR_FILENO, "  \(override.location): note: overridden here: \(keys)\n".utf8)
    }
    return ExitCode(error.status)
}
