// The events of libyaml in plain Swift. Yams is not used: its composer gives
// up at the first mapping with a duplicate key and names only one of the two places, it hashes keys through aliases
// (time exponential in the size of a hostile file), and an alias keeps no place of its own.
internal import CYAML

/// A place in a file: both from 1, the column counted in Unicode scalars.
struct Mark: Equatable {
    var line: Int
    var column: Int
}

enum YAMLEvent: Equatable {
    case documentStart
    case documentEnd
    case streamEnd
    case alias(String)
    case scalar(text: String, isPlain: Bool, anchor: String?, tag: String?)
    case sequenceStart(anchor: String?, tag: String?)
    case sequenceEnd
    case mappingStart(anchor: String?, tag: String?)
    case mappingEnd
}

/// Why a file is not YAML (or not YAML that is accepted here).
struct SyntaxError: Error {
    var message: String
    var mark: Mark
    /// What was being read, and where it began.
    var context: (text: String, mark: Mark)?
}

/// SAFETY: libyaml keeps a pointer to its own struct and to its input; both are allocations that this class owns until
/// `deinit`. Strings of an event are copied before the event is deleted. The unions are read by the event's type.
@safe final class YAMLEvents {
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let input: UnsafeMutableBufferPointer<UInt8>

    /// UTF-8 without a byte order mark.
    init(_ bytes: [UInt8]) {
        unsafe input = .allocate(capacity: max(bytes.count, 1))
        _ = unsafe input.initialize(from: bytes)
        unsafe parser = .allocate(capacity: 1)
        unsafe parser.initialize(to: yaml_parser_t())
        unsafe yaml_parser_initialize(parser)
        unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        unsafe yaml_parser_set_input_string(parser, input.baseAddress, bytes.count)
    }

    deinit {
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
        unsafe input.deallocate()
    }

    /// The next event and where it starts.
    func next() throws(SyntaxError) -> (event: YAMLEvent, mark: Mark) {
        while true {
            var raw = unsafe yaml_event_t()
            guard unsafe yaml_parser_parse(parser, &raw) == 1 else { throw syntaxError() }
            defer { unsafe yaml_event_delete(&raw) }
            if let event = unsafe convert(raw) {
                return (event, unsafe mark(raw.start_mark))
            }
        }
    }

    /// nil: of no interest.
    private func convert(_ raw: yaml_event_t) -> YAMLEvent? {
        switch unsafe raw.type {
        case YAML_DOCUMENT_START_EVENT: .documentStart
        case YAML_DOCUMENT_END_EVENT: .documentEnd
        // After the end of the stream libyaml answers events of type "none" for ever.
        case YAML_STREAM_END_EVENT, YAML_NO_EVENT: .streamEnd
        case YAML_ALIAS_EVENT: .alias(unsafe text(raw.data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT: unsafe scalar(raw)
        case YAML_SEQUENCE_START_EVENT:
            .sequenceStart(
                anchor: unsafe text(raw.data.sequence_start.anchor), tag: unsafe text(raw.data.sequence_start.tag))
        case YAML_SEQUENCE_END_EVENT: .sequenceEnd
        case YAML_MAPPING_START_EVENT:
            .mappingStart(
                anchor: unsafe text(raw.data.mapping_start.anchor), tag: unsafe text(raw.data.mapping_start.tag))
        case YAML_MAPPING_END_EVENT: .mappingEnd
        default: nil
        }
    }

    private func scalar(_ raw: yaml_event_t) -> YAMLEvent {
        let data = unsafe raw.data.scalar
        let bytes = unsafe UnsafeBufferPointer(start: data.value, count: data.length)
        return .scalar(
            text: unsafe String(decoding: bytes, as: UTF8.self), isPlain: unsafe data.style == YAML_PLAIN_SCALAR_STYLE,
            anchor: unsafe text(data.anchor), tag: unsafe text(data.tag))
    }

    private func text(_ pointer: UnsafePointer<UInt8>?) -> String? {
        unsafe pointer.map { unsafe String(cString: $0) }
    }

    private func text(_ pointer: UnsafeMutablePointer<UInt8>?) -> String? {
        unsafe text(UnsafePointer(pointer))
    }

    private func mark(_ mark: yaml_mark_t) -> Mark {
        Mark(line: Int(clamping: mark.line) &+ 1, column: Int(clamping: mark.column) &+ 1)
    }

    private func syntaxError() -> SyntaxError {
        let state = unsafe parser.pointee
        var problem = unsafe state.problem.map { unsafe String(cString: $0) } ?? "not enough memory"
        if unsafe state.error == YAML_READER_ERROR {
            // The reader runs ahead of the marks: it knows only its offset.
            return SyntaxError(message: problem, mark: place(ofByte: unsafe Int(clamping: state.problem_offset)))
        }
        // The parser's own limit, met where the scanner runs ahead of the composer.
        if problem.hasPrefix("Maximum nesting level") { problem = YAMLComposer.tooDeep }
        let context = unsafe state.context.map { unsafe (String(cString: $0), mark(state.context_mark)) }
        return SyntaxError(message: problem, mark: unsafe mark(state.problem_mark), context: context)
    }

    private func place(ofByte offset: Int) -> Mark {
        unsafe LineIndex.place(ofByte: offset, in: UnsafeBufferPointer(input))
    }
}
