/// The templates of plugins in Rust: a crate without dependencies, with the logic in a file of its own that has its tests, the plugin,
/// and the bindings (RustBindings.swift, made from the header).
enum ScaffoldRust {
    static let device = files("chip", chip, devicePlugin)
    static let policy = files("decisions", decisions, policyPlugin)
    static let backend = files("queue", queue, backendPlugin)

    private static func files(_ model: String, _ text: String, _ plugin: String) -> [Scaffold.File] {
        [
            Scaffold.File(path: "Cargo.toml", text: manifest),
            Scaffold.File(path: "Makefile", text: makefile),
            Scaffold.File(path: "src/lib.rs", text: plugin),
            Scaffold.File(path: "src/\(model).rs", text: text),
            Scaffold.File(path: "src/backplane.rs", text: bindings),
        ]
    }

    private static let manifest = #"""
        [package]
        name = "@NAME@-plugin"
        version = "0.1.0"
        edition = "2021"
        publish = false

        # `make` copies the library to @NAME@.so. It needs no crate: src/backplane.rs has the bindings.
        [lib]
        name = "plugin"
        crate-type = ["cdylib"]

        # A panic may not leave a callback: it ends the process, and the crash report names the instance.
        [profile.release]
        panic = "abort"
        debug = true

        """#

    /// Tabs are make's.
    private static let makefile = """
        # make: build @NAME@.so.  make test: unit tests, the bench, machine.yaml.  make clean
        PKG_CONFIG ?= pkg-config
        CARGO ?= cargo
        BACKPLANE ?= $(subst \\,,$(shell $(PKG_CONFIG) --variable=executable backplane))

        all: @NAME@.so

