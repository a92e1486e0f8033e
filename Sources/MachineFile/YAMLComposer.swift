import Core

/// Makes the tree of a file from its events. Syntax errors and broken limits end it; duplicate keys, keys that are not
/// scalars and tags are reported, and the rest is read on.
struct YAMLComposer {
    /// A machine file is five levels deep.
    static let maximumDepth = 32
    static let tooDeep = "nested deeper than \(maximumDepth) levels"
    /// Nodes of the tree with every alias expanded.
    static let maximumNodes = 1 << 18

    private let events: YAMLEvents
    private let file: String
    private let directory: String
    private let reporter: Reporter
    private var anchors: [String: (node: YAMLNode, weight: Int)] = [:]
    /// Names of anchors whose nodes are not complete.
    private var open: Set<String> = []
    private var nodes = 0

    /// The root of the file's only document.
    static func compose(_ source: SourceFile, reporter: Reporter) throws(SyntaxError) -> YAMLNode {
        var composer = YAMLComposer(
            bytes: source.bytes, file: source.path, directory: source.directory, reporter: reporter)
        return try composer.document()
    }

    init(bytes: [UInt8], file: String, directory: String, reporter: Reporter) {
        events = YAMLEvents(bytes)
        self.file = file
        self.directory = directory
        self.reporter = reporter
    }

    mutating func document() throws(SyntaxError) -> YAMLNode {
        let (first, mark) = try nextEvent()
        guard first == .documentStart else { throw SyntaxError(message: "the file is empty", mark: mark) }
        let root = try node(nextEvent(), depth: 0)
        while true {
            let (event, mark) = try nextEvent()
            if event == .streamEnd { return root }
            if event == .documentStart {
                throw SyntaxError(
                    message: "a machine file holds one document, and here a second one begins", mark: mark)
            }
        }
    }

    private func nextEvent() throws(SyntaxError) -> (event: YAMLEvent, mark: Mark) { try events.next() }

    private mutating func node(
        _ start: (event: YAMLEvent, mark: Mark), depth: Int
    ) throws(SyntaxError) -> YAMLNode {
        let (event, mark) = start
        if case .alias(let name) = event { return try alias(name, mark) }
        try count(1, mark)
        let before = nodes
        let (content, anchor) = try content(of: event, mark, depth)
        let node = YAMLNode(content: content, location: location(mark))
        if let anchor {
            open.remove(anchor)
            anchors[anchor] = (node, nodes - before + 1)
        }
        return node
    }

    private mutating func content(
        of event: YAMLEvent, _ mark: Mark, _ depth: Int
    ) throws(SyntaxError) -> (YAMLNode.Content, anchor: String?) {
        switch event {
        case .scalar(let text, let isPlain, let anchor, let tag):
            refuse(tag, mark)
            let isNull = isPlain && ["", "~", "null", "Null", "NULL"].contains(text)
            return (.scalar(ScalarText(text, isNull: isNull, directory: directory)), anchor)
        case .sequenceStart(let anchor, let tag):
            try enter(anchor, tag, mark, depth)
            return (.sequence(try sequence(depth)), anchor)
        case .mappingStart(let anchor, let tag):
            try enter(anchor, tag, mark, depth)
            return (.mapping(try mapping(depth)), anchor)
        default:
            throw SyntaxError(message: "this is not a value", mark: mark)
        }
    }

    private mutating func enter(_ anchor: String?, _ tag: String?, _ mark: Mark, _ depth: Int) throws(SyntaxError) {
        refuse(tag, mark)
        if let anchor { open.insert(anchor) }
        guard depth < YAMLComposer.maximumDepth else {
            throw SyntaxError(message: YAMLComposer.tooDeep, mark: mark)
        }
    }

    private mutating func sequence(_ depth: Int) throws(SyntaxError) -> [YAMLNode] {
        var items: [YAMLNode] = []
        while true {
            let next = try nextEvent()
            if next.event == .sequenceEnd { return items }
            items.append(try node(next, depth: depth + 1))
        }
    }

    private mutating func mapping(_ depth: Int) throws(SyntaxError) -> YAMLMapping {
        var mapping = YAMLMapping()
        while true {
            let next = try nextEvent()
            if next.event == .mappingEnd { return mapping }
            let key = try node(next, depth: depth + 1)
            let value = try node(nextEvent(), depth: depth + 1)
            add(key, value, to: &mapping)
        }
    }

    /// Of a key that is there twice the first counts.
    private func add(_ key: YAMLNode, _ value: YAMLNode, to mapping: inout YAMLMapping) {
        guard let text = key.scalar?.text else {
            return reporter.error(key.location, "a key is a word, not \(key.kindName)")
        }
        if let first = mapping[text] {
            return reporter.error(
                key.location, "the key \(Printable.quoted(text)) is given twice",
                notes: [.init("it is first given here", at: first.keyLocation)])
        }
        if text == "<<" {
            return reporter.error(key.location, "merge keys (<<) are not read here: write the keys, or use \"extends\"")
        }
        mapping.set(.init(key: text, keyLocation: key.location, value: value))
    }

    /// What the alias names, at the alias's place; what is in it keeps its own.
    private mutating func alias(_ name: String, _ mark: Mark) throws(SyntaxError) -> YAMLNode {
        if open.contains(name) {
            throw SyntaxError(message: "the alias *\(Printable.text(name)) stands inside of what it names", mark: mark)
        }
        guard let (node, weight) = anchors[name] else {
            let hint = DidYouMean.hint(for: name, in: anchors.keys.sorted())
            throw SyntaxError(message: "there is no anchor \(Printable.quoted(name)) above" + hint, mark: mark)
        }
        try count(weight, mark)
        return YAMLNode(content: node.content, location: location(mark))
    }

    private mutating func count(_ weight: Int, _ mark: Mark) throws(SyntaxError) {
        nodes += weight
        guard nodes <= YAMLComposer.maximumNodes else {
            throw SyntaxError(
                message: "the file has more than \(YAMLComposer.maximumNodes) values, aliases counted in full",
                mark: mark)
        }
    }

    private func refuse(_ tag: String?, _ mark: Mark) {
        guard let tag, tag != "!" else { return }
        reporter.error(
            location(mark),
            "the tag \(Printable.quoted(tag)) has no meaning here: the type of a value is its property's")
    }

    private func location(_ mark: Mark) -> SourceLocation {
        SourceLocation(file: file, line: mark.line, column: mark.column)
    }
}
