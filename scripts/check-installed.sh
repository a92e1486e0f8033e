#!/bin/sh
# check-installed.sh PREFIX: tests an installed tree as its users meet it. First with the Swift toolchain hidden: the program,
# its plugins, its machines, a moved copy, plugins in C from `backplane plugin new`. Then, with the toolchain, plugins in Swift.
# Ends with `N passed, N failed`; the exit status is 1 where one failed.
set -u

[ $# -eq 1 ] && [ -d "$1" ] || { echo "usage: check-installed.sh PREFIX" >&2; exit 2; }
prefix=$(cd "$1" && pwd)
scripts=$(cd "$(dirname "$0")" && pwd)
. "$scripts/checks.sh"

# ---- The toolchain, and how to hide it ------------------------------------------------------------------------------------

toolchain=
if swiftc=$(command -v swiftc); then toolchain=$(dirname "$(dirname "$(readlink -f "$swiftc")")"); fi
full_path=$PATH
clean_path=/usr/local/bin:/usr/bin:/bin
unset LD_LIBRARY_PATH BACKPLANE_PLUGIN_PATH BACKPLANE_PLUGINKIT

# An empty file system over the toolchain, seen by the command alone. /usr itself cannot be hidden.
can_hide=
case $toolchain in
'' | /usr | /usr/local) ;;
*) for option in -m -rm; do
    if unshare $option sh -c 'mount -t tmpfs tmpfs "$0"' "$toolchain" 2>/dev/null; then can_hide=$option && break; fi
done ;;
esac
hidden() {
    if [ -n "$can_hide" ]; then
        PATH=$clean_path unshare "$can_hide" sh -c 'mount -t tmpfs tmpfs "$0" && exec "$@"' "$toolchain" "$@"
    else
        PATH=$clean_path "$@"
    fi
}
if [ -n "$can_hide" ]; then
    echo "the toolchain $toolchain is hidden"
elif [ -n "$toolchain" ]; then
    echo "the toolchain $toolchain cannot be hidden here: only the paths of libraries are looked at"
fi

