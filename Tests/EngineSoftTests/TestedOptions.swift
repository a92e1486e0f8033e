import Core
import EngineSoft
import Glibc

extension SoftOptions {
    /// What the tests of this module run with: BACKPLANE_TRANSLATE is `off`, `on`, `always` or `check`, as a machine file has it.
    static var tested: SoftOptions {
        var options = SoftOptions()
        switch getenv("BACKPLANE_TRANSLATE").map({ String(cString: $0) }) {
        case "off": options.translation = .off
        case "always": options.translation = .always
        case "check": options.translation = .check
        default: options.translation = .on
        }
        return options
    }
}
