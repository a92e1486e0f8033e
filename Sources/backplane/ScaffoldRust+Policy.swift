extension ScaffoldRust {
    static let decisions = #"""
        //! What ports that no device claims read as: the decision only. `lib.rs` connects it to the chain of policies.

        /// An access to a port that nothing claims.
        #[derive(Clone, Copy)]
        pub struct Access {
            /// 1, 2 or 4 bytes.
            pub width: u32,
            pub is_write: bool,
            /// Of a string instruction.
            pub is_string: bool,
        }

        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Answer {
            Drop,
            Read(u64),
            LeaveToOthers,
        }

        pub struct Decisions {
            pub byte: u8,
            /// Accesses answered since reset.
            pub answered: u64,
        }

        impl Decisions {
            /// String instructions are left to the next policy.
            pub fn answer(&mut self, access: Access) -> Answer {
                if access.is_string {
                    return Answer::LeaveToOthers;
                }
                self.answered = self.answered.wrapping_add(1);
                if access.is_write { Answer::Drop } else { Answer::Read(self.value(access.width)) }
            }

            /// The byte in each place.
            fn value(&self, width: u32) -> u64 {
                (0..width.min(8)).fold(0, |value, _| value << 8 | self.byte as u64)
            }
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            fn read(width: u32) -> Access {
                Access { width, is_write: false, is_string: false }
            }

            #[test]
            fn a_read_gives_the_byte_in_each_place() {
                let mut decisions = Decisions { byte: 0x5a, answered: 0 };
                assert_eq!(decisions.answer(read(1)), Answer::Read(0x5a));
                assert_eq!(decisions.answer(read(2)), Answer::Read(0x5a5a));
                assert_eq!(decisions.answer(read(4)), Answer::Read(0x5a5a_5a5a));
                assert_eq!(decisions.answered, 3);
            }

            #[test]
            fn a_write_is_dropped_and_counted() {
                let mut decisions = Decisions { byte: 0, answered: 0 };
                assert_eq!(decisions.answer(Access { is_write: true, ..read(1) }), Answer::Drop);
                assert_eq!(decisions.answered, 1);
            }

            #[test]
            fn string_instructions_are_left_to_others() {
                let mut decisions = Decisions { byte: 0, answered: 0 };
                assert_eq!(decisions.answer(Access { is_string: true, ..read(1) }), Answer::LeaveToOthers);
                assert_eq!(decisions.answered, 0);
            }
        }

        """#

    static let policyPlugin = #"""
        //! @NAME@: an exit policy: ports that no device claims read as a chosen byte, and are counted. Writes to them are dropped; string
        //! instructions and all other accesses go to the next policy of the chain. `decisions.rs` decides; this is its connection to the host.
        //!
        //! SAFETY, for the whole file: the host passes to each callback what `create` gave it, one callback at a time, and pointers that are
        //! valid for the call. It never enters an instance that is on the call stack.
        mod backplane;
        mod decisions;

        use backplane::*;
        use core::ffi::{c_char, c_void, CStr};
        use core::ptr;
        use decisions::{Access, Answer, Decisions};

        /// One for each instance; no global variable.
        struct Policy {
            host: *const bp_host,
            /// Ports, inclusive.
            first: u64,
            last: u64,
            decisions: Decisions,
        }

        impl Policy {
            unsafe fn of<'a>(raw: *mut c_void) -> &'a mut Policy {
                unsafe { &mut *raw.cast() }
            }

            unsafe fn fail(&self, status: bp_status, text: &str) -> bp_status {
                unsafe { fail(self.host, status, text) }
            }
        }

        /// Called for the exits that `connect` asks for. The others cost nothing. `_verdict` takes the details of stop and inject.
        unsafe extern "C" fn decide(raw: *mut c_void, exit: *mut bp_exit, _verdict: *mut bp_verdict) -> u32 {
            let (policy, exit) = unsafe { (Policy::of(raw), &mut *exit) };
            let flags = exit.flags as u32;
            if exit.reason as u32 != BP_EXIT_IO || flags & BP_EXITF_UNCLAIMED == 0 {
                return BP_VERDICT_CONTINUE;
            }
            let is_write = flags & BP_EXITF_WRITE != 0;
            let access = Access { width: exit.width, is_write, is_string: flags & BP_EXITF_STRING != 0 };
            match policy.decisions.answer(access) {
                Answer::LeaveToOthers => return BP_VERDICT_CONTINUE,
                Answer::Read(value) => exit.value = value,
                Answer::Drop => {}
            }
            BP_VERDICT_HANDLED
        }

        // ---- Lifecycle ---------------------------------------------------------------------------------------

        unsafe extern "C" fn create(
            _class: *const bp_class, host: *const bp_host, values: *const bp_value, out: *mut *mut c_void,
        ) -> bp_status {
            // In the order of PROPERTIES; bounds are declared there, and the host checks them.
            let (ports, reads_as) = unsafe { (&*values, &*values.add(1)) };
            let byte = unsafe { reads_as.content.u } as u8;
            let policy = Policy {
                host,
                first: unsafe { ports.content.u },
                last: ports.last,
                decisions: Decisions { byte, answered: 0 },
            };
            unsafe { *out = Box::into_raw(Box::new(policy)).cast() };
            BP_OK
        }

        unsafe extern "C" fn connect(raw: *mut c_void) -> bp_status {
            let policy = unsafe { Policy::of(raw) };
            let Some(exits) = (unsafe { service::<bp_exit_1>(policy.host, c"exit/1") }) else {
                return unsafe { policy.fail(BP_UNSUPPORTED, "this host does not offer exit/1") };
            };
            let want = bp_want {
                reason: BP_EXIT_IO as u16,
                flags: (BP_WANT_DECIDE | BP_WANT_UNCLAIMED) as u16,
                first: policy.first,
                last: policy.last,
                ..bp_want::NEW
            };
            let mut id: bp_id = 0; // for unwant
            unsafe { (exits.want)(policy.host, &want, &mut id) }
        }

        unsafe extern "C" fn reset(raw: *mut c_void, _kind: u32) {
            unsafe { Policy::of(raw).decisions.answered = 0 };
        }

        unsafe extern "C" fn destroy(raw: *mut c_void) {
            drop(unsafe { Box::<Policy>::from_raw(raw.cast()) });
        }

        // ---- State: tagged fields; what comes back is hostile --------------------------------------------------

        unsafe extern "C" fn save(raw: *mut c_void, state: *mut bp_state) -> bp_status {
            let policy = unsafe { Policy::of(raw) };
            let Some(fields) = (unsafe { service::<bp_state_1>(policy.host, c"state/1") }) else {
                return unsafe { policy.fail(BP_UNSUPPORTED, "this host does not offer state/1") };
            };
            unsafe { (fields.put_unsigned)(state, c"answered".as_ptr(), policy.decisions.answered, 0) }
        }

        unsafe extern "C" fn load(raw: *mut c_void, _version: u32, state: *mut bp_state) -> bp_status {
            let policy = unsafe { Policy::of(raw) };
            let Some(fields) = (unsafe { service::<bp_state_1>(policy.host, c"state/1") }) else {
                return unsafe { policy.fail(BP_UNSUPPORTED, "this host does not offer state/1") };
            };
            let mut answered = 0; // every value of it is good
            match unsafe { (fields.get_unsigned)(state, c"answered".as_ptr(), &mut answered) } {
                BP_OK => policy.decisions.answered = answered,
                status => return unsafe { policy.fail(status, "the state has no number \"answered\"") },
            }
            BP_OK
        }

        // ---- Methods: ordinary functions, called by name from on-start: and the monitor ------------------------

        unsafe extern "C" fn answered(raw: *mut c_void) -> u64 {
            unsafe { Policy::of(raw).decisions.answered }
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
                r#type: BP_RANGE as u16,
                flags: BP_PROPERTY_BOUNDED as u16,
                name: text(c"ports"),
                default_value: text(c"0x80"),
                doc: text(c"Which ports."),
                minimum: 0,
                maximum: 0xffff,
                ..bp_property::NEW
            },
            &bp_property {
                r#type: BP_UNSIGNED as u16,
                flags: BP_PROPERTY_BOUNDED as u16,
                name: text(c"reads-as"),
                default_value: text(c"0"),
                doc: text(c"The byte that they read as."),
                minimum: 0,
                maximum: 255,
                ..bp_property::NEW
            },
        ]);

        static METHODS: List<bp_method, 1> = List([&bp_method {
            result: BP_T_U64,
            name: text(c"answered"),
            doc: text(c"Answers the number of accesses since reset."),
            function: function(answered as unsafe extern "C" fn(*mut c_void) -> u64),
            ..bp_method::NEW
        }]);

        static TABLE: bp_policy = bp_policy { decide: Some(decide), ..bp_policy::NEW };

        static CLASSES: List<bp_class, 1> = List([&bp_class {
            kind: BP_POLICY as u16,
            state_version: 1,
            name: text(c"@NAME@"),
            summary: text(c"ports that nothing claims read as a chosen byte"),
            property_count: List::<bp_property, 2>::COUNT,
            properties: PROPERTIES.pointer(),
            method_count: List::<bp_method, 1>::COUNT,
            methods: METHODS.pointer(),
            policy: &TABLE,
            create: Some(create),
            connect: Some(connect),
            reset: Some(reset),
            save: Some(save),
            load: Some(load),
            destroy: Some(destroy), // the others: nothing to do
            ..bp_class::NEW
        }]);

        static PLUGIN: bp_plugin = bp_plugin {
            abi_major: BP_ABI_MAJOR as u16,
            abi_minor: 0, // the lowest minor that it needs
            name: text(c"@NAME@"),
            version: text(c"0.1"),
            summary: text(c"ports that nothing claims read as a chosen byte"),
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
