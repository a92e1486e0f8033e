public enum LogLevel: UInt32, Sendable { case trace = 0, debug, info, warning, error }

extension Host {
    /// From any thread. The text is not built where the level is not kept.
    public func log(_ level: LogLevel, _ text: @autoclosure () -> String) {
        guard let table = table("log/1", as: bp_log_1.self), level.rawValue >= table.pointee.level(raw) else { return }
        var copy = text()
        copy.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) {
                table.pointee.write(raw, level.rawValue, $0.baseAddress, UInt64($0.count))
            }
        }
    }
}
