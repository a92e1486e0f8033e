/// The README of a new plugin.
enum ScaffoldText {
    static func readme(_ kind: Scaffold.Kind, _ language: Scaffold.Language) -> String {
        let (what, files, needs): (String, String, String)
        switch kind {
        case .device: what = device
        case .pci: what = pci
        case .policy: what = policy
        case .backend: what = backend
        }
        switch language {
        case .c: (files, needs) = (cFiles, "")
        case .swift: (files, needs) = (swiftFiles(kind), swiftNeeds)
        case .rust: (files, needs) = (rustFiles(kind), rustNeeds)
        }
        return "# @NAME@\n\n" + what + "\n\n" + files + machine + "\n" + building + needs
    }

    /// What the logic is called.
    private static func model(_ kind: Scaffold.Kind) -> String {
        switch kind {
        case .device, .pci: "Chip"
        case .policy: "Decisions"
        case .backend: "Queue"
        }
    }

    private static let device = """
        A Backplane device: a counter in three ports, with a limit and an interrupt.

        | Port | Register | |
        |---|---|---|
        | `at` + 0 | COUNT | reads as the count; a write adds to it, modulo 256 |
        | `at` + 1 | LIMIT | the count that sets REACHED; 0: none |
        | `at` + 2 | STATUS | bit 0 REACHED drives `irq`; writing a 1 clears it |
        """

    private static let pci = """
        A Backplane device on a PCI bus: a counter, with a limit, an interrupt and a way to memory. Vendor 1234, device 4242;
        its registers are of 32 bits, in base address register 0.

        | Offset | Register | |
        |---|---|---|
        | 0x0 | COUNT | reads as the count; a write adds to it, modulo 2^32 |
        | 0x4 | LIMIT | the count that sets REACHED; 0: none |
        | 0x8 | STATUS | bit 0 REACHED asserts INTA#, bit 1 FAILED: the last store did not reach memory; writing a 1 clears |
        | 0xC | STORE | a write stores the count at this address, by DMA |
        """

    private static let policy = """
        A Backplane exit policy: ports that no device claims read as a chosen byte, and are counted.
        Writes to them are dropped. Other accesses go to the next policy of the chain.
        """

    private static let backend = """
        A Backplane backend for `stream/1`: an echo. What a device writes comes back, in capitals if wanted, as fast as the
        device can take it.
        """

    private static let cFiles = """
        - `@NAME@.c`: the plugin
        - `test.c`: tests of its logic, without a host

        """

    private static func swiftFiles(_ kind: Scaffold.Kind) -> String {
        """
        - `Sources/@TYPE@\(model(kind))`: the logic, a plain struct that tests link
        - `Sources/@TYPE@Plugin`: its connection to the host
        - `Tests`: tests of the logic

        """
    }

    private static func rustFiles(_ kind: Scaffold.Kind) -> String {
        """
        - `src/\(model(kind).lowercased()).rs`: the logic and its tests, without a host
        - `src/lib.rs`: its connection to the host
        - `src/backplane.rs`: the plugin ABI, made from Backplane's header

        """
    }

    private static let machine = "- `machine.yaml`: a machine with one of it\n"

    private static let building = """
        `make` builds `@NAME@.so`, `make test` runs the tests, the bench and a check of `machine.yaml`.
        Both ask pkg-config for Backplane: where it is not installed under /usr or /usr/local, set
        `PKG_CONFIG_PATH=PREFIX/lib/pkgconfig`.

        """

    private static let swiftNeeds = """
        It needs the Swift release that Backplane was built with: `pkg-config --variable=swift_version backplane`.

        """

    private static let rustNeeds = """
        It needs Rust 1.82 or later, and no crate: cargo works offline.

        """
}