# No library comes from the toolchain or is missing, and no file names the toolchain.
resolves() {
    for file in "$prefix/bin/backplane" "$prefix"/lib/backplane/plugins/*.so "$prefix"/lib/backplane/runtime/*.so; do
        resolved=$(PATH=$clean_path ldd "$file") || { echo "$file: ldd fails"; return 1; }
        if echo "$resolved" | grep -e 'not found' ${toolchain:+-e "$toolchain/lib/"}; then
            echo "in $file"
            return 1
        fi
        if readelf -d "$file" | grep -E 'R(UN)?PATH' | grep -vF '[$ORIGIN'; then
            echo "in $file"
            return 1
        fi
    done
}

# ---- The program ----------------------------------------------------------------------------------------------------------

backplane=$prefix/bin/backplane
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig

# pkg-config puts a backslash before a space.
variable() { pkg-config --variable="$1" backplane | tr -d '\\'; }

says_version() { [ "$(hidden "$backplane" --version)" = "$(pkg-config --modversion backplane)" ]; }

lists_all_plugins() {
    hidden "$backplane" plugin list >"$work/list" 2>"$work/broken" || return 1
    cat "$work/list" "$work/broken"
    [ ! -s "$work/broken" ] || return 1
    for library in "$prefix"/lib/backplane/plugins/lib*.so; do
        name=$(basename "$library" .so)
        grep -qE "^${name#lib}(/| )" "$work/list" || { echo "${name#lib} is not listed"; return 1; }
    done
}

# The kernels that they name are not there.
checks() { hidden "$backplane" check --files-only "$@"; }

pkg_config_is_right() {
    [ -x "$(variable executable)" ] &&
        [ -f "$(variable plugindir)/liblfsr.so" ] &&
        [ -f "$(variable pluginkit)/Package.swift" ] &&
        [ -d "$(variable machines)" ] &&
        printf '#include <backplane/plugin.h>\nint abi[] = {BP_ABI_MAJOR, BP_ABI_MINOR};\n' |
        PATH=$clean_path cc -x c -std=c11 -E $(pkg-config --cflags backplane) - |
            grep -q "{$(variable abi_version | sed 's/\./, /')}"
}

check "the installed files need no toolchain" resolves
check "backplane --version says the version of backplane.pc" says_version
check "plugin list shows every installed plugin, and none is broken" lists_all_plugins
check "pkg-config names what is there" pkg_config_is_right
for machine in "$prefix"/share/backplane/machines/*.yaml; do
    [ -e "$machine" ] && check "check $(basename "$machine")" checks "$machine"
done
[ ! -e "$prefix/share/backplane/machines/tour.yaml" ] && check "the tour is installed" false

# In /usr/bin stands ld.so.
only_plugins() {
    ln -s ../lib/backplane/runtime/libdispatch.so "$prefix/bin/other.so" && hidden "$backplane" plugin list >"$work/again" 2>&1
    rm "$prefix/bin/other.so"
    cmp "$work/list" "$work/again"
}
check "a library beside the installed program is none of its plugins" only_plugins

# ---- Manual and completions -----------------------------------------------------------------------------------------------

commands() { hidden "$backplane" help | sed -n '/^SUBCOMMANDS/,$s/^  \([a-z][a-z]*\) .*/\1/p'; }
# As the reader sees them: groff finds nothing to say about them, and each command has one.
has_pages() {
    commands | grep -q run || return 1
    for page in backplane $(commands | sed 's/^/backplane-/'); do
        [ -f "$prefix/share/man/man1/$page.1" ] || { echo "$page"; return 1; }
    done
    for page in "$prefix"/share/man/man?/backplane*; do
        groff -t -man -Tutf8 -ww -b -P-cbou "$page" 2>&1 >"$work/page" | grep . && { echo "$page"; return 1; }
        grep -q '^NAME' "$work/page" || { echo "$page"; return 1; }
        # Marks that got through.
        grep -nE '\\f[BIR]|\.md[`)]' "$work/page" && { echo "$page"; return 1; }
    done
    return 0
}
completes() {
    prints "^$2\$" hidden bash "$scripts/complete.bash" "$prefix/share/bash-completion/completions/backplane" "$backplane" "$1"
}
check "every command has a page, and the pages are in order" has_pages
check "bash completes a command" completes "plug" plugin
check "bash completes an engine" completes "run --engine so" soft
check "bash completes a plugin" completes "plugin info pic" pic8259

# ---- A moved copy ---------------------------------------------------------------------------------------------------------

moved="$work/moved here"
moved_works() {
    cp -a "$prefix" "$moved" && hidden "$moved/bin/backplane" plugin list >"$work/moved-list" &&
        cmp "$work/list" "$work/moved-list" &&
        [ -x "$(PKG_CONFIG_PATH=$moved/lib/pkgconfig variable executable)" ] &&
        case $(PKG_CONFIG_PATH=$moved/lib/pkgconfig variable executable) in
        "$moved"/*) ;;
        *) return 1 ;;
        esac
}
check "a copy of the tree elsewhere works" moved_works
rm -rf "$moved"

# ---- Plugins in C, without a toolchain ------------------------------------------------------------------------------------

new() { hidden "$backplane" plugin new "$1" --language "$2" --kind "$3" --directory "$work"; }
builds() { hidden make -C "$work/$1"; }
# The report of the bench names its checks.
was_on_the_bench() { grep -q fuzz "$work/out"; }
passes() { hidden make -C "$work/$1" test >"$work/out" 2>&1 && was_on_the_bench || { cat "$work/out"; return 1; }; }
refuses() { "$@"; [ $? -eq 2 ]; }

for kind in device pci policy backend; do
    check "plugin new makes a $kind in C" new "my-c-$kind" c "$kind"
    check "it builds" builds "my-c-$kind"
    check "it passes its tests" passes "my-c-$kind"
done

# finds FOLDER: Linux on a PC's board finds the PCI device made there, and its registers, interrupt and DMA do what they say.
linux=$(dirname "$scripts")/.build/guests/linux/amd64
finds() {
    printf 'extends: %s\nmachine: card\ndevices:\n  - { id: card, plugin: %s, bus: pci.5, limit: 10 }\n' \
        "$prefix/share/backplane/machines/pc-linux.yaml" "$work/$1/$1" >"$work/card.yaml"
    timeout 300 "$backplane" run "$work/card.yaml" --engine soft --set kernel="$linux/vmlinuz" --set initrd="$linux/initramfs.cpio" \
        --set modules="$linux/modules.cpio" --set disk="$linux/disk.img" --set mode=snapshot --set append=backplane.selftest=card \
        </dev/null >"$work/out" 2>&1 || { tail -n 30 "$work/out"; return 1; }
    for line in "card 0000:00:05.0" "count 0x0000000C status 0x00000001" "pending 1" "without mastering the bus, status 0x00000002" \
        "as a master, status 0x00000000, stored 0x0000000C" "status 0"; do
        tr -d '\r' <"$work/out" | grep -qxF "selftest: $line" || { echo "no line '$line'"; grep -a selftest "$work/out"; return 1; }
    done
}
if [ -e "$linux/vmlinuz" ]; then
    check "Linux finds the PCI device in C, and it counts, interrupts and stores" finds my-c-pci
else
    echo "SKIPPED the PCI devices under Linux: scripts/fetch-linux.sh gets it"
fi

# Its own tests find a broken chip.
break_c_device() {
    sed -i 's/sum >= c->limit/sum > c->limit/' "$work/my-c-device/my-c-device.c" && ! hidden make -C "$work/my-c-device" test
}
check "its unit test fails where the chip is broken" break_c_device
check "plugin new refuses a folder that exists" refuses new my-c-device c device
check "plugin new refuses a name with capitals" refuses new MyDevice c device
check "plugin new refuses a name that is a path" refuses new ../x c device
check "plugin new has no PCI device in Rust, and says so" refuses new my-rust-pci rust pci

no_backplane() {
    text=$(PKG_CONFIG_PATH=/nonexistent PKG_CONFIG_LIBDIR=/nonexistent hidden make -C "$work/my-c-policy" -B 2>&1) && return 1
    echo "$text"
    echo "$text" | grep -q 'set PKG_CONFIG_PATH'
}
check "its Makefile says what is missing" no_backplane

# ---- Plugins in Rust, without crates ---------------------------------------------------------------------------------------

rust_passes() {
    PATH=$full_path make -C "$work/$1" test >"$work/out" 2>&1 && was_on_the_bench || { cat "$work/out"; return 1; }
}
if command -v cargo >/dev/null; then
    for kind in device policy backend; do
        check "plugin new makes a $kind in Rust" new "my-rust-$kind" rust "$kind"
        check "it builds and passes its tests" rust_passes "my-rust-$kind"
        check "it builds without a warning" sh -c '! grep -n "^warning" "$1"' - "$work/out"
    done
else
    echo "plugins in Rust are not tried: there is no cargo in PATH"
fi

# ---- Plugins in Swift -----------------------------------------------------------------------------------------------------

swift_make() { PATH=$full_path make -C "$work/$1"; }
swift_passes() {
    PATH=$full_path make -C "$work/$1" test >"$work/out" 2>&1 && was_on_the_bench || { cat "$work/out"; return 1; }
}
manifest_explains() {
    text=$(cd "$work/my-swift-device" && PATH=$full_path swift package describe 2>&1) && return 1
    echo "$text"
    echo "$text" | grep -q 'BACKPLANE_PLUGINKIT is not set'
}
# With its build folder, which names the old place.
a_copy_builds() {
    cp -r "$work/my-swift-device" "$work/copy" && touch "$work/copy"/Sources/*/*.swift && swift_make copy >"$work/out" 2>&1 || { cat "$work/out"; return 1; }
}
loads_without_toolchain() { hidden "$backplane" plugin info "$work/$1/$1.so"; }

if [ -n "$toolchain" ]; then
    for kind in device pci policy backend; do
        check "plugin new makes a $kind in Swift" new "my-swift-$kind" swift "$kind"
        check "it builds" swift_make "my-swift-$kind"
        check "it passes its tests" swift_passes "my-swift-$kind"
        check "it loads where there is no toolchain" loads_without_toolchain "my-swift-$kind"
    done
    [ ! -e "$linux/vmlinuz" ] || check "Linux finds the PCI device in Swift, and it counts, interrupts and stores" finds my-swift-pci
    check "its manifest says what is missing" manifest_explains
    check "a copy of it builds elsewhere" a_copy_builds
else
    check "there is a Swift toolchain for the plugins in Swift" false
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
