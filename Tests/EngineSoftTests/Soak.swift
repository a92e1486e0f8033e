import Glibc

/// How much more than in CI: BACKPLANE_SOAK, 1 where it is not set. BACKPLANE_SEED makes a run other than the usual one.
enum Soak {
    static let factor =
        getenv("BACKPLANE_SOAK").flatMap { Int(String(cString: $0)) }.map { max(1, min($0, 100_000)) } ?? 1
    static let seed = getenv("BACKPLANE_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
}
