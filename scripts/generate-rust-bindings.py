#!/usr/bin/env python3
"""Makes the Rust bindings of the plugin ABI from plugin.h: the file `src/backplane.rs` of a scaffold in Rust, held as a text by
Sources/backplane/RustBindings.swift.

    generate-rust-bindings.py            writes it
    generate-rust-bindings.py --check    says whether it is up to date
    generate-rust-bindings.py --print    prints the Rust
"""
import pathlib, re, shutil, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "Sources/CBackplane/include/backplane/plugin.h"
TARGET = ROOT / "Sources/backplane/RustBindings.swift"

SCALARS = {
    "void": "c_void", "char": "c_char", "double": "f64", "uint8_t": "u8", "uint16_t": "u16", "uint32_t": "u32", "uint64_t": "u64",
    "int32_t": "i32", "int64_t": "i64",
}
# Tables that the host fills in hold no NULL, and nobody makes one.
HOSTS = re.compile(r"bp_(host|\w+_1)$")
KEYWORDS = {"type", "move", "in", "fn", "self"}


def safe(name):
    return {"self": "self_"}.get(name, "r#" + name if name in KEYWORDS else name)


def rust_type(text):
    """Of a C type without a name: `const char *const *`."""
    words = re.findall(r"\w+|\*", text.replace("struct ", ""))
    is_const, base = False, None
    for position, word in enumerate(words):
        if word == "const" and base is None:
            is_const = True
        elif word not in ("const", "*"):
            base = SCALARS.get(word, word)
            rest = words[position + 1:]
            break
    if rest and rest[0] == "const":
        is_const, rest = True, rest[1:]
    result = base
    while rest:
        assert rest.pop(0) == "*", text
        result = ("*const " if is_const else "*mut ") + result
        is_const = bool(rest) and rest[0] == "const"
        if is_const:
            rest.pop(0)
    return result


def parameters(text):
    result = []
    for part in split(text):
        if part == "void":
            continue
        pointer = re.match(r"(.+?)\(\*(\w+)\)\((.*)\)$", part)
        if pointer:
            result.append(f"{safe(pointer[2])}: Option<{function(pointer[1], pointer[3])}>")
            continue
        named = re.match(r"(.+?[\s*])(\w+)$", part)
        result.append(f"{safe(named[2])}: {rust_type(named[1])}")
    return ", ".join(result)