        @NAME@.so: Cargo.toml $(wildcard src/*.rs)
        \t$(CARGO) build --release --offline --target-dir target
        \tcp -f target/release/libplugin.so $@

        test: @NAME@.so | found
        \t$(CARGO) test --offline --target-dir target
        \t"$(BACKPLANE)" plugin test ./@NAME@.so
        \t"$(BACKPLANE)" check machine.yaml

        clean:
        \trm -rf target @NAME@.so

        # What is missing is said once, in words.
        found:
        \t@$(PKG_CONFIG) --exists backplane || { \\
        \t  echo "pkg-config finds no Backplane: set PKG_CONFIG_PATH=PREFIX/lib/pkgconfig" >&2; exit 1; }

        .PHONY: all test clean found

        """

    // MARK: Device

    private static let chip = #"""
        //! A counter in three ports: the chip only. `lib.rs` connects it to ports and an interrupt line.

        /// Reads as the count, 0 to 255. A write adds its value, modulo 256.
        pub const COUNT: u64 = 0;
        /// The count that sets REACHED; 0: none.
        pub const LIMIT: u64 = 1;
        pub const STATUS: u64 = 2;
        pub const REGISTERS: u64 = 3;

        /// Of STATUS: drives the interrupt line. Writing a 1 clears it.
        pub const REACHED: u8 = 1 << 0;

        /// A snapshot is exactly this.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct Chip {
            pub count: u8,
            pub limit: u8,
            pub status: u8,
        }

        impl Chip {
            /// `limit`: LIMIT after each reset.
            pub fn after_reset(limit: u8) -> Self {
                Chip { limit, ..Chip::default() }
            }

            /// Has no side effect, so that a debugger may look.
            pub fn read(&self, offset: u64) -> u8 {
                match offset {
                    COUNT => self.count,
                    LIMIT => self.limit,
                    STATUS => self.status,
                    _ => 0xff,
                }
            }

            pub fn write(&mut self, offset: u64, value: u8) {
                match offset {
                    COUNT => self.add(value),
                    LIMIT => self.limit = value,
                    STATUS => self.status &= !(value & REACHED),
                    _ => {}
                }
            }

            /// What a guest does must not panic: the sum wraps.
            fn add(&mut self, value: u8) {
                let (sum, wrapped) = self.count.overflowing_add(value);
                if self.limit != 0 && (wrapped || sum >= self.limit) {
                    self.status |= REACHED;
                }
                self.count = sum;
            }

            /// The pin, derived from the registers.
            pub fn interrupt(&self) -> bool {
                self.status & REACHED != 0
            }
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn reset_sets_the_limit_and_nothing_else() {
                let chip = Chip::after_reset(10);
                assert_eq!((chip.read(0), chip.read(1), chip.read(2)), (0, 10, 0));
                assert!(!chip.interrupt());
            }

            #[test]
            fn reaching_the_limit_interrupts_until_it_is_cleared() {
                let mut chip = Chip::after_reset(10);
                chip.write(0, 9);
                assert!(!chip.interrupt());
                chip.write(0, 1);
                assert_eq!(chip.read(2), 1);
                chip.write(2, 0);
                assert!(chip.interrupt());
                chip.write(2, 1);
                assert!(!chip.interrupt());
            }

            #[test]
            fn without_a_limit_the_count_wraps_in_silence() {
                let mut chip = Chip::after_reset(0);
                chip.write(0, 255);
                chip.write(0, 2);
                assert_eq!(chip.read(0), 1);
                assert!(!chip.interrupt());
            }

            #[test]
            fn a_sum_that_wraps_has_passed_the_limit() {
                let mut chip = Chip::after_reset(255);
                chip.write(0, 200);
                chip.write(0, 200);
                assert_eq!(chip.read(0), 144);
                assert!(chip.interrupt());
            }
        }

        """#

    private static let devicePlugin = #"""
        //! @NAME@: a counter in three I/O ports, with a limit and an interrupt. `chip.rs` is the chip; this is its connection to the host.
        //!
        //! SAFETY, for the whole file: the host passes to each callback what `create` gave it, one callback at a time, and pointers that are
        //! valid for the call. It never enters an instance that is on the call stack.
        mod backplane;
        mod chip;

        use backplane::*;
        use chip::Chip;
        use core::ffi::{c_char, c_void, CStr};
        use core::ptr;

        /// One for each instance; no global variable.
        struct Device {
            host: *const bp_host,
            irq: Option<&'static bp_irq_1>,
            /// 0: not wired
            line: bp_id,
            base: u64,
            /// LIMIT after a reset
            limit: u8,
            chip: Chip,
        }

        impl Device {
            unsafe fn of<'a>(raw: *mut c_void) -> &'a mut Device {
                unsafe { &mut *raw.cast() }
            }

            /// Tells the line what the pin says; a level that has not changed costs nothing.
            fn settle(&self) {
                if let (Some(irq), true) = (self.irq, self.line != 0) {
                    unsafe { (irq.set)(self.host, self.line, self.chip.interrupt() as u32) };
                }
            }

            unsafe fn fail(&self, status: bp_status, text: &str) -> bp_status {
                unsafe { fail(self.host, status, text) }
            }
        }

        // ---- Handlers. The claim takes bytes only; the host splits wider accesses. --------------------------

        unsafe extern "C" fn read(raw: *mut c_void, access: *const bp_access, value: *mut u64) -> bp_status {
            unsafe { *value = Device::of(raw).chip.read((*access).offset) as u64 };
            BP_OK
        }

        unsafe extern "C" fn write(raw: *mut c_void, access: *const bp_access, value: u64) -> bp_status {
            let device = unsafe { Device::of(raw) };
            device.chip.write(unsafe { (*access).offset }, value as u8);
            device.settle();
            BP_OK
        }

        // ---- Lifecycle ---------------------------------------------------------------------------------------

        unsafe extern "C" fn create(
            _class: *const bp_class, host: *const bp_host, values: *const bp_value, out: *mut *mut c_void,
        ) -> bp_status {
            // In the order of PROPERTIES; bounds are declared there, and the host checks them.
            let (at, limit) = unsafe { ((*values).content.u, (*values.add(1)).content.u) };
            if at > 0x10000 - chip::REGISTERS {
                return unsafe { fail(host, BP_INVALID, "at: three ports from this one end beyond 0xffff") };
            }
            let chip = Chip::after_reset(limit as u8);
            let device = Device { host, irq: None, line: 0, base: at, limit: limit as u8, chip };
            unsafe { *out = Box::into_raw(Box::new(device)).cast() };
            BP_OK
        }

        unsafe extern "C" fn connect(raw: *mut c_void) -> bp_status {
            let device = unsafe { Device::of(raw) };
            let io: Option<&bp_io_1> = unsafe { service(device.host, c"io/1") };
            device.irq = unsafe { service(device.host, c"irq/1") };
            let (Some(io), Some(irq)) = (io, device.irq) else {
                return unsafe { device.fail(BP_UNSUPPORTED, "this host lacks io/1 or irq/1") };
            };
            match unsafe { (irq.line)(device.host, c"irq".as_ptr(), 0, &mut device.line) } {
                BP_OK => {}
                BP_NOT_FOUND => device.line = 0, // the slot is optional
                status => return unsafe { device.fail(status, "the interrupt line cannot be had") },
            }
            let claim = bp_claim {
                space: BP_SPACE_PORT as u16,
                widths: 1,
                base: device.base,
                length: chip::REGISTERS,
                name: c"counter".as_ptr(),
                read: Some(read),
                write: Some(write),
                ..bp_claim::NEW
            };
            let mut id: bp_id = 0; // the host releases what is left at disconnect
            unsafe { (io.claim)(device.host, &claim, &mut id) }
        }

        unsafe extern "C" fn reset(raw: *mut c_void, _kind: u32) {
            let device = unsafe { Device::of(raw) };
            device.chip = Chip::after_reset(device.limit);
            device.settle();
        }

        unsafe extern "C" fn destroy(raw: *mut c_void) {
            drop(unsafe { Box::<Device>::from_raw(raw.cast()) });
        }

        // ---- State: tagged fields; what comes back is hostile --------------------------------------------------

        unsafe extern "C" fn save(raw: *mut c_void, state: *mut bp_state) -> bp_status {
            let device = unsafe { Device::of(raw) };
            let Some(fields) = (unsafe { service::<bp_state_1>(device.host, c"state/1") }) else {
                return unsafe { device.fail(BP_UNSUPPORTED, "this host does not offer state/1") };
            };
            let chip = device.chip;
            for (key, value) in [(c"count", chip.count), (c"limit", chip.limit), (c"status", chip.status)] {
                let status = unsafe { (fields.put_unsigned)(state, key.as_ptr(), value as u64, 0) };
                if status != BP_OK {
                    return status;
                }
            }
            BP_OK
        }

        unsafe extern "C" fn load(raw: *mut c_void, _version: u32, state: *mut bp_state) -> bp_status {
            let device = unsafe { Device::of(raw) };
            let Some(fields) = (unsafe { service::<bp_state_1>(device.host, c"state/1") }) else {
                return unsafe { device.fail(BP_UNSUPPORTED, "this host does not offer state/1") };
            };
            let get = |key: &CStr, most: u8| -> Result<u8, bp_status> {
                let mut value = 0;
                match unsafe { (fields.get_unsigned)(state, key.as_ptr(), &mut value) } {
                    BP_OK if value <= most as u64 => Ok(value as u8),
                    BP_OK => Err(BP_INVALID),
                    status => Err(status),
                }
            };
            // The instance stays as it is until all of it is good.
            match (get(c"count", 255), get(c"limit", 255), get(c"status", chip::REACHED)) {
                (Ok(count), Ok(limit), Ok(status)) => device.chip = Chip { count, limit, status },
                (Err(status), _, _) | (_, Err(status), _) | (_, _, Err(status)) => {
                    return unsafe { device.fail(status, "a number of the state is missing or too large") };
                }
            }
            device.settle();
            BP_OK
        }

        // ---- Methods: ordinary functions, called by name from on-start: and the monitor ------------------------

        unsafe extern "C" fn count(raw: *mut c_void) -> u8 {
            unsafe { Device::of(raw).chip.count }
        }

        unsafe extern "C" fn clear(raw: *mut c_void) {
            let device = unsafe { Device::of(raw) };
            device.chip.count = 0;
            device.chip.status = 0;
            device.settle();
        }

        /// As descriptors have a method.
        const fn function<F: Copy>(function: F) -> Option<unsafe extern "C" fn()> {
            // SAFETY: `F` is a C function; the host calls it with the declared signature.
            unsafe { core::mem::transmute_copy(&function) }
        }

        // ---- The class and the library: constants --------------------------------------------------------------

        const fn text(text: &'static CStr) -> *const c_char {
            text.as_ptr()
        }

        static PROPERTIES: List<bp_property, 2> = List([
            &bp_property {
                r#type: BP_PORT as u16,
                name: text(c"at"),
                default_value: text(c"0x2e0"),
                doc: text(c"The first of three ports."),
                ..bp_property::NEW
            },
            &bp_property {
                r#type: BP_UNSIGNED as u16,
                flags: BP_PROPERTY_BOUNDED as u16,
                name: text(c"limit"),
                default_value: text(c"0"),
                doc: text(c"LIMIT after each reset; 0: none."),
                minimum: 0,
                maximum: 255,
                ..bp_property::NEW
            },
        ]);

        static SLOTS: List<bp_slot, 1> = List([&bp_slot {
            flags: BP_SLOT_OPTIONAL,
            name: text(c"irq"),
            interface: text(c"irq-line/1"),
            doc: text(c"Raised while REACHED is set."),
            ..bp_slot::NEW
        }]);

        static METHODS: List<bp_method, 2> = List([
            &bp_method {
                result: BP_T_U8,
                name: text(c"count"),
                doc: text(c"Answers the count."),
                function: function(count as unsafe extern "C" fn(*mut c_void) -> u8),
                ..bp_method::NEW
            },
            &bp_method {
                result: BP_T_VOID,
                name: text(c"clear"),
                doc: text(c"Sets count and status to 0."),
                function: function(clear as unsafe extern "C" fn(*mut c_void)),
                ..bp_method::NEW
            },
        ]);

        // What it is to an operating system with ACPI, by an ID of yours; its ports and its interrupt are found by what it claims and is wired to.
        static NODES: List<bp_firmware_node, 1> =
            List([&bp_firmware_node { hid: text(c"BCKP0001"), ..bp_firmware_node::NEW }]);

        static CLASSES: List<bp_class, 1> = List([&bp_class {
            kind: BP_DEVICE as u16,
            state_version: 1,
            name: text(c"@NAME@"),
            summary: text(c"a counter in three ports"),
            property_count: List::<bp_property, 2>::COUNT,
            properties: PROPERTIES.pointer(),
            slot_count: List::<bp_slot, 1>::COUNT,
            slots: SLOTS.pointer(),
            method_count: List::<bp_method, 2>::COUNT,
            methods: METHODS.pointer(),
            create: Some(create),
            connect: Some(connect),
            reset: Some(reset),
            save: Some(save),
            load: Some(load),
            destroy: Some(destroy), // the others: nothing to do
            node_count: List::<bp_firmware_node, 1>::COUNT,
            nodes: NODES.pointer(),
            ..bp_class::NEW
        }]);

        static PLUGIN: bp_plugin = bp_plugin {
            abi_major: BP_ABI_MAJOR as u16,
            abi_minor: 0, // the lowest minor that it needs
            name: text(c"@NAME@"),
            version: text(c"0.1"),
            summary: text(c"a counter in three ports"),
            licence: text(c"NONE"),
            class_count: List::<bp_class, 1>::COUNT,
            classes: CLASSES.pointer(),
            ..bp_plugin::NEW
        };

        /// The one symbol of the library.
        #[no_mangle]
        pub extern "C" fn backplane_plugin(host_major: u32, _host_minor: u32) -> *const bp_plugin {
            // The host refuses what needs a newer minor, and names both.
            if host_major == BP_ABI_MAJOR { &PLUGIN } else { ptr::null() }
        }

        """#
}
