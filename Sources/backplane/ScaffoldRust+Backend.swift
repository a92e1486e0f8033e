extension ScaffoldRust {
    static let queue = #"""
        //! Bytes on their way back: the queue only. `lib.rs` connects it to a stream.
        use std::collections::VecDeque;

        pub const CAPACITY: usize = 256;
        /// Waiting bytes from which nobody should put more.
        const ENOUGH: usize = 192;

        pub struct Queue {
            is_upper_case: bool,
            /// A snapshot is exactly this, and `lost`.
            waiting: VecDeque<u8>,
            /// Bytes that found no room.
            pub lost: u64,
        }

        impl Queue {
            /// `is_upper_case`: letters come back as capitals.
            pub fn new(is_upper_case: bool) -> Self {
                Queue { is_upper_case, waiting: VecDeque::with_capacity(CAPACITY), lost: 0 }
            }

            pub fn reset(&mut self) {
                self.waiting.clear();
                self.lost = 0;
            }

            pub fn put(&mut self, byte: u8) {
                if self.waiting.len() == CAPACITY {
                    self.lost = self.lost.wrapping_add(1);
                } else {
                    self.waiting.push_back(if self.is_upper_case { byte.to_ascii_uppercase() } else { byte });
                }
            }

            /// The oldest bytes, at most `room`.
            pub fn take(&mut self, room: u64) -> Vec<u8> {
                let count = self.waiting.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                self.waiting.drain(..count).collect()
            }

            pub fn has_enough(&self) -> bool {
                self.waiting.len() >= ENOUGH
            }

            pub fn waiting(&self) -> Vec<u8> {
                self.waiting.iter().copied().collect()
            }

            /// False, and nothing changed, where no queue can hold so much.
            pub fn restore(&mut self, waiting: &[u8], lost: u64) -> bool {
                if waiting.len() > CAPACITY {
                    return false;
                }
                self.waiting.clear();
                self.waiting.extend(waiting);
                self.lost = lost;
                true
            }
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            fn filled(count: usize) -> Queue {
                let mut queue = Queue::new(false);
                (0..count).for_each(|number| queue.put(number as u8));
                queue
            }

            #[test]
            fn letters_alone_become_capitals() {
                let mut queue = Queue::new(true);
                b"aQz{`9".iter().for_each(|byte| queue.put(*byte));
                assert_eq!(queue.take(9), b"AQZ{`9");
            }

            #[test]
            fn no_more_is_taken_than_there_is_room_for() {
                let mut queue = filled(3);
                assert_eq!(queue.take(2), [0, 1]);
                assert_eq!(queue.take(u64::MAX), [2]);
                assert!(queue.take(1).is_empty());
            }

            #[test]
            fn what_does_not_fit_is_lost_and_counted() {
                let queue = filled(258);
                assert_eq!((queue.waiting().len(), queue.lost), (256, 2));
            }

            #[test]
            fn it_has_enough_until_most_is_taken() {
                let mut queue = filled(191);
                assert!(!queue.has_enough());
                queue.put(0);
                assert!(queue.has_enough());
                queue.take(1);
                assert!(!queue.has_enough());
            }

            #[test]
            fn a_state_that_no_queue_can_have_is_refused() {
                let mut queue = filled(1);
                assert!(!queue.restore(&[0; 257], 0));
                assert_eq!(queue.waiting(), [0]);
            }
        }

        """#

    static let backendPlugin = #"""
        //! @NAME@: a backend for stream/1, an echo. What a device writes comes back as fast as the device can take it. `queue.rs` holds what
        //! is under way; this is its connection to the host.
        //!
        //! SAFETY, for the whole file: the host passes to each callback what `create` gave it, one callback at a time, and pointers that are
        //! valid for the call. It never enters an instance that is on the call stack.
        mod backplane;
        mod queue;

        use backplane::*;
        use core::ffi::{c_char, c_void, CStr};
        use core::ptr;
        use queue::Queue;

        /// One for each instance; no global variable.
        struct Backend {
            host: *const bp_host,
            /// The device; its functions are NULL where it is not wired.
            client: bp_peer,
            /// Bytes that the device can take.
            room: u64,
            /// The device was told to write no more.
            is_throttled: bool,
            queue: Queue,
        }

        impl Backend {
            unsafe fn of<'a>(raw: *mut c_void) -> &'a mut Backend {
                unsafe { &mut *raw.cast() }
            }

            unsafe fn fail(&self, status: bp_status, text: &str) -> bp_status {
                unsafe { fail(self.host, status, text) }
            }

            /// Sends what the device can take, and tells it to wait or to go on.
            fn settle(&mut self) {
                let (peer, client) = (self.client.self_, unsafe { self.client.functions.cast::<bp_stream_client>().as_ref() });
                let Some(&bp_stream_client { receive: Some(receive), throttle: Some(throttle), .. }) = client else { return };
                let bytes = self.queue.take(self.room);
                if !bytes.is_empty() {
                    self.room -= bytes.len() as u64;
                    // Copied, where the device is busy.
                    unsafe { receive(peer, self.client.index, bytes.as_ptr().cast(), bytes.len() as u64) };
                }
                if self.queue.has_enough() != self.is_throttled {
                    self.is_throttled = !self.is_throttled;
                    unsafe { throttle(peer, self.client.index, self.is_throttled as u32) };
                }
            }
        }

        // ---- stream/1: what the device calls ------------------------------------------------------------------

        unsafe extern "C" fn on_write(raw: *mut c_void, _index: u32, bytes: *const c_void, length: u64) {
            let backend = unsafe { Backend::of(raw) };
            if length > 0 {
                let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), length as usize) };
                bytes.iter().for_each(|byte| backend.queue.put(*byte));
            }
            backend.settle();
        }

        unsafe extern "C" fn on_ready(raw: *mut c_void, _index: u32, room: u64) {
            let backend = unsafe { Backend::of(raw) };
            backend.room = room;
            backend.settle();
        }

        unsafe extern "C" fn on_event(_raw: *mut c_void, _index: u32, _event: u32) {}

        static STREAM: bp_stream =
            bp_stream { write: Some(on_write), ready: Some(on_ready), event: Some(on_event), ..bp_stream::NEW };

        // ---- Lifecycle ---------------------------------------------------------------------------------------

        unsafe extern "C" fn create(
            _class: *const bp_class, host: *const bp_host, values: *const bp_value, out: *mut *mut c_void,
        ) -> bp_status {
            // In the order of PROPERTIES.
            let queue = Queue::new(unsafe { (*values).content.u } != 0);
            let backend = Backend { host, client: bp_peer::NEW, room: 0, is_throttled: false, queue };
            unsafe { *out = Box::into_raw(Box::new(backend)).cast() };
            BP_OK
        }

        unsafe extern "C" fn query(
            raw: *mut c_void, name: *const c_char, index: u32, client: *const bp_peer, out: *mut bp_peer,
        ) -> bp_status {
            let backend = unsafe { Backend::of(raw) };
            if unsafe { CStr::from_ptr(name) } != c"stream/1" {
                return unsafe { backend.fail(BP_NOT_FOUND, "it has stream/1 only") };
            }
            if let Some(client) = unsafe { client.as_ref() } {
                backend.client = *client;
            }
            let out = unsafe { &mut *out };
            (out.self_, out.index, out.functions) = (raw, index, (&raw const STREAM).cast());
            BP_OK
        }

        unsafe extern "C" fn reset(raw: *mut c_void, _kind: u32) {
            let backend = unsafe { Backend::of(raw) };
            backend.queue.reset();
            backend.settle();
        }

        /// After a load too: the device learns what it has to know.
        unsafe extern "C" fn start(raw: *mut c_void) -> bp_status {
            unsafe { Backend::of(raw) }.settle();
            BP_OK
        }

        unsafe extern "C" fn destroy(raw: *mut c_void) {
            drop(unsafe { Box::<Backend>::from_raw(raw.cast()) });
        }

        // ---- State: tagged fields; what comes back is hostile --------------------------------------------------

        unsafe extern "C" fn save(raw: *mut c_void, state: *mut bp_state) -> bp_status {
            let backend = unsafe { Backend::of(raw) };
            let Some(fields) = (unsafe { service::<bp_state_1>(backend.host, c"state/1") }) else {
                return unsafe { backend.fail(BP_UNSUPPORTED, "this host does not offer state/1") };
            };
            let waiting = backend.queue.waiting();
            let bytes = waiting.as_ptr().cast();
            let mut status = unsafe { (fields.put_bytes)(state, c"waiting".as_ptr(), bytes, waiting.len() as u64, 0) };
            for (key, value) in [(c"lost", backend.queue.lost), (c"room", backend.room)] {
                if status == BP_OK {
                    status = unsafe { (fields.put_unsigned)(state, key.as_ptr(), value, 0) };
                }
            }
            status
        }

        unsafe extern "C" fn load(raw: *mut c_void, _version: u32, state: *mut bp_state) -> bp_status {
            let backend = unsafe { Backend::of(raw) };
            let Some(fields) = (unsafe { service::<bp_state_1>(backend.host, c"state/1") }) else {
                return unsafe { backend.fail(BP_UNSUPPORTED, "this host does not offer state/1") };
            };
            let (mut bytes, mut length, mut lost, mut room) = (ptr::null(), 0, 0, 0);
            let results = unsafe {
                [
                    (fields.get_bytes)(state, c"waiting".as_ptr(), &mut bytes, &mut length),
                    (fields.get_unsigned)(state, c"lost".as_ptr(), &mut lost), // every value of the numbers is good
                    (fields.get_unsigned)(state, c"room".as_ptr(), &mut room),
                ]
            };
            if let Some(status) = results.into_iter().find(|status| *status != BP_OK) {
                return unsafe { backend.fail(status, "a field of the state is missing") };
            }
            let waiting: &[u8] =
                if length == 0 { &[] } else { unsafe { core::slice::from_raw_parts(bytes.cast(), length as usize) } };
            if !backend.queue.restore(waiting, lost) {
                return unsafe { backend.fail(BP_INVALID, "more bytes wait than there is room for") };
            }
            backend.room = room;
            BP_OK
        }

        // ---- Methods: ordinary functions, called by name from on-start: and the monitor ------------------------

        unsafe extern "C" fn lost(raw: *mut c_void) -> u64 {
            unsafe { Backend::of(raw).queue.lost }
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

        static PROPERTIES: List<bp_property, 1> = List([&bp_property {
            r#type: BP_BOOL as u16,
            name: text(c"upper-case"),
            default_value: text(c"on"),
            doc: text(c"Answers in capitals."),
            ..bp_property::NEW
        }]);

        static PROVIDED: List<bp_provided, 1> =
            List([&bp_provided { name: text(c"stream/1"), count: 1, doc: text(c"Comes back."), ..bp_provided::NEW }]);

        static METHODS: List<bp_method, 1> = List([&bp_method {
            result: BP_T_U64,
            name: text(c"lost"),
            doc: text(c"Answers how many bytes found no room."),
            function: function(lost as unsafe extern "C" fn(*mut c_void) -> u64),
            ..bp_method::NEW
        }]);

        static CLASSES: List<bp_class, 1> = List([&bp_class {
            kind: BP_BACKEND as u16,
            state_version: 1,
            name: text(c"@NAME@"),
            summary: text(c"an echo"),
            property_count: List::<bp_property, 1>::COUNT,
            properties: PROPERTIES.pointer(),
            provided_count: List::<bp_provided, 1>::COUNT,
            provided: PROVIDED.pointer(),
            method_count: List::<bp_method, 1>::COUNT,
            methods: METHODS.pointer(),
            create: Some(create),
            query_interface: Some(query),
            reset: Some(reset),
            start: Some(start),
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
            summary: text(c"an echo"),
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
