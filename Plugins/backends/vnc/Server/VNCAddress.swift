import SocketEndpoint

/// Where clients come in: `127.0.0.1:PORT` or `unix:PATH`. RFB without a password lets everybody in, so nothing else is listened on.
public enum VNCAddress {
    public static func parse(_ text: String) throws(SocketAddress.Failure) -> SocketAddress {
        if text.hasPrefix("unix:") {
            let address = SocketAddress.path(String(text.dropFirst(5)))
            try address.check()
            return address
        }
        guard let colon = text.lastIndex(of: ":") else { throw notAnAddress(text) }
        let (host, digits) = (text[..<colon], text[text.index(after: colon)...])
        guard !host.isEmpty, !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(digits)
        else { throw notAnAddress(text) }
        guard host == "127.0.0.1" || host == "localhost" else {
            throw SocketAddress.Failure(
                "'\(text)' can be reached from other hosts, and whoever comes is let in without a password: "
                    + "listen on 127.0.0.1 or on a Unix socket, and come from elsewhere through ssh -L")
        }
        return .port(port)
    }

    private static func notAnAddress(_ text: String) -> SocketAddress.Failure {
        SocketAddress.Failure("'\(text)' is neither 127.0.0.1:PORT nor unix:PATH")
    }
}
