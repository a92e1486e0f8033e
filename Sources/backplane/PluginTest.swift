import ArgumentParser

struct PluginTest: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "test", abstract: "Test a plugin on the bench.")
    @Argument(help: "Its name, or a path to the library.") var name: String
    func run() throws { complain("not linked yet") }
}
