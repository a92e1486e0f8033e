// The target description: what registers there are, for gdb. Source: "Debugging with GDB", appendix G.

extension GDBRegisterSet {
    var description: String {
        var text = """
            <?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">\
            <architecture>\(architecture == .x86_64 ? "i386:x86-64" : "i386")</architecture>

            """
        let features: [(GDBRegister.Group, String)] = [
            (.core, "org.gnu.gdb.i386.core"), (.sse, "org.gnu.gdb.i386.sse"), (.segments, "org.gnu.gdb.i386.segments"),
            (.system, "org.backplane.i386.system"),
        ]
        for (group, name) in features {
            let own = registers.filter { $0.group == group }
            guard !own.isEmpty else { continue }
            text += "<feature name=\"\(name)\">\n" + GDBRegisterSet.types(group, architecture == .x86_64)
            for register in own {
                text += "<reg name=\"\(register.name)\" bitsize=\"\(register.bytes * 8)\" type=\"\(register.type)\"/>\n"
            }
            text += "</feature>\n"
        }
        return text + "</target>\n"
    }

    /// Bits by name: gdb shows "[ ZF PF ]".
    private static func flags(_ id: String, _ size: Int, _ fields: [(String, Int)]) -> String {
        "<flags id=\"\(id)\" size=\"\(size)\">"
            + fields.map { "<field name=\"\($0.0)\" start=\"\($0.1)\" end=\"\($0.1)\"/>" }.joined() + "</flags>\n"
    }

    private static func types(_ group: GDBRegister.Group, _ is64: Bool) -> String {
        let size = is64 ? 8 : 4
        switch group {
        case .core:
            return flags(
                "i386_eflags", 4,
                [
                    ("", 22), ("CF", 0), ("", 1), ("PF", 2), ("AF", 4), ("ZF", 6), ("SF", 7), ("TF", 8), ("IF", 9),
                    ("DF", 10), ("OF", 11), ("NT", 14), ("RF", 16), ("VM", 17), ("AC", 18), ("VIF", 19), ("VIP", 20),
                    ("ID", 21),
                ].filter { !$0.0.isEmpty })
        case .sse:
            let vectors = [
                ("v4f", "ieee_single", 4), ("v2d", "ieee_double", 2), ("v16i8", "int8", 16), ("v8i16", "int16", 8),
                ("v4i32", "int32", 4), ("v2i64", "int64", 2),
            ].map { "<vector id=\"\($0.0)\" type=\"\($0.1)\" count=\"\($0.2)\"/>" }.joined()
            let fields = [
                ("v4_float", "v4f"), ("v2_double", "v2d"), ("v16_int8", "v16i8"), ("v8_int16", "v8i16"),
                ("v4_int32", "v4i32"), ("v2_int64", "v2i64"), ("uint128", "uint128"),
            ].map { "<field name=\"\($0.0)\" type=\"\($0.1)\"/>" }.joined()
            return vectors + "<union id=\"vec128\">" + fields + "</union>\n"
                + flags(
                    "i386_mxcsr", 4,
                    [
                        ("IE", 0), ("DE", 1), ("ZE", 2), ("OE", 3), ("UE", 4), ("PE", 5), ("DAZ", 6), ("IM", 7),
                        ("DM", 8), ("ZM", 9), ("OM", 10), ("UM", 11), ("PM", 12), ("FZ", 15),
                    ])
        case .segments: return ""
        case .system:
            return flags(
                "i386_cr0", size,
                [
                    ("PE", 0), ("MP", 1), ("EM", 2), ("TS", 3), ("ET", 4), ("NE", 5), ("WP", 16), ("AM", 18),
                    ("NW", 29), ("CD", 30), ("PG", 31),
                ])
                + flags(
                    "i386_cr4", size,
                    [
                        ("VME", 0), ("PVI", 1), ("TSD", 2), ("DE", 3), ("PSE", 4), ("PAE", 5), ("MCE", 6), ("PGE", 7),
                        ("PCE", 8), ("OSFXSR", 9), ("OSXMMEXCPT", 10), ("UMIP", 11), ("FSGSBASE", 16), ("PCIDE", 17),
                        ("OSXSAVE", 18), ("SMEP", 20), ("SMAP", 21), ("PKE", 22),
                    ]) + flags("i386_efer", 8, [("SCE", 0), ("LME", 8), ("LMA", 10), ("NXE", 11)])
        }
    }
}
