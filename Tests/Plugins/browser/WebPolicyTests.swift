import Testing
import WebFront

@Suite struct WebPolicyTests {
    private let policy = WebPolicy(files: "/files", port: 6080, token: "0123456789abcdef")
    private let host = "127.0.0.1:6080"

    @Test func aTokenIs128BitsAndAnotherEachTime() {
        let tokens = (0..<10).map { _ in WebPolicy.randomToken() }
        #expect(Set(tokens).count == 10)
        #expect(tokens.allSatisfy { $0.count == 32 && $0.allSatisfy(\.isHexDigit) })
    }

    @Test func theAddressLeadsToThePageWithTheWebSocketsPath() {
        #expect(policy.address == "http://127.0.0.1:6080/?token=0123456789abcdef")
        #expect(
            policy.answer(path: "/", host: host, token: "0123456789abcdef")
                == .redirect(
                    "/vnc.html?autoconnect=true&reconnect=true&resize=scale&path=screen%3Ftoken%3D0123456789abcdef"))
        for token in [nil, "", "0123456789abcdeg", "0123456789abcdef0"] {
            #expect(policy.answer(path: "/", host: host, token: token) == .forbidden)
        }
    }

    @Test func filesAreTakenFromTheirDirectoryOnly() {
        #expect(
            policy.answer(path: "/core/rfb.js", host: "localhost:6080", token: nil)
                == .file(path: "/files/core/rfb.js", type: "text/javascript; charset=utf-8"))
        for path in [
            "/../x.js", "/a/../../x.js", "/.x.js", "/a//x.js", "//x.js", "x.js", "/a\\x.js", "/a%2fx.js", "/x.js\0.png",
            "/x", "/x.",
            "/x.sh", "/a/", "/ä.js", "/" + String(repeating: "a", count: 300) + ".js", "",
        ] {
            #expect(policy.answer(path: path, host: host, token: nil) == .notFound, "\(path)")
        }
    }

    @Test func anotherHostIsNotOurs() {
        for host in [nil, "", "127.0.0.1", "127.0.0.1:6081", "evil.example:6080", "127.0.0.1:6080.evil.example"] {
            #expect(policy.answer(path: "/vnc.html", host: host, token: nil) == .forbidden)
            #expect(!policy.mayConnect(path: "/screen", host: host, origin: nil, token: policy.token))
        }
    }

    @Test func theScreenIsForOurPageWithTheToken() {
        let token = policy.token
        #expect(policy.mayConnect(path: "/screen", host: host, origin: "http://" + host, token: token))
        #expect(policy.mayConnect(path: "/screen", host: host, origin: nil, token: token))
        #expect(!policy.mayConnect(path: "/screen", host: host, origin: "http://" + host, token: nil))
        #expect(!policy.mayConnect(path: "/", host: host, origin: nil, token: token))
        for origin in ["http://evil.example", "https://127.0.0.1:6080", "http://localhost:6080", "null", ""] {
            #expect(!policy.mayConnect(path: "/screen", host: host, origin: origin, token: token), "\(origin)")
        }
    }
}
