import Foundation
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

extension Commands {
    @Suite struct ShowTests {
        /// Rows of one table, each split into its first `count` columns.
        private func rows(_ title: String, _ text: String, columns count: Int) throws -> [[String]] {
            let parts = text.components(separatedBy: "\n\n")
            let table = try #require(parts.first { $0.hasPrefix(title + "\n") || $0.contains("\n\(title)\n") })
            let lines = table.split(separator: "\n").map(String.init)
            let start = try #require(lines.firstIndex(of: title))
            return lines[(start + 2)...].map { line in
                line.split(separator: " ").prefix(count).map(String.init)
            }
        }

        @Test func everyClaimOfTheTourIsListedWithItsOwner() async throws {
            let end = try await backplane("show", Program.tourMachine)
            #expect(end.status == 0)
            #expect(
                try rows("Ports", end.output, columns: 2) == [
                    ["0020-0021", "pic"], ["0040-0043", "pit"], ["0060", "reset"], ["0061", "pit"], ["0064", "reset"],
                    ["0070-0071", "rtc"],
                    ["0092", "reset"], ["00a0-00a1", "pic"], ["01f0-01f7", "hd0"], ["03f6", "hd0"],
                    ["03f8-03ff", "com1"],
                    ["04d0-04d1", "pic"], ["0501-0502", "exit"], ["0cf9", "reset"],
                ])
            #expect(
                try rows("Memory", end.output, columns: 5) == [
                    ["000000000-000ffffff", "ram", "memory", "RAM", "16MiB"]
                ])
            #expect(
                try rows("Interrupt lines", end.output, columns: 2) == [
                    ["pic.0", "pit"], ["pic.4", "com1"], ["pic.8", "rtc"], ["pic.14", "hd0"],
                ])
            #expect(
                try rows("Wiring", end.output, columns: 4) == [
                    ["pit.irq", "irq-line/1", "pic.0", "pic8259"], ["rtc.irq", "irq-line/1", "pic.8", "pic8259"],
                    ["com1.irq", "irq-line/1", "pic.4", "pic8259"], ["com1.stream", "stream/1", "term", "terminal"],
                    ["hd0.irq", "irq-line/1", "pic.14", "pic8259"], ["hd0.block", "block/1", "disk", "ram-disk"],
                ])
            #expect(
                try rows("Instances", end.output, columns: 3).map { $0[0] } == [
                    "rules", "pic", "pit", "rtc", "com1", "hd0", "exit", "reset", "term", "disk", "boot",
                ])
        }

        @Test func backendsAreNotTouched() async throws {
            let folder = Folder()
            let file = try folder.machine(
                Guest.powerOff, devices: ["{ id: com1, plugin: uart16550, stream: out }"],
                backends: ["{ id: out, plugin: file, path: made-by-show }"])
            #expect(try await backplane("show", file).status == 0)
            #expect(access(folder.path + "/made-by-show", F_OK) != 0)
        }

        @Test func theDrawingIsWellFormedAndNamesEveryInstance() async throws {
            let folder = Folder()
            let text = try String(contentsOfFile: Program.tourMachine, encoding: .utf8)
            let file = try folder.write(
                "odd.yaml", text.replacingOccurrences(of: "machine: tour", with: "machine: 'a<b>&\"c'"))
            let end = try await backplane("show", file, "--svg")
            #expect(end.status == 0)
            let parser = XMLParser(data: Data(end.output.utf8))
            let collector = TextCollector()
            parser.delegate = collector
            #expect(parser.parse(), "\(parser.parserError.map(String.init(describing:)) ?? "")")
            #expect(collector.root == "svg")
            for id in ["rules", "pic", "pit", "rtc", "com1", "hd0", "exit", "reset", "term", "disk", "boot"] {
                #expect(collector.texts.contains { $0.contains(id) }, "\(id)")
            }
            #expect(collector.texts.contains { $0.contains("a<b>&\"c") })
        }

        @Test func theSchemaIsJSONWithEveryPlugin() async throws {
            let end = try await backplane("schema")
            #expect(end.status == 0)
            let schema = try #require(
                try JSONSerialization.jsonObject(with: Data(end.output.utf8)) as? [String: Any])
            #expect((schema["$schema"] as? String)?.contains("json-schema.org") == true)
            #expect((schema["properties"] as? [String: Any])?["devices"] != nil)
            for plugin in Program.plugins { #expect(end.output.contains("\"\(plugin)\"")) }
        }

        @Test func listHasEveryBundledPluginOnce() async throws {
            let end = try await backplane("plugin", "list")
            #expect(end.status == 0)
            #expect(end.error == "")
            let names = end.output.split(separator: "\n").dropFirst().map { String($0.split(separator: " ")[0]) }
            #expect(names.sorted() == Program.plugins)
        }

        @Test(arguments: Program.plugins) func infoDescribesEachBundledPlugin(_ name: String) async throws {
            let end = try await backplane("plugin", "info", name)
            #expect(end.status == 0)
            #expect(end.error == "")
            #expect(end.output.contains("  library  \(Program.directory)/lib\(name).so\n"))
            #expect(end.output.contains("  licence  Apache-2.0\n"))
            #expect(end.output.contains("plugin ABI 1."))
            let kinds = ["device", "policy", "loader", "backend"]
            #expect(kinds.contains { end.output.contains("\n\($0) \(name): ") })
        }

        @Test func infoWrapsAtTheTerminalsWidth() async throws {
            let terminal = try Terminal()
            var size = winsize(ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0)
            #expect(terminal.resize(&size))
            let child = try Child(["plugin", "info", "trace"], output: .terminal(terminal))
            #expect(await child.end().status == 0)
            #expect(await terminal.shows("MEANING"))
            let lines = terminal.text.split(whereSeparator: \.isNewline)
            #expect(lines.allSatisfy { $0.count <= 80 || $0.hasPrefix("  library") }, "\(terminal.text)")
            // What a pipe gets is one line for each.
            let piped = try await backplane("plugin", "info", "trace")
            #expect(piped.output.split(separator: "\n").contains { $0.count > 100 })
        }

        @Test func infoShowsPropertiesSlotsInterfacesAndMethods() async throws {
            let uart = try await backplane("plugin", "info", "uart16550")
            for word in ["PROPERTY", "at", "port", "0x3f8", "SLOT", "irq-line/1", "stream/1"] {
                #expect(uart.output.contains(word))
            }
            let random = try await backplane("plugin", "info", "lfsr")
            #expect(random.output.contains("seed(value: u16) -> status"))
            #expect(random.output.contains("1..65535"))
            let controller = try await backplane("plugin", "info", "pic8259")
            #expect(controller.output.contains("PROVIDES"))
            #expect(controller.output.contains("irq-controller/1"))
        }
    }
}

/// The root's name and all texts of an XML document.
private final class TextCollector: NSObject, XMLParserDelegate {
    var root: String?
    var texts: [String] = []

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        if root == nil { root = name }
        texts.append("")
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
        if !texts.isEmpty { texts[texts.count - 1] += text }
    }
}
