// Made by scripts/generate-rust-bindings.py from plugin.h. Do not edit.

extension ScaffoldRust {
    // swift-format-ignore
    static let bindings = #"""
        //! The plugin ABI of Backplane: bindings made from <backplane/plugin.h>, which is the reference, by scripts/generate-rust-bindings.py of
        //! its repository. Do not edit.
        #![allow(non_camel_case_types, dead_code, clippy::all)]
        use core::ffi::{c_char, c_void, CStr};

        /// A struct of zeros with its own size, to be filled in: `bp_claim { base: 0x2e0, ..bp_claim::NEW }`.
        macro_rules! whole {
            ($name:ident) => {
                impl $name {
                    pub const NEW: Self = {
                        // SAFETY: numbers, pointers and functions that may be absent: all zero is a value of each.
                        let mut value: Self = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };
                        value.size = core::mem::size_of::<Self>() as u32;
                        value
                    };
                }
                // SAFETY: descriptors are constants; other structs are the host's for one callback at a time.
                unsafe impl Sync for $name {}
            };
        }

        pub const BP_ABI_MAJOR: u32 = 1;
        pub const BP_ABI_MINOR: u32 = 10;
        pub const BP_PCI_BEHIND: u32 = 0x80000000;
        pub const BP_NO_VCPU: u32 = u32::MAX;
        pub const BP_REQUESTER_HOST: u32 = u32::MAX;
        pub const BP_WANT_ALL: u32 = 0xffff;
        pub type bp_status = i32;
        pub const BP_OK: bp_status = 0;
        pub const BP_NO_REGISTER: bp_status = 1;
        pub const BP_BAD_WIDTH: bp_status = 2;
        pub const BP_DEFERRED: bp_status = 3;
        pub const BP_FAULT: bp_status = 4;
        pub const BP_PENDING: bp_status = 5;
        pub const BP_BUSY: bp_status = 6;
        pub const BP_NOT_FOUND: bp_status = 7;
        pub const BP_INVALID: bp_status = 8;
        pub const BP_OVERLAP: bp_status = 9;
        pub const BP_NO_MEMORY: bp_status = 10;
        pub const BP_REFUSED: bp_status = 11;
        pub const BP_STALE: bp_status = 12;
        pub const BP_IO_ERROR: bp_status = 13;
        pub const BP_READ_ONLY: bp_status = 14;
        pub const BP_NO_SPACE: bp_status = 15;
        pub const BP_UNSUPPORTED: bp_status = 16;
        pub const BP_OUT_OF_RANGE: bp_status = 17;
        pub type bp_id = u64;
        pub const BP_BOOL: u32 = 1;
        pub const BP_UNSIGNED: u32 = 2;
        pub const BP_SIGNED: u32 = 3;
        pub const BP_SIZE: u32 = 4;
        pub const BP_DURATION: u32 = 5;
        pub const BP_PORT: u32 = 6;
        pub const BP_ADDRESS: u32 = 7;
        pub const BP_TEXT: u32 = 8;
        pub const BP_PATH: u32 = 9;
        pub const BP_CHOICE: u32 = 10;
        pub const BP_RANGE: u32 = 11;
        pub const BP_FLOAT: u32 = 12;
        #[repr(C)] #[derive(Clone, Copy)] pub union bp_value_content { pub u: u64, pub i: i64, pub f: f64, pub text: *const c_char, pub items: *const bp_value, }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_value { pub size: u32, pub r#type: u16, pub flags: u16, pub content: bp_value_content, pub length: u64, pub last: u64, }
        whole!(bp_value);
        pub const BP_VALUE_GIVEN: u32 = 1;
        pub const BP_VALUE_ABSENT: u32 = 2;
        pub const BP_VALUE_LIST: u32 = 4;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_property { pub size: u32, pub r#type: u16, pub flags: u16, pub name: *const c_char, pub default_value: *const c_char, pub doc: *const c_char, pub unit: *const c_char, pub choices: *const *const c_char, pub minimum: i64, pub maximum: i64, }
        whole!(bp_property);
        pub const BP_PROPERTY_REQUIRED: u32 = 1;
        pub const BP_PROPERTY_LIST: u32 = 2;
        pub const BP_PROPERTY_BOUNDED: u32 = 4;
        pub const BP_PROPERTY_LIVE: u32 = 8;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_peer { pub size: u32, pub index: u32, pub self_: *mut c_void, pub functions: *const c_void, }
        whole!(bp_peer);
        pub const BP_T_VOID: u32 = 0;
        pub const BP_T_BOOL: u32 = 1;
        pub const BP_T_U8: u32 = 2;
        pub const BP_T_U16: u32 = 3;
        pub const BP_T_U32: u32 = 4;
        pub const BP_T_U64: u32 = 5;
        pub const BP_T_I64: u32 = 6;
        pub const BP_T_F64: u32 = 7;
        pub const BP_T_TEXT: u32 = 8;
        pub const BP_T_STATUS: u32 = 9;
        pub const BP_T_IN: u32 = 10;
        pub const BP_T_OUT: u32 = 11;
        pub const BP_T_IN_STRUCT: u32 = 12;
        pub const BP_T_OUT_STRUCT: u32 = 13;
        pub const BP_T_POINTER: u32 = 14;
        pub const BP_T_OUT_U32: u32 = 15;
        pub const BP_T_OUT_U64: u32 = 16;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_function { pub size: u32, pub result: u16, pub flags: u16, pub name: *const c_char, pub parameters: *const u16, pub parameter_count: u32, pub since: u32, }
        whole!(bp_function);
        pub const BP_FUNCTION_ASYNC: u32 = 1;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_interface { pub size: u32, pub provider_count: u32, pub client_count: u32, pub name: *const c_char, pub provider: *const *const bp_function, pub client: *const *const bp_function, }
        whole!(bp_interface);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_slot { pub size: u32, pub flags: u32, pub name: *const c_char, pub interface: *const c_char, pub doc: *const c_char, pub client: *const c_void, }
        whole!(bp_slot);
        pub const BP_SLOT_OPTIONAL: u32 = 1;
        pub const BP_SLOT_MANY: u32 = 2;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_provided { pub size: u32, pub flags: u32, pub name: *const c_char, pub doc: *const c_char, pub descriptor: *const bp_interface, pub count: u32, pub reserved: u32, }
        whole!(bp_provided);
        pub const BP_PROVIDED_SHARED: u32 = 1;
        pub const BP_PROVIDED_MAY_CYCLE: u32 = 2;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_irq_line { pub size: u32, pub reserved: u32, pub set: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, level: u32)>, }
        whole!(bp_irq_line);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_irq_controller { pub size: u32, pub reserved: u32, pub acknowledge: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, vcpu: u32) -> u32>, pub message: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, address: u64, data: u64, requester: u64)>, }
        whole!(bp_irq_controller);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_irq_controller_client { pub size: u32, pub reserved: u32, pub intr: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, vcpu: u32, level: u32)>, pub eoi: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, vcpu: u32, vector: u32)>, }
        whole!(bp_irq_controller_client);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_stream { pub size: u32, pub reserved: u32, pub write: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, bytes: *const c_void, length: u64)>, pub ready: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, room: u64)>, pub event: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, event: u32)>, }
        whole!(bp_stream);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_stream_client { pub size: u32, pub reserved: u32, pub receive: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, bytes: *const c_void, length: u64)>, pub throttle: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, on: u32)>, pub event: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, event: u32)>, pub window: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, columns: u32, rows: u32)>, }
        whole!(bp_stream_client);
        pub const BP_STREAM_BREAK: u32 = 1;
        pub const BP_STREAM_BREAK_END: u32 = 2;
        pub const BP_STREAM_OPEN: u32 = 3;
        pub const BP_STREAM_CLOSED: u32 = 4;
        pub const BP_STREAM_DTR_ON: u32 = 5;
        pub const BP_STREAM_DTR_OFF: u32 = 6;
        pub const BP_STREAM_RTS_ON: u32 = 7;
        pub const BP_STREAM_RTS_OFF: u32 = 8;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_block_info { pub size: u32, pub sector_size: u32, pub sectors: u64, pub read_only: u32, pub maximum_sectors: u32, pub operations: u32, pub reserved: u32, }
        whole!(bp_block_info);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_block_request { pub size: u32, pub operation: u32, pub sector: u64, pub count: u64, pub data: *mut c_void, pub tag: u64, }
        whole!(bp_block_request);
        pub const BP_BLOCK_READ: u32 = 0;
        pub const BP_BLOCK_WRITE: u32 = 1;
        pub const BP_BLOCK_FLUSH: u32 = 2;
        pub const BP_BLOCK_DISCARD: u32 = 3;
        pub const BP_BLOCK_WRITE_ZEROES: u32 = 4;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_block { pub size: u32, pub reserved: u32, pub info: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, out: *mut bp_block_info) -> bp_status>, pub submit: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, request: *const bp_block_request)>, pub cancel_all: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32) -> bp_status>, pub insert: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, path: *const c_void, length: u64, flags: u32) -> bp_status>, }
        whole!(bp_block);
        pub const BP_BLOCK_READ_ONLY: u32 = 1;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_block_client { pub size: u32, pub reserved: u32, pub complete: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, tag: u64, status: u32)>, pub resized: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, sectors: u64)>, }
        whole!(bp_block_client);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_net { pub size: u32, pub reserved: u32, pub send: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, frame: *const c_void, length: u64)>, pub ready: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, frames: u64)>, }
        whole!(bp_net);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_net_client { pub size: u32, pub reserved: u32, pub receive: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, frame: *const c_void, length: u64)>, pub link: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, up: u32)>, }
        whole!(bp_net_client);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_pci { pub size: u32, pub reserved: u32, pub intx: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, pin: u32, level: u32)>, pub location: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32) -> u32>, }
        whole!(bp_pci);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_pci_client { pub size: u32, pub reserved: u32, pub config_read: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, offset: u32, width: u32, flags: u32, out: *mut u32) -> bp_status>, pub config_write: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, offset: u32, width: u32, value: u32) -> bp_status>, pub bus_reset: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32)>, }
        whole!(bp_pci_client);
        pub const BP_PCI_PEEK: u32 = 1;
        pub const BP_PIXELS_XRGB8888: u32 = 1;
        pub const BP_PIXELS_RGB888: u32 = 2;
        pub const BP_PIXELS_RGB565: u32 = 3;
        pub const BP_PIXELS_XRGB1555: u32 = 4;
        pub const BP_PIXELS_INDEXED8: u32 = 5;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_display_surface { pub size: u32, pub format: u32, pub width: u32, pub height: u32, pub stride: u32, pub reserved: u32, pub region: bp_id, pub offset: u64, pub palette_region: bp_id, pub palette_offset: u64, }
        whole!(bp_display_surface);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_cell { pub character: u32, pub glyph: u16, pub colors: u8, pub flags: u8, }
        pub const BP_CELL_BLINKS: u32 = 1;
        pub const BP_CELL_UNDERLINED: u32 = 2;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_display_cells { pub size: u32, pub columns: u32, pub rows: u32, pub cell_width: u32, pub cell_height: u32, pub flags: u32, pub cursor_column: u32, pub cursor_row: u32, pub cursor_first: u32, pub cursor_last: u32, pub underline: u32, pub glyphs: u32, pub region: bp_id, pub cells: u64, pub font: u64, pub palette: [u32; 16], }
        whole!(bp_display_cells);
        pub const BP_CELLS_CURSOR: u32 = 1;
        pub const BP_CELLS_FONT_CHANGED: u32 = 2;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_display { pub size: u32, pub reserved: u32, pub surface: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, surface: *const bp_display_surface)>, pub cells: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, cells: *const bp_display_cells)>, pub damage: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, x: u32, y: u32, width: u32, height: u32)>, pub frame: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, time: u64)>, }
        whole!(bp_display);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_display_client { pub size: u32, pub reserved: u32, pub refresh: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, flags: u32)>, }
        whole!(bp_display_client);
        pub const BP_REFRESH_ALL: u32 = 1;
        pub const BP_EV_SYN: u32 = 0;
        pub const BP_EV_KEY: u32 = 1;
        pub const BP_EV_REL: u32 = 2;
        pub const BP_EV_ABS: u32 = 3;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_input { pub size: u32, pub reserved: u32, pub event: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, r#type: u32, code: u32, value: i64)>, pub takes: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, out: *mut u32) -> bp_status>, }
        whole!(bp_input);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_input_client { pub size: u32, pub reserved: u32, pub leds: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, mask: u32)>, }
        whole!(bp_input_client);
        pub const BP_INPUT_KEYS: u32 = 1;
        pub const BP_INPUT_BUTTONS: u32 = 2;
        pub const BP_INPUT_RELATIVE: u32 = 4;
        pub const BP_INPUT_ABSOLUTE: u32 = 8;
        pub const BP_INPUT_LEDS: u32 = 16;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_dma_channel { pub size: u32, pub reserved: u32, pub request: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, direction: u32)>, pub write: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, bytes: *const c_void, length: u64)>, pub read: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, length: u64)>, pub interrupt: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, level: u32)>, }
        whole!(bp_dma_channel);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_dma_channel_client { pub size: u32, pub reserved: u32, pub ready: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, on: u32)>, pub moved: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, length: u64)>, pub data: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, bytes: *const c_void, length: u64)>, }
        whole!(bp_dma_channel_client);
        pub const BP_DMA_NONE: u32 = 0;
        pub const BP_DMA_TO_MEMORY: u32 = 1;
        pub const BP_DMA_FROM_MEMORY: u32 = 2;
        pub const BP_DMA_MOST: u32 = 65536;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_table_file { pub size: u32, pub reserved: u32, pub length: u64, pub name: [c_char; 56], }
        whole!(bp_table_file);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_tables { pub size: u32, pub reserved: u32, pub count: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32) -> u32>, pub describe: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, number: u32, out: *mut bp_table_file) -> bp_status>, pub read: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, number: u32, offset: u64, bytes: *mut c_void, length: u64) -> bp_status>, }
        whole!(bp_tables);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_virtio_device { pub size: u32, pub r#type: u32, pub features: u64, pub queues: u32, pub entries: u32, pub config_size: u32, pub reserved: u32, }
        whole!(bp_virtio_device);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_virtio_queue { pub size: u32, pub entries: u32, pub descriptors: u64, pub driver: u64, pub device: u64, }
        whole!(bp_virtio_queue);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_virtio { pub size: u32, pub reserved: u32, pub used: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, queue: u32)>, pub config_changed: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32)>, pub needs_reset: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32)>, }
        whole!(bp_virtio);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_virtio_client { pub size: u32, pub reserved: u32, pub device: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, out: *mut bp_virtio_device) -> bp_status>, pub status: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, status: u32, features: u64) -> bp_status>, pub queue: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, queue: u32, is: *const bp_virtio_queue) -> bp_status>, pub kick: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, queue: u32)>, pub config_read: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, offset: u32, width: u32, flags: u32, out: *mut u32) -> bp_status>, pub config_write: Option<unsafe extern "C" fn(self_: *mut c_void, index: u32, offset: u32, width: u32, value: u32) -> bp_status>, }
        whole!(bp_virtio_client);
        pub const BP_VIRTIO_PEEK: u32 = 1;
        pub const BP_VIRTIO_ACKNOWLEDGE: u32 = 1;
        pub const BP_VIRTIO_DRIVER: u32 = 2;
        pub const BP_VIRTIO_DRIVER_OK: u32 = 4;
        pub const BP_VIRTIO_FEATURES_OK: u32 = 8;
        pub const BP_VIRTIO_NEEDS_RESET: u32 = 64;
        pub const BP_VIRTIO_FAILED: u32 = 128;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_host { pub size: u32, pub reserved: u32, pub id: *const c_char, pub opaque: *mut c_void, pub service: unsafe extern "C" fn(host: *const bp_host, name: *const c_char) -> *const c_void, pub fail: unsafe extern "C" fn(host: *const bp_host, utf8: *const c_char, length: u64), pub reply: unsafe extern "C" fn(host: *const bp_host, bytes: *const c_void, length: u64), }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_access { pub size: u32, pub width: u8, pub flags: u8, pub space: u16, pub vcpu: u32, pub requester: u32, pub offset: u64, pub address: u64, pub cookie: u64, pub token: u64, }
        whole!(bp_access);
        pub const BP_ACCESS_PEEK: u32 = 1;
        pub const BP_ACCESS_DMA: u32 = 2;
        pub const BP_ACCESS_STRING: u32 = 4;
        pub const BP_SPACE_PORT: u32 = 0;
        pub const BP_SPACE_MEMORY: u32 = 1;
        pub const BP_SPACE_MSR: u32 = 2;
        pub type bp_read_handler = unsafe extern "C" fn(self_: *mut c_void, access: *const bp_access, value: *mut u64) -> bp_status;
        pub type bp_write_handler = unsafe extern "C" fn(self_: *mut c_void, access: *const bp_access, value: u64) -> bp_status;
        pub type bp_bulk_read_handler = unsafe extern "C" fn(self_: *mut c_void, access: *const bp_access, bytes: *mut c_void, count: u64, done: *mut u64) -> bp_status;
        pub type bp_bulk_write_handler = unsafe extern "C" fn(self_: *mut c_void, access: *const bp_access, bytes: *const c_void, count: u64, done: *mut u64) -> bp_status;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_claim { pub size: u32, pub space: u16, pub widths: u8, pub flags: u8, pub base: u64, pub length: u64, pub priority: i32, pub reserved2: u32, pub cookie: u64, pub name: *const c_char, pub read: Option<bp_read_handler>, pub write: Option<bp_write_handler>, pub read_bulk: Option<bp_bulk_read_handler>, pub write_bulk: Option<bp_bulk_write_handler>, }
        whole!(bp_claim);
        pub const BP_CLAIM_WHOLE: u32 = 1;
        pub const BP_CLAIM_READS: u32 = 2;
        pub const BP_CLAIM_WRITES: u32 = 4;
        pub const BP_MAP_READ: u32 = 1;
        pub const BP_MAP_WRITE: u32 = 2;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_io_1 { pub size: u32, pub reserved: u32, pub claim: unsafe extern "C" fn(host: *const bp_host, claim: *const bp_claim, out: *mut bp_id) -> bp_status, pub release: unsafe extern "C" fn(host: *const bp_host, claim: bp_id) -> bp_status, pub r#move: unsafe extern "C" fn(host: *const bp_host, claim: bp_id, base: u64) -> bp_status, pub complete: unsafe extern "C" fn(host: *const bp_host, token: u64, status: bp_status, value: u64) -> bp_status, pub direct: unsafe extern "C" fn(host: *const bp_host, claim: bp_id, directions: u32) -> bp_status, }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_span { pub size: u32, pub reserved: u32, pub id: bp_id, pub base: *mut c_void, pub length: u64, }
        whole!(bp_span);
        pub const BP_SPAN_FROM_GUEST: u32 = 1;
        pub const BP_SPAN_TO_GUEST: u32 = 2;
        pub const BP_REGION_RAM: u32 = 0;
        pub const BP_REGION_ROM: u32 = 1;
        pub const BP_REGION_DEVICE: u32 = 2;
        pub const BP_REGION_MAIN: u32 = 3;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_memory_range { pub size: u32, pub kind: u32, pub base: u64, pub length: u64, }
        whole!(bp_memory_range);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_mapping { pub size: u32, pub directions: u32, pub region: bp_id, pub offset: u64, pub address: u64, pub length: u64, pub priority: i32, pub reserved: u32, }
        whole!(bp_mapping);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_memory_1 { pub size: u32, pub reserved: u32, pub read: unsafe extern "C" fn(host: *const bp_host, address: u64, bytes: *mut c_void, length: u64) -> bp_status, pub write: unsafe extern "C" fn(host: *const bp_host, address: u64, bytes: *const c_void, length: u64) -> bp_status, pub span: unsafe extern "C" fn(host: *const bp_host, address: u64, length: u64, direction: u32, out: *mut bp_span) -> bp_status, pub span_release: unsafe extern "C" fn(host: *const bp_host, span: bp_id, written: u64) -> bp_status, pub region: unsafe extern "C" fn(host: *const bp_host, key: *const c_char, kind: u32, length: u64, out: *mut bp_id, base: *mut *mut c_void) -> bp_status, pub map: unsafe extern "C" fn(host: *const bp_host, region: bp_id, offset: u64, address: u64, length: u64, priority: i32, mapping: *mut bp_id) -> bp_status, pub unmap: unsafe extern "C" fn(host: *const bp_host, mapping: bp_id) -> bp_status, pub r#move: unsafe extern "C" fn(host: *const bp_host, mapping: bp_id, address: u64) -> bp_status, pub layout: unsafe extern "C" fn(host: *const bp_host, index: u32, out: *mut bp_memory_range) -> bp_status, pub map_as: unsafe extern "C" fn(host: *const bp_host, mapping: *const bp_mapping, out: *mut bp_id) -> bp_status, pub direct: unsafe extern "C" fn(host: *const bp_host, mapping: bp_id, directions: u32) -> bp_status, pub attach: unsafe extern "C" fn(host: *const bp_host, region: bp_id, base: *mut *mut c_void, length: *mut u64) -> bp_status, pub discard: unsafe extern "C" fn(host: *const bp_host, address: u64, length: u64) -> bp_status, }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_irq_1 { pub size: u32, pub reserved: u32, pub line: unsafe extern "C" fn(host: *const bp_host, slot: *const c_char, position: u32, out: *mut bp_id) -> bp_status, pub set: unsafe extern "C" fn(host: *const bp_host, line: bp_id, level: u32) -> bp_status, pub pulse: unsafe extern "C" fn(host: *const bp_host, line: bp_id) -> bp_status, pub output: unsafe extern "C" fn(host: *const bp_host, vcpu: u32, level: u32) -> bp_status, pub nmi: unsafe extern "C" fn(host: *const bp_host, vcpu: u32) -> bp_status, }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_msi_1 { pub size: u32, pub reserved: u32, pub vector: unsafe extern "C" fn(host: *const bp_host, out: *mut bp_id) -> bp_status, pub program: unsafe extern "C" fn(host: *const bp_host, vector: bp_id, address: u64, data: u64, masked: u32) -> bp_status, pub raise: unsafe extern "C" fn(host: *const bp_host, vector: bp_id) -> bp_status, pub pending: unsafe extern "C" fn(host: *const bp_host, vector: bp_id, out: *mut u32) -> bp_status, pub forget: unsafe extern "C" fn(host: *const bp_host, vector: bp_id) -> bp_status, }
        pub type bp_timer_handler = unsafe extern "C" fn(self_: *mut c_void, cookie: u64, now: u64);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_clock_1 { pub size: u32, pub reserved: u32, pub now: unsafe extern "C" fn(host: *const bp_host) -> u64, pub timer: unsafe extern "C" fn(host: *const bp_host, handler: bp_timer_handler, cookie: u64, out: *mut bp_id) -> bp_status, pub set: unsafe extern "C" fn(host: *const bp_host, timer: bp_id, deadline: u64) -> bp_status, pub cancel: unsafe extern "C" fn(host: *const bp_host, timer: bp_id) -> bp_status, pub is_counted: unsafe extern "C" fn(host: *const bp_host) -> u32, }
        pub type bp_event_handler = unsafe extern "C" fn(self_: *mut c_void, cookie: u64, descriptor: i32, events: u32);
        pub type bp_posted = unsafe extern "C" fn(self_: *mut c_void, argument: *mut c_void);
        pub const BP_EVENT_READ: u32 = 1;
        pub const BP_EVENT_WRITE: u32 = 2;
        pub const BP_EVENT_HANGUP: u32 = 4;
        pub const BP_EVENT_ERROR: u32 = 8;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_events_1 { pub size: u32, pub reserved: u32, pub watch: unsafe extern "C" fn(host: *const bp_host, descriptor: i32, events: u32, handler: bp_event_handler, cookie: u64, out: *mut bp_id) -> bp_status, pub change: unsafe extern "C" fn(host: *const bp_host, watch: bp_id, events: u32) -> bp_status, pub unwatch: unsafe extern "C" fn(host: *const bp_host, watch: bp_id) -> bp_status, pub post: unsafe extern "C" fn(host: *const bp_host, function: bp_posted, argument: *mut c_void) -> bp_status, pub expect: unsafe extern "C" fn(host: *const bp_host, function: bp_posted, argument: *mut c_void, delay: u64) -> bp_status, pub forget: unsafe extern "C" fn(host: *const bp_host, function: bp_posted, argument: *mut c_void), }
        pub const BP_LOG_TRACE: u32 = 0;
        pub const BP_LOG_DEBUG: u32 = 1;
        pub const BP_LOG_INFO: u32 = 2;
        pub const BP_LOG_WARNING: u32 = 3;
        pub const BP_LOG_ERROR: u32 = 4;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_log_1 { pub size: u32, pub reserved: u32, pub write: unsafe extern "C" fn(host: *const bp_host, level: u32, utf8: *const c_char, length: u64), pub level: unsafe extern "C" fn(host: *const bp_host) -> u32, }
        #[repr(C)] pub struct bp_state { opaque: [u8; 0] }
        pub const BP_FIELD_OPTIONAL: u32 = 1;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_state_1 { pub size: u32, pub reserved: u32, pub put_unsigned: unsafe extern "C" fn(state: *mut bp_state, key: *const c_char, value: u64, flags: u32) -> bp_status, pub put_bytes: unsafe extern "C" fn(state: *mut bp_state, key: *const c_char, bytes: *const c_void, length: u64, flags: u32) -> bp_status, pub get_unsigned: unsafe extern "C" fn(state: *mut bp_state, key: *const c_char, value: *mut u64) -> bp_status, pub get_bytes: unsafe extern "C" fn(state: *mut bp_state, key: *const c_char, bytes: *mut *const c_void, length: *mut u64) -> bp_status, pub quiesced: unsafe extern "C" fn(host: *const bp_host), }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_machine_1 { pub size: u32, pub reserved: u32, pub stop: unsafe extern "C" fn(host: *const bp_host, exit_status: u32), pub reset: unsafe extern "C" fn(host: *const bp_host), pub power_off: unsafe extern "C" fn(host: *const bp_host), pub on_power_button: unsafe extern "C" fn(host: *const bp_host, handler: bp_posted, argument: *mut c_void) -> bp_status, pub pause: unsafe extern "C" fn(host: *const bp_host), }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_console_1 { pub size: u32, pub reserved: u32, pub open: unsafe extern "C" fn(host: *const bp_host, receive: Option<unsafe extern "C" fn(self_: *mut c_void, bytes: *const c_void, length: u64)>, throttle: Option<unsafe extern "C" fn(self_: *mut c_void, on: u32)>) -> bp_status, pub write: unsafe extern "C" fn(host: *const bp_host, bytes: *const c_void, length: u64) -> bp_status, pub ready: unsafe extern "C" fn(host: *const bp_host, room: u64) -> bp_status, pub on_break: unsafe extern "C" fn(host: *const bp_host, received: Option<unsafe extern "C" fn(self_: *mut c_void)>) -> bp_status, pub open_window: unsafe extern "C" fn(host: *const bp_host, receive: Option<unsafe extern "C" fn(self_: *mut c_void, bytes: *const c_void, length: u64)>, throttle: Option<unsafe extern "C" fn(self_: *mut c_void, on: u32)>, shown: Option<unsafe extern "C" fn(self_: *mut c_void, columns: u32, rows: u32)>) -> bp_status, pub on_size: unsafe extern "C" fn(host: *const bp_host, sized: Option<unsafe extern "C" fn(self_: *mut c_void, columns: u32, rows: u32)>) -> bp_status, }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_host_1 { pub size: u32, pub reserved: u32, pub wall_clock: unsafe extern "C" fn(host: *const bp_host, seconds: *mut i64, nanoseconds: *mut u32), pub entropy: unsafe extern "C" fn(host: *const bp_host, bytes: *mut c_void, length: u64), }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_segment { pub base: u64, pub limit: u32, pub selector: u16, pub attributes: u16, }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_registers { pub size: u32, pub reserved: u32, pub general: [u64; 16], pub rip: u64, pub rflags: u64, pub es: bp_segment, pub cs: bp_segment, pub ss: bp_segment, pub ds: bp_segment, pub fs: bp_segment, pub gs: bp_segment, pub ldtr: bp_segment, pub tr: bp_segment, pub gdtr_base: u64, pub idtr_base: u64, pub gdtr_limit: u16, pub idtr_limit: u16, pub reserved2: u32, pub cr0: u64, pub cr2: u64, pub cr3: u64, pub cr4: u64, pub cr8: u64, pub efer: u64, pub dr: [u64; 8], }
        whole!(bp_registers);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_vcpu_1 { pub size: u32, pub reserved: u32, pub get: unsafe extern "C" fn(host: *const bp_host, vcpu: u32, out: *mut bp_registers) -> bp_status, pub set: unsafe extern "C" fn(host: *const bp_host, vcpu: u32, registers: *const bp_registers) -> bp_status, pub read_linear: unsafe extern "C" fn(host: *const bp_host, vcpu: u32, address: u64, bytes: *mut c_void, length: u64) -> bp_status, pub retired: unsafe extern "C" fn(host: *const bp_host, vcpu: u32, out: *mut u64) -> bp_status, pub at_retired: unsafe extern "C" fn(host: *const bp_host, vcpu: u32, count: u64, handler: bp_posted, argument: *mut c_void) -> bp_status, }
        pub const BP_EXIT_EXCEPTION: u32 = 0;
        pub const BP_EXIT_EXTERNAL_INTERRUPT: u32 = 1;
        pub const BP_EXIT_TRIPLE_FAULT: u32 = 2;
        pub const BP_EXIT_INIT: u32 = 3;
        pub const BP_EXIT_SIPI: u32 = 4;
        pub const BP_EXIT_INTERRUPT_WINDOW: u32 = 7;
        pub const BP_EXIT_NMI_WINDOW: u32 = 8;
        pub const BP_EXIT_TASK_SWITCH: u32 = 9;
        pub const BP_EXIT_CPUID: u32 = 10;
        pub const BP_EXIT_HLT: u32 = 12;
        pub const BP_EXIT_INVLPG: u32 = 14;
        pub const BP_EXIT_RDPMC: u32 = 15;
        pub const BP_EXIT_RDTSC: u32 = 16;
        pub const BP_EXIT_VMCALL: u32 = 18;
        pub const BP_EXIT_CR: u32 = 28;
        pub const BP_EXIT_DR: u32 = 29;
        pub const BP_EXIT_IO: u32 = 30;
        pub const BP_EXIT_RDMSR: u32 = 31;
        pub const BP_EXIT_WRMSR: u32 = 32;
        pub const BP_EXIT_ENTRY_FAILURE: u32 = 33;
        pub const BP_EXIT_MWAIT: u32 = 36;
        pub const BP_EXIT_MONITOR_TRAP: u32 = 37;
        pub const BP_EXIT_MONITOR: u32 = 39;
        pub const BP_EXIT_PAUSE: u32 = 40;
        pub const BP_EXIT_DESCRIPTOR_TABLE: u32 = 46;
        pub const BP_EXIT_LDTR_TR: u32 = 47;
        pub const BP_EXIT_EPT_VIOLATION: u32 = 48;
        pub const BP_EXIT_RDTSCP: u32 = 51;
        pub const BP_EXIT_WBINVD: u32 = 54;
        pub const BP_EXIT_XSETBV: u32 = 55;
        pub const BP_EXIT_RDRAND: u32 = 57;
        pub const BP_EXIT_INVPCID: u32 = 58;
        pub const BP_EXIT_RDSEED: u32 = 61;
        pub const BP_EXIT_REASONS: u32 = 64;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_exit { pub size: u32, pub reason: u16, pub flags: u16, pub vcpu: u32, pub width: u32, pub rip: u64, pub address: u64, pub value: u64, pub extra: [u64; 4], pub time: u64, pub sequence: u64, }
        whole!(bp_exit);
        pub const BP_EXITF_WRITE: u32 = 1;
        pub const BP_EXITF_STRING: u32 = 2;
        pub const BP_EXITF_UNCLAIMED: u32 = 4;
        pub const BP_EXITF_RIP_PAST: u32 = 8;
        pub const BP_EXITF_INTERRUPTS_ENABLED: u32 = 16;
        pub const BP_EXITF_ERROR_CODE: u32 = 32;
        pub const BP_EXITF_ASK_POWER: u32 = 64;
        pub const BP_EXITF_RAM: u32 = 128;
        pub const BP_VERDICT_CONTINUE: u32 = 0;
        pub const BP_VERDICT_HANDLED: u32 = 1;
        pub const BP_VERDICT_INJECT: u32 = 2;
        pub const BP_VERDICT_PAUSE: u32 = 3;
        pub const BP_VERDICT_STOP: u32 = 4;
        pub const BP_VERDICT_RESET: u32 = 5;
        pub const BP_VERDICT_SWITCH: u32 = 6;
        pub const BP_VERDICT_DELAY: u32 = 7;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_verdict { pub size: u32, pub vector: u32, pub error_code: u32, pub has_error_code: u32, pub status: u32, pub reserved: u32, pub delay: u64, }
        whole!(bp_verdict);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_outcome { pub size: u32, pub verdict: u32, pub nanoseconds: u64, pub owner: *const c_char, }
        whole!(bp_outcome);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_want { pub size: u32, pub reason: u16, pub flags: u16, pub first: u64, pub last: u64, }
        whole!(bp_want);
        pub const BP_WANT_REQUIRED: u32 = 1;
        pub const BP_WANT_DECIDE: u32 = 2;
        pub const BP_WANT_OBSERVE: u32 = 4;
        pub const BP_WANT_UNCLAIMED: u32 = 8;
        pub const BP_WANT_PRECISE: u32 = 16;
        pub const BP_WANT_COUNTED: u32 = 64;
        pub const BP_WANT_RAM_WRITES: u32 = 32;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_exit_1 { pub size: u32, pub reserved: u32, pub want: unsafe extern "C" fn(host: *const bp_host, want: *const bp_want, out: *mut bp_id) -> bp_status, pub unwant: unsafe extern "C" fn(host: *const bp_host, want: bp_id) -> bp_status, pub nearest_claim: unsafe extern "C" fn(host: *const bp_host, space: u32, address: u64, utf8: *mut c_char, length: *mut u64) -> bp_status, }
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_guests_1 { pub size: u32, pub reserved: u32, pub count: unsafe extern "C" fn(host: *const bp_host) -> u32, pub own: unsafe extern "C" fn(host: *const bp_host) -> u32, pub foreground: unsafe extern "C" fn(host: *const bp_host) -> u32, pub name: unsafe extern "C" fn(host: *const bp_host, number: u32, utf8: *mut c_char, length: *mut u64) -> bp_status, pub bring: unsafe extern "C" fn(host: *const bp_host, number: u32) -> bp_status, pub run_when: unsafe extern "C" fn(host: *const bp_host, mode: u32, quantum: u64) -> bp_status, }
        pub const BP_RUN_ALWAYS: u32 = 0;
        pub const BP_RUN_FOREGROUND: u32 = 1;
        pub const BP_RUN_IN_TURN: u32 = 2;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_policy { pub size: u32, pub reserved: u32, pub decide: Option<unsafe extern "C" fn(self_: *mut c_void, exit: *mut bp_exit, verdict: *mut bp_verdict) -> u32>, pub observe: Option<unsafe extern "C" fn(self_: *mut c_void, exit: *const bp_exit, outcome: *const bp_outcome)>, }
        whole!(bp_policy);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_parameter { pub size: u32, pub r#type: u32, pub name: *const c_char, }
        whole!(bp_parameter);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_method { pub size: u32, pub result: u32, pub name: *const c_char, pub doc: *const c_char, pub parameters: *const *const bp_parameter, pub parameter_count: u32, pub flags: u32, pub function: Option<unsafe extern "C" fn()>, }
        whole!(bp_method);
        pub const BP_NODE_DEVICE: u32 = 0;
        pub const BP_NODE_HOST_BRIDGE: u32 = 1;
        pub const BP_NODE_ISA_BRIDGE: u32 = 2;
        pub const BP_NODE_LINES: u32 = 3;
        pub const BP_NODE_LOCAL_APIC: u32 = 4;
        pub const BP_NODE_IO_APIC: u32 = 5;
        pub const BP_NODE_POWER: u32 = 6;
        pub const BP_NODE_NUMBERS_LINES: u32 = 1;
        pub const BP_NODE_LEVEL: u32 = 2;
        pub const BP_NODE_OPTIONAL: u32 = 4;
        pub const BP_NODE_HIDDEN: u32 = 8;
        pub const BP_NODE_ONE_RANGE: u32 = 16;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_firmware_node { pub size: u32, pub role: u16, pub flags: u16, pub hid: *const c_char, pub cids: *const *const c_char, pub claims: *const *const c_char, pub slots: *const *const c_char, pub aml: *const u8, pub aml_length: u64, pub links: *const *const c_char, }
        whole!(bp_firmware_node);
        pub const BP_DEVICE: u32 = 1;
        pub const BP_POLICY: u32 = 2;
        pub const BP_LOADER: u32 = 3;
        pub const BP_BACKEND: u32 = 4;
        pub const BP_CLASS_NOT_SAVABLE: u32 = 1;
        pub const BP_RESET_POWER_ON: u32 = 0;
        pub const BP_RESET_WARM: u32 = 1;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_class { pub size: u32, pub kind: u16, pub flags: u16, pub state_version: u32, pub property_count: u32, pub slot_count: u32, pub provided_count: u32, pub method_count: u32, pub reserved: u32, pub name: *const c_char, pub summary: *const c_char, pub properties: *const *const bp_property, pub slots: *const *const bp_slot, pub provided: *const *const bp_provided, pub methods: *const *const bp_method, pub policy: *const bp_policy, pub user: *mut c_void, pub create: Option<unsafe extern "C" fn(cls: *const bp_class, host: *const bp_host, values: *const bp_value, self_: *mut *mut c_void) -> bp_status>, pub query_interface: Option<unsafe extern "C" fn(self_: *mut c_void, name: *const c_char, index: u32, client: *const bp_peer, out: *mut bp_peer) -> bp_status>, pub connect: Option<unsafe extern "C" fn(self_: *mut c_void) -> bp_status>, pub reset: Option<unsafe extern "C" fn(self_: *mut c_void, kind: u32)>, pub start: Option<unsafe extern "C" fn(self_: *mut c_void) -> bp_status>, pub quiesce: Option<unsafe extern "C" fn(self_: *mut c_void) -> bp_status>, pub save: Option<unsafe extern "C" fn(self_: *mut c_void, state: *mut bp_state) -> bp_status>, pub load: Option<unsafe extern "C" fn(self_: *mut c_void, version: u32, state: *mut bp_state) -> bp_status>, pub disconnect: Option<unsafe extern "C" fn(self_: *mut c_void)>, pub destroy: Option<unsafe extern "C" fn(self_: *mut c_void)>, pub set_property: Option<unsafe extern "C" fn(self_: *mut c_void, property: u32, value: *const bp_value) -> bp_status>, pub check: Option<unsafe extern "C" fn(cls: *const bp_class, host: *const bp_host, values: *const bp_value) -> bp_status>, pub node_count: u32, pub reserved_nodes: u32, pub nodes: *const *const bp_firmware_node, }
        whole!(bp_class);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_wiring_1 { pub size: u32, pub reserved: u32, pub peer: unsafe extern "C" fn(host: *const bp_host, slot: *const c_char, position: u32, out: *mut bp_peer) -> bp_status, pub count: unsafe extern "C" fn(host: *const bp_host, slot: *const c_char) -> u32, }
        pub const BP_SURVEY_INSTANCE: u32 = 1;
        pub const BP_SURVEY_CLAIM: u32 = 2;
        pub const BP_SURVEY_WIRE: u32 = 3;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_survey_item { pub size: u32, pub kind: u32, pub instance: u32, pub index: u32, pub base: u64, pub length: u64, pub target: u32, pub position: u32, pub name: [c_char; 64], pub r#type: [c_char; 64], }
        whole!(bp_survey_item);
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_survey_1 { pub size: u32, pub reserved: u32, pub count: unsafe extern "C" fn(host: *const bp_host, kind: u32) -> u32, pub get: unsafe extern "C" fn(host: *const bp_host, kind: u32, number: u32, out: *mut bp_survey_item) -> bp_status, pub node: unsafe extern "C" fn(host: *const bp_host, instance: u32, number: u32, out: *mut bp_firmware_node) -> bp_status, }
        pub const BP_PLUGIN_UNLOADABLE: u32 = 1;
        #[repr(C)] #[derive(Clone, Copy)] pub struct bp_plugin { pub size: u32, pub abi_major: u16, pub abi_minor: u16, pub flags: u32, pub class_count: u32, pub name: *const c_char, pub version: *const c_char, pub summary: *const c_char, pub licence: *const c_char, pub classes: *const *const bp_class, }
        whole!(bp_plugin);
        pub type bp_plugin_entry = unsafe extern "C" fn(host_major: u32, host_minor: u32) -> *const bp_plugin;
        const _: () = assert!(core::mem::size_of::<bp_value>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_property>() == 64);
        const _: () = assert!(core::mem::size_of::<bp_peer>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_function>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_interface>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_slot>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_provided>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_irq_line>() == 16);
        const _: () = assert!(core::mem::size_of::<bp_irq_controller>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_irq_controller_client>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_stream>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_stream_client>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_block_info>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_block_request>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_block>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_block_client>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_net>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_net_client>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_pci>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_pci_client>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_display_surface>() == 56);
        const _: () = assert!(core::mem::size_of::<bp_display_cells>() == 136);
        const _: () = assert!(core::mem::size_of::<bp_display>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_display_client>() == 16);
        const _: () = assert!(core::mem::size_of::<bp_input>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_input_client>() == 16);
        const _: () = assert!(core::mem::size_of::<bp_dma_channel>() == 40);
        const _: () = assert!(core::mem::size_of::<bp_dma_channel_client>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_table_file>() == 72);
        const _: () = assert!(core::mem::size_of::<bp_tables>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_virtio_device>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_virtio_queue>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_virtio>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_virtio_client>() == 56);
        const _: () = assert!(core::mem::size_of::<bp_host>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_access>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_claim>() == 80);
        const _: () = assert!(core::mem::size_of::<bp_io_1>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_span>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_memory_range>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_mapping>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_memory_1>() == 112);
        const _: () = assert!(core::mem::size_of::<bp_irq_1>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_msi_1>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_clock_1>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_events_1>() == 56);
        const _: () = assert!(core::mem::size_of::<bp_log_1>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_state_1>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_machine_1>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_console_1>() == 56);
        const _: () = assert!(core::mem::size_of::<bp_host_1>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_registers>() == 416);
        const _: () = assert!(core::mem::size_of::<bp_vcpu_1>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_exit>() == 88);
        const _: () = assert!(core::mem::size_of::<bp_verdict>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_outcome>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_want>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_exit_1>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_guests_1>() == 56);
        const _: () = assert!(core::mem::size_of::<bp_policy>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_parameter>() == 16);
        const _: () = assert!(core::mem::size_of::<bp_method>() == 48);
        const _: () = assert!(core::mem::size_of::<bp_firmware_node>() == 64);
        const _: () = assert!(core::mem::size_of::<bp_class>() == 208);
        const _: () = assert!(core::mem::size_of::<bp_wiring_1>() == 24);
        const _: () = assert!(core::mem::size_of::<bp_survey_item>() == 168);
        const _: () = assert!(core::mem::size_of::<bp_survey_1>() == 32);
        const _: () = assert!(core::mem::size_of::<bp_plugin>() == 56);

        /// An array of pointers to constants, as descriptors have it.
        pub struct List<T: 'static, const N: usize>(pub [&'static T; N]);
        // SAFETY: constants.
        unsafe impl<T, const N: usize> Sync for List<T, N> {}
        impl<T, const N: usize> List<T, N> {
            pub const COUNT: u32 = N as u32;
            pub const fn pointer(&self) -> *const *const T { self.0.as_ptr().cast() }
        }

        /// A table of the host's by its name; None: it is not offered.
        /// # Safety
        /// `host` is the instance's context, and `T` the table that the header gives for the name.
        pub unsafe fn service<T>(host: *const bp_host, name: &CStr) -> Option<&'static T> {
            unsafe { ((*host).service)(host, name.as_ptr()).cast::<T>().as_ref() }
        }

        /// `return fail(host, BP_INVALID, "the mode is not 0 to 5")`
        /// # Safety
        /// `host` is the instance's context.
        pub unsafe fn fail(host: *const bp_host, status: bp_status, text: &str) -> bp_status {
            unsafe { ((*host).fail)(host, text.as_ptr().cast(), text.len() as u64) };
            status
        }

        """#
}
