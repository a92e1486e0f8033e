import CWebSockets

extension WebFront {
    /// libwebsockets' one callback, on the front's thread. Other answers than 0 end the connection.
    static let callback:
        @convention(c) (
            OpaquePointer?, lws_callback_reasons, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, Int
        ) -> Int32 = { socket, reason, user, bytes, count in
            guard let socket, let front = front(of: socket) else { return 0 }
            // SAFETY: `user` is of the size that the protocols say, zeros at first: the number of a viewer, 0: none.
            let viewer = user?.assumingMemoryBound(to: Int.self)
            switch reason {
            case LWS_CALLBACK_RAW_RX_FILE: front.accept()
            case LWS_CALLBACK_WSI_DESTROY: front.forget(socket)
            case LWS_CALLBACK_HTTP: return front.answer(socket)
            case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
                let kind = bytes.map { String(cString: $0.assumingMemoryBound(to: CChar.self)) }
                guard kind?.lowercased() == "websocket", front.mayConnect(socket) else {
                    _ = lws_return_http_status(socket, 403, nil)
                    return 1
                }
            case LWS_CALLBACK_ESTABLISHED:
                viewer?.pointee = front.open(socket)
                return viewer?.pointee == 0 ? -1 : 0
            case LWS_CALLBACK_RECEIVE:
                let piece = UnsafeRawBufferPointer(start: bytes, count: count)
                let isBinary = lws_frame_is_binary(socket) != 0
                return front.receive(piece, from: viewer?.pointee ?? 0, isBinary: isBinary) ? 0 : -1
            case LWS_CALLBACK_SERVER_WRITEABLE: return front.write(viewer?.pointee ?? 0, to: socket) ? 0 : -1
            case LWS_CALLBACK_CLOSED: front.close(viewer?.pointee ?? 0)
            default: return lws_callback_http_dummy(socket, reason, user, bytes, count)
            }
            return 0
        }

    private func answer(_ socket: OpaquePointer) -> Int32 {
        guard let path = Self.path(socket) else { return Self.refuse(socket, 405) }
        let token = Self.token(socket)
        switch policy.answer(path: path, host: Self.header(socket, WSI_TOKEN_HOST), token: token) {
        case .file(let file, let type):
            // The token is in the page's address.
            let more = "referrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n"
            let result = lws_serve_http_file(socket, file, type, more, Int32(more.utf8.count))
            return result < 0 || result > 0 && lws_http_transaction_completed(socket) != 0 ? -1 : 0
        case .redirect(let place): return Self.redirect(socket, to: place)
        case .forbidden: return Self.refuse(socket, 403)
        case .notFound: return Self.refuse(socket, 404)
        }
    }

    private func mayConnect(_ socket: OpaquePointer) -> Bool {
        guard let path = Self.path(socket) else { return false }
        return policy.mayConnect(
            path: path, host: Self.header(socket, WSI_TOKEN_HOST), origin: Self.header(socket, WSI_TOKEN_ORIGIN),
            token: Self.token(socket))
    }

    private static func refuse(_ socket: OpaquePointer, _ status: UInt32) -> Int32 {
        _ = lws_return_http_status(socket, status, nil)
        return lws_http_transaction_completed(socket) != 0 ? -1 : 0
    }

    private static func redirect(_ socket: OpaquePointer, to place: String) -> Int32 {
        var head = Array(
            "HTTP/1.1 302 Found\r\nlocation: \(place)\r\ncontent-length: 0\r\ncache-control: no-store\r\n".utf8)
        head += Array("referrer-policy: no-referrer\r\n\r\n".utf8)
        // Room before it, as libwebsockets wants it.
        var bytes = [UInt8](repeating: 0, count: CWS_PRE) + head
        let written = bytes.withUnsafeMutableBufferPointer { buffer in
            lws_write(socket, buffer.baseAddress.map { $0 + CWS_PRE }, head.count, LWS_WRITE_HTTP_HEADERS)
        }
        return written < 0 || lws_http_transaction_completed(socket) != 0 ? -1 : 0
    }

    // MARK: Of a request

    /// nil: it is not GET.
    private static func path(_ socket: OpaquePointer) -> String? { header(socket, WSI_TOKEN_GET_URI) }

    private static func token(_ socket: OpaquePointer) -> String? {
        var text = [CChar](repeating: 0, count: 128)
        guard let value = lws_get_urlarg_by_name(socket, "token=", &text, Int32(text.count)) else { return nil }
        return String(cString: value)
    }

    /// nil: there is none, or it is too long to be any that is known here.
    private static func header(_ socket: OpaquePointer, _ name: lws_token_indexes) -> String? {
        guard lws_hdr_total_length(socket, name) > 0 else { return nil }
        var text = [CChar](repeating: 0, count: 512)
        guard lws_hdr_copy(socket, &text, Int32(text.count), name) >= 0 else { return nil }
        return text.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } }
    }
}
