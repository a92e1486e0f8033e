import ArgumentParser
import FoundationEssentials
import Glibc

/// Children run under the address sanitizer: its runtime is loaded before everything else, where it takes the place of malloc and
/// watches memory. What a plugin itself does with memory is watched in full where it was compiled with -fsanitize=address.
enum AddressSanitizer {
    /// For all children that are started from here on.
    static func enable(for library: String, runtime: String?) throws {
        guard let path = runtime ?? find(for: library), access(path, R_OK) == 0 else {
            complain(
                "--sanitize needs a runtime of the address sanitizer" + (runtime.map { ": there is no '\($0)'" } ?? "")
                    + "; gcc's is in Debian's libasan8, clang's in libclang-rt-dev, and --sanitizer-runtime names another"
            )
            throw ExitCode(2)
        }
        setenv("LD_PRELOAD", path, 1)
        // The bench reports signals and leaks itself.
        let options =
            "abort_on_error=1:detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0:"
            + "use_sigaltstack=0:allocator_may_return_null=1:verify_asan_link_order=0"
        let given = getenv("ASAN_OPTIONS").map { ":" + String(cString: $0) } ?? ""
        setenv("ASAN_OPTIONS", options + given, 1)
    }

    /// The runtime that the library was linked with, or any.
    private static func find(for library: String) -> String? {
        let names = needed(library)
        let gcc = names.first { $0.hasPrefix("libasan.so") }
        if let gcc, let path = systemFolders.map({ "\($0)/\(gcc)" }).first(where: isThere) { return path }
        let clang = clangRuntimes
        if gcc == nil, let path = clang.first { return path }
        return gccRuntimes.first ?? clang.first
    }

    private static let systemFolders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib/x86_64-linux-gnu"]

    private static func isThere(_ path: String) -> Bool { access(path, R_OK) == 0 }

    private static var gccRuntimes: [String] {
        matches("/usr/lib/gcc/x86_64-linux-gnu/*/libasan.so")
            + systemFolders.flatMap { matches("\($0)/libasan.so.*") }
    }

    /// Beside the compilers on the PATH, and where Debian has them.
    private static var clangRuntimes: [String] {
        let folders = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").map(String.init)
        let compilers = folders.flatMap { ["\($0)/clang", "\($0)/swiftc"] }.filter(isThere)
        let roots = compilers.compactMap { path -> String? in
            guard let real = realpath(path, nil) else { return nil }
            defer { free(real) }
            let parts = String(cString: real).split(separator: "/").dropLast(2)
            return "/" + parts.joined(separator: "/")
        }
        let name = "libclang_rt.asan-x86_64.so"
        return (roots + ["/usr", "/usr/lib/llvm-*"]).flatMap { matches("\($0)/lib/clang/*/lib/linux/\(name)") }
    }

    private static func matches(_ pattern: String) -> [String] {
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, 0, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { found.gl_pathv[$0].map { String(cString: $0) } }
    }

    /// Names of libraries in the file's bytes, its DT_NEEDED among them: good enough to tell gcc's runtime from clang's.
    private static func needed(_ library: String) -> [String] {
        guard let data = FileManager.default.contents(atPath: library) else { return [] }
        return data.split(separator: 0, omittingEmptySubsequences: true).filter { (8..<64).contains($0.count) }
            .map { String(decoding: $0, as: UTF8.self) }.filter { $0.hasPrefix("lib") && $0.contains(".so") }
    }
}
