import Core

/// Collects the diagnostics of one load, and gives them back in file order: what comes from the command line, then the
/// machine file, then the files that it extends, each from its top.
final class Reporter {
    static let maximumShown = 1000
    private var suggestionsLeft = 100

    private var diagnostics: [Diagnostic] = []
    private var files: [String: (rank: Int, source: SourceFile)] = [:]
    /// Options of the command line in order, as `SourceLocation.file` names them.
    private var options: [String: Int] = [:]
    private var seen: Set<String> = []
    private(set) var hasErrors = false

    /// Makes a file's lines known.
    func add(_ source: SourceFile) {
        if files[source.path] == nil { files[source.path] = (files.count, source) }
    }

    /// Makes an option of the command line known: what is wrong with it comes in the order of the options.
    func add(option: String) -> SourceLocation {
        if options[option] == nil { options[option] = options.count }
        return SourceLocation(file: option, line: 0, column: 0)
    }

    func error(_ location: SourceLocation, _ message: String, notes: [Diagnostic.Note] = []) {
        hasErrors = true
        report(.init(location: location, severity: .error, message: message, notes: notes))
    }

    func warning(_ location: SourceLocation, _ message: String, notes: [Diagnostic.Note] = []) {
        report(.init(location: location, severity: .warning, message: message, notes: notes))
    }

    /// What an alias repeats is said once.
    private func report(_ diagnostic: Diagnostic) {
        guard seen.insert("\(diagnostic.location) \(diagnostic.message)").inserted else { return }
        var diagnostic = diagnostic
        diagnostic.location = inside(diagnostic.location)
        for position in diagnostic.notes.indices {
            diagnostic.notes[position].location = diagnostic.notes[position].location.map(inside)
        }
        diagnostics.append(diagnostic)
    }

    /// libyaml says of the end of a file that it is the next line's start, whether there is one or not.
    private func inside(_ location: SourceLocation) -> SourceLocation {
        guard let last = files[location.file]?.source.end, location.line > last.line else { return location }
        return SourceLocation(file: location.file, line: last.line, column: last.column)
    }

    /// `: did you mean "x"?`, or nothing. A file of nothing but errors gets no suggestions from some point on: each
    /// costs a walk over the names.
    func hint<Names: Sequence<String>>(for text: String, in candidates: @autoclosure () -> Names) -> String {
        guard suggestionsLeft > 0 else { return "" }
        suggestionsLeft -= 1
        return DidYouMean.hint(for: text, in: candidates())
    }

    /// At most `maximumShown`; the last one says how many are left out.
    func sorted() -> [Diagnostic] {
        let keyed = diagnostics.enumerated().map { position, diagnostic in
            (
                key: (rank(diagnostic.location), diagnostic.location.line, diagnostic.location.column, position),
                diagnostic
            )
        }
        var shown = keyed.sorted { $0.key < $1.key }.prefix(Reporter.maximumShown).map { withExcerpt($0.1) }
        if diagnostics.count > shown.count, let last = shown.indices.last {
            shown[last].notes.append(.init("\(diagnostics.count - shown.count) more errors are not shown"))
        }
        return shown
    }

    private func rank(_ location: SourceLocation) -> Int {
        if location.line == 0 { return (options[location.file] ?? options.count) - options.count - 1 }
        return files[location.file]?.rank ?? Int.max
    }

    private func withExcerpt(_ diagnostic: Diagnostic) -> Diagnostic {
        var diagnostic = diagnostic
        let location = diagnostic.location
        diagnostic.excerpt = files[location.file]?.source.excerpt(
            at: Mark(line: location.line, column: location.column))
        return diagnostic
    }
}