def split(text):
    """At commas that are in no brackets."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    return [part for part in parts + [text[start:].strip()] if part]


def function(result, arguments):
    back = rust_type(result)
    return f"unsafe extern \"C\" fn({parameters(arguments)})" + ("" if back == "c_void" else f" -> {back}")


def fields(body, is_host):
    for declaration in [part.strip() for part in body.split(";") if part.strip()]:
        pointer = re.match(r"(.+?)\(\*(\w+)\)\((.*)\)$", declaration)
        if pointer:
            kind = function(pointer[1], pointer[3])
            yield pointer[2], kind if is_host else f"Option<{kind}>"
            continue
        first, *others = [part.strip() for part in declaration.split(",")]
        named = re.match(r"(.+?[\s*])(\w+)((?:\[\w+\])?)$", first)
        for name, size in [(named[2], named[3])] + [(re.match(r"\**(\w+)", o)[1], "") for o in others]:
            kind = rust_type(named[1])
            # A handler that may be NULL.
            if kind in HANDLERS:
                kind = kind if is_host else f"Option<{kind}>"
            yield name, f"[{kind}; {size[1:-1]}]" if size else kind


HANDLERS = set()


def number(text):
    text = text.strip()
    return {"UINT32_MAX": "u32::MAX"}.get(text, re.sub(r"1 << ", "1 << ", text))


def generate():
    text = HEADER.read_text()
    text = text[text.index("#define BP_ABI_MAJOR"):text.index("/* ---- Helpers for C")]
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    defines = re.findall(r"^#define (BP_\w+)\s+(\S+)\s*$", text, flags=re.M)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    text = re.sub(r"\s+", " ", text)
    out = [f"pub const {name}: u32 = {number(value)};" for name, value in defines if name not in ("BP_EXPORT",)]
    position = 0
    while position < len(text):
        rest = text[position:]
        if enum := re.match(r"\s*enum \{(.*?)\};?", rest):
            for item in split(enum[1]):
                name, value = item.split("=")
                is_status = name.strip() in STATUSES
                out.append(f"pub const {name.strip()}: {'bp_status' if is_status else 'u32'} = {number(value)};")
            position += enum.end()
        elif struct := re.match(r"\s*(?:typedef )?struct (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}\s*\w*;", rest):
            out += structure(struct[1], struct[2])
            position += struct.end()
        elif opaque := re.match(r"\s*typedef struct (\w+) \w+;", rest):
            if opaque[1] == "bp_state":
                out.append("#[repr(C)] pub struct bp_state { opaque: [u8; 0] }")
            position += opaque.end()
        elif handler := re.match(r"\s*typedef ([^;()]+?)\(\*(\w+)\)\(([^;]*)\);", rest):
            HANDLERS.add(handler[2])
            out.append(f"pub type {handler[2]} = {function(handler[1], handler[3])};")
            position += handler.end()
        elif alias := re.match(r"\s*typedef (\w+) (\w+);", rest):
            out.append(f"pub type {alias[2]} = {SCALARS[alias[1]]};")
            position += alias.end()
        elif other := re.match(r"[^;]*;|\s+$|.*\Z", rest):
            position += max(1, other.end())
    return PROLOGUE + "\n".join(out) + "\n" + layouts(out) + EPILOGUE


def layouts(out):
    """What the C compiler says of each struct's size, so that rustc compares."""
    names = re.findall(r"pub struct (bp_\w+) \{ pub size", "\n".join(out))
    program = "#include <backplane/plugin.h>\n#include <stdio.h>\nint main(void) {\n" + "".join(
        f'    printf("{name} %zu\\n", sizeof(struct {name}));\n' for name in names) + "}\n"
    with tempfile.TemporaryDirectory() as folder:
        source, binary = pathlib.Path(folder, "sizes.c"), pathlib.Path(folder, "sizes")
        source.write_text(program)
        compiler = next(filter(None, map(shutil.which, ("cc", "clang", "gcc"))))
        subprocess.run([compiler, "-std=c11", f"-I{HEADER.parent.parent}", "-o", binary, source], check=True)
        sizes = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    return "".join(f"const _: () = assert!(core::mem::size_of::<{name}>() == {size});\n"
                   for name, size in map(str.split, sizes.splitlines()))


STATUSES = set(re.findall(r"BP_\w+", re.sub(r"/\*.*?\*/", " ", re.search(r"typedef int32_t bp_status;\s*enum \{(.*?)\};",
                                                                  HEADER.read_text(), re.S)[1], flags=re.S)))


def structure(name, body):
    lines, union = [], re.search(r"union \{(.*?)\};", body)
    is_host = bool(HOSTS.match(name))
    if union:
        members = "".join(f" pub {safe(n)}: {kind}," for n, kind in fields(union[1], is_host))
        lines.append(f"#[repr(C)] #[derive(Clone, Copy)] pub union {name}_content {{{members} }}")
        body = body.replace(union[0], f"{name}_content content;")
    members = "".join(f" pub {safe(n)}: {kind}," for n, kind in fields(body, is_host))
    lines.append(f"#[repr(C)] #[derive(Clone, Copy)] pub struct {name} {{{members} }}")
    if not is_host and "size: u32" in members:
        lines.append(f"whole!({name});")
    return lines


PROLOGUE = '''//! The plugin ABI of Backplane: bindings made from <backplane/plugin.h>, which is the reference, by scripts/generate-rust-bindings.py of
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

'''

EPILOGUE = '''
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
'''


def main():
    rust = generate()
    if "--print" in sys.argv:
        return print(rust, end="")
    text = ("// Made by scripts/generate-rust-bindings.py from plugin.h. Do not edit.\n\nextension ScaffoldRust {\n"
            "    // swift-format-ignore\n    static let bindings = #\"\"\"\n"
            + "".join("        " + line + "\n" if line else "\n" for line in rust.split("\n")[:-1]) + "\n        \"\"\"#\n}\n")
    if "--check" not in sys.argv:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        sys.exit(f"{TARGET.relative_to(ROOT)} is out of date: run scripts/generate-rust-bindings.py")


main()
