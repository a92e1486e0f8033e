import Testing

@testable import Control

@Suite struct JSONTests {
    private func parse(_ text: String) -> Result<JSONValue, JSONError> {
        Result { () throws(JSONError) in try JSONParser.parse(Array(text.utf8)) }
    }

    @Test func valuesKeepTheirTypesAndOrder() throws {
        let text = #"{"b": [1, -2, 18446744073709551615, 1.5, 1e3, true, false, null], "a": "x\n\u00e9\ud83d\ude00\/"}"#
        let value = try parse(text).get()
        #expect(
            value["b"]?.items == [
                .integer(1), .integer(-2), .unsigned(.max), .double(1.5), .double(1000), .bool(true), .bool(false),
                .null,
            ])
        #expect(value["a"]?.text == "x\né😀/")
        #expect(
            value.written == #"{"b": [1, -2, 18446744073709551615, 1.5, 1000.0, true, false, null], "a": "x\né😀/"}"#)
        #expect(try JSONParser.parse(Array(value.written.utf8)) == value)
    }

    @Test(arguments: [
        "", "{", "}", "[1,]", "{\"a\" 1}", "{a: 1}", "{\"a\": 1,}", "01", "-", "1.", "1e", "tru", "\"\u{1}\"", #""\x""#,
        #""\u12""#, #""\ud800""#, #""\ud800\u0041""#, #"{"a": 1, "a": 2}"#, "1 2", "1e999", "\"open", "[", "nul",
    ])
    func whatIsNotJSONIsAnError(_ text: String) {
        #expect(throws: JSONError.self) { try JSONParser.parse(Array(text.utf8)) }
    }

    @Test func nestingIsBounded() throws {
        func nested(_ depth: Int) -> [UInt8] {
            [UInt8](repeating: UInt8(ascii: "["), count: depth) + [UInt8](repeating: UInt8(ascii: "]"), count: depth)
        }
        _ = try JSONParser.parse(nested(128))
        #expect(throws: JSONError.self) { try JSONParser.parse(nested(129)) }
        #expect(throws: JSONError.self) { try JSONParser.parse(nested(100_000)) }
        #expect(throws: JSONError.self) { try JSONParser.parse([UInt8](repeating: UInt8(ascii: "{"), count: 1 << 20)) }
    }

    @Test func bytesThatAreNotUTF8AreAnError() {
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xff, 0x22]) }
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xed, 0xa0, 0x80, 0x22]) }
    }

    /// Whatever the bytes, the parser answers.
    @Test func noInputTraps() {
        var state: UInt64 = 7
        let alphabet = Array(#"{}[]",:\u0123456789eE+-.truefalsn "#.utf8) + [0xff, 0x00, 0x0a]
        for _ in 0..<20_000 {
            var bytes: [UInt8] = []
            for _ in 0..<24 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(alphabet[Int(state >> 33) % alphabet.count])
            }
            _ = try? JSONParser.parse(bytes)
            var framer = JSONFramer()
            _ = framer.feed(bytes)
        }
    }
}

@Suite struct JSONFramerTests {
    private func items(_ text: String) -> [JSONFramer.Item] {
        var framer = JSONFramer()
        return framer.feed(text.utf8)
    }
    private func object(_ text: String) -> JSONFramer.Item { .object(Array(text.utf8)) }

    @Test func objectsNeedNoLinesAndMayHaveMany() {
        #expect(items(#"{"a":1}{"b":2}"#) == [object(#"{"a":1}"#), object(#"{"b":2}"#)])
        #expect(items("\r\n {\n\"a\":\n[1]\n}\n") == [object("{\n\"a\":\n[1]\n}")])
        #expect(items(#"{"a":"}{\"}"}"#) == [object(#"{"a":"}{\"}"}"#)])
    }

    @Test func aBrokenLineIsOneErrorAndTheNextIsRead() {
        #expect(items("nonsense {\n{}") == [.malformed("an object was expected"), object("{}")])
        #expect(items("{\"a\n{}") == [.malformed("a string is not closed at the end of its line"), object("{}")])
        let deep = String(repeating: "{\"a\":", count: 200)
        #expect(items(deep + "\n{}") == [.malformed("nested more than 128 deep"), object("{}")])
    }

    @Test func anObjectOfMoreThanAMebibyteEndsTheStream() {
        let long = "{\"a\":\"" + String(repeating: "x", count: 1 << 20) + "\"}{}"
        #expect(items(long) == [.tooLong])
    }

    @Test func piecesMakeAWhole() {
        var framer = JSONFramer()
        var found: [JSONFramer.Item] = []
        for byte in #"{"a":"\\"} {"b":"\""}"#.utf8 { found += framer.feed([byte]) }
        #expect(found == [object(#"{"a":"\\"}"#), object(#"{"b":"\""}"#)])
    }
}

@Suite struct QMPSessionTests {
    private func answer(_ session: inout QMPSession, _ text: String) -> JSONValue {
        var framer = JSONFramer()
        let item = framer.feed(text.utf8).first ?? .malformed("nothing")
        return session.answer(item) { (command, arguments) throws(CommandError) in
            guard command == "echo" else {
                throw CommandError("The command \(command) has not been found", kind: "CommandNotFound")
            }
            return arguments
        }
    }

    @Test func nothingIsDoneBeforeTheNegotiation() {
        var session = QMPSession()
        #expect(answer(&session, #"{"execute": "echo", "id": 7}"#)["error"]?["class"] == .string("CommandNotFound"))
        #expect(answer(&session, #"{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}"#)["error"] != nil)
        #expect(!session.isNegotiated)
        #expect(answer(&session, #"{"execute": "qmp_capabilities"}"#) == .members(("return", .empty)))
        #expect(session.isNegotiated)
        #expect(answer(&session, #"{"execute": "qmp_capabilities"}"#)["error"]?["class"] == .string("CommandNotFound"))
    }

    @Test func theIDComesBackWhateverItIs() {
        var session = QMPSession(isNegotiated: true)
        #expect(
            answer(&session, #"{"execute": "echo", "arguments": {"a": 1}, "id": {"x": [1]}}"#).written
                == #"{"return": {"a": 1}, "id": {"x": [1]}}"#)
        #expect(answer(&session, #"{"execute": "nothing", "id": "me"}"#)["id"] == .string("me"))
    }

    @Test(arguments: [
        "{}", #"{"execute": 1}"#, #"{"execute": "echo", "arguments": []}"#, #"{"execute": "echo", "more": 1}"#, "{]",
        #"{"execute": "echo"  "id": 1}"#, "{1}",
    ])
    func whatIsNoRequestIsAnError(_ text: String) {
        var session = QMPSession(isNegotiated: true)
        #expect(answer(&session, text)["error"]?["class"] == .string("GenericError"))
    }
}
