#!/bin/sh
# install.sh PREFIX [DESTDIR]: installs what `swift build -c release` built, with the Swift runtime that it needs beside it.
# The installed tree needs no Swift toolchain, and may be moved: nothing in it knows its own path.
#
# BACKPLANE_BUILD: the directory of the built products (default: .build/release of this repository).
set -eu

fail() { echo "install.sh: $*" >&2; exit 1; }
[ $# -ge 1 ] && [ -n "$1" ] || fail "usage: install.sh PREFIX [DESTDIR]"
case $1 in /*) ;; *) fail "PREFIX is an absolute path, and got '$1'" ;; esac

repository=$(cd "$(dirname "$0")/.." && pwd)
build=${BACKPLANE_BUILD:-$repository/.build/release}
tree=${2:-}${1%/}
headers=$repository/Sources/CBackplane/include/backplane
header=$headers/plugin.h

[ -x "$build/backplane" ] || fail "$build/backplane is not there: run 'swift build -c release' first"
for tool in readelf strip grep dd install python3; do
    command -v "$tool" >/dev/null || fail "'$tool' is needed (Debian: binutils, grep, coreutils, python3)"
done

# ---- What is installed ----------------------------------------------------------------------------------------------------

# The installed names of what a library or executable needs.
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'; }

is_plugin() { readelf --dyn-syms -W "$1" | grep -q ' backplane_plugin$'; }

swiftc=$(command -v "${SWIFTC:-swiftc}") || fail "there is no swiftc in PATH to ask for the Swift runtime"
runtime=$("$swiftc" -print-target-info | sed -n '/"runtimeLibraryPaths"/{n;s/^ *"\(.*\)".*$/\1/p;}')
[ -e "$runtime/libswiftCore.so" ] || fail "there is no Swift runtime in '$runtime'"
swift_version=$("$swiftc" -print-target-info | sed -n 's/.*swift-\([0-9.]*\)-RELEASE.*/\1/p' | head -n 1)

version=$(sed -n 's/.*static let text = "\(.*\)".*/\1/p' "$repository/Sources/backplane/Main.swift")
abi_major=$(sed -n 's/^#define BP_ABI_MAJOR \([0-9]*\)$/\1/p' "$header")
abi_minor=$(sed -n 's/^#define BP_ABI_MINOR \([0-9]*\)$/\1/p' "$header")
[ -n "$version" ] && [ -n "$abi_major" ] && [ -n "$abi_minor" ] || fail "the versions cannot be read from the sources"

# ---- Programs and libraries -----------------------------------------------------------------------------------------------

# Puts RUNPATH in the place of what the linker wrote, which names the toolchain. The string is overwritten where it stands.
set_runpath() {
    old=$(readelf -d "$1" | sed -n 's/.*(RUNPATH).*\[\(.*\)\]$/\1/p')
    [ "$old" = "$2" ] && return
    [ -n "$old" ] || fail "$1 has no RUNPATH: link it with -rpath"
    [ ${#old} -ge ${#2} ] || fail "$1: no room for the RUNPATH '$2': link it with -rpath=$2"
    places=$(grep -obUaF -e "$old" "$1" | cut -d: -f1)
    [ "$(echo "$places" | wc -l)" -eq 1 ] || fail "$1: its RUNPATH '$old' stands in more than one place"
    { printf '%s' "$2"; head -c $((${#old} - ${#2})) /dev/zero; } |
        dd of="$1" bs=1 seek="$places" conv=notrunc status=none
    [ "$(readelf -d "$1" | sed -n 's/.*(RUNPATH).*\[\(.*\)\]$/\1/p')" = "$2" ] || fail "$1: its RUNPATH cannot be set"
}

# Copies the Swift libraries that a file needs, and those that they need.
bring_runtime() {
    for library in $(needed "$1"); do
        [ -e "$runtime/$library" ] && [ ! -e "$tree/lib/backplane/runtime/$library" ] || continue
        install -m 644 "$runtime/$library" "$tree/lib/backplane/runtime/$library"
        strip --strip-unneeded "$tree/lib/backplane/runtime/$library"
        bring_runtime "$runtime/$library"
    done
}

install -d "$tree/bin" "$tree/lib/backplane/plugins" "$tree/include/backplane" "$tree/lib/pkgconfig" \
    "$tree/share/backplane/machines" "$tree/share/backplane/guests" "$tree/share/doc/backplane"
rm -rf "$tree/lib/backplane/runtime"
install -d "$tree/lib/backplane/runtime"

install -m 755 "$build/backplane" "$tree/bin/backplane"
strip "$tree/bin/backplane"
set_runpath "$tree/bin/backplane" '$ORIGIN/../lib/backplane/runtime'
bring_runtime "$tree/bin/backplane"

count=0
for library in "$build"/lib*.so; do
    is_plugin "$library" || continue
    installed=$tree/lib/backplane/plugins/$(basename "$library")
    install -m 644 "$library" "$installed"
    strip --strip-unneeded "$installed"
    set_runpath "$installed" '$ORIGIN/../runtime'
    bring_runtime "$installed"
    count=$((count + 1))
done
[ $count -gt 0 ] || fail "there are no plugins in $build"

# ---- For plugin authors ---------------------------------------------------------------------------------------------------

install -m 644 "$header" "$headers/pci.h" "$tree/include/backplane/"

kit=$tree/share/backplane/PluginKit
rm -rf "$kit"
install -d "$kit/Sources"
for module in CBackplane PluginKit PCIConfiguration PCIKit; do cp -R "$repository/Sources/$module" "$kit/Sources/"; done
install -m 644 "$repository/Plugins/plugin.map" "$kit/plugin.map"
cat >"$kit/Package.swift" <<'END'
// swift-tools-version: 6.2
// PluginKit, the Swift face of the plugin ABI, and PCIKit, for devices on a PCI bus. A plugin's Package.swift depends on it by path, and links its library with
// `--version-script=PATH/plugin.map`, so that it exports its one symbol only.
import PackageDescription

let package = Package(
    name: "PluginKit",
    products: [
        .library(name: "PluginKit", targets: ["PluginKit"]),
        .library(name: "PCIKit", targets: ["PCIConfiguration", "PCIKit"]),
    ],
    targets: [
        .target(name: "CBackplane"),
        .target(name: "PluginKit", dependencies: ["CBackplane"]),
        .target(name: "PCIConfiguration", swiftSettings: [.strictMemorySafety()]),
        .target(name: "PCIKit", dependencies: ["PCIConfiguration", "PluginKit"]),
    ])
END

cat >"$tree/lib/pkgconfig/backplane.pc" <<END
prefix=\${pcfiledir}/../..
exec_prefix=\${prefix}
libdir=\${prefix}/lib
includedir=\${prefix}/include
executable=\${prefix}/bin/backplane
plugindir=\${libdir}/backplane/plugins
pluginkit=\${prefix}/share/backplane/PluginKit
machines=\${prefix}/share/backplane/machines
abi_major=$abi_major
abi_minor=$abi_minor
abi_version=$abi_major.$abi_minor
swift_version=$swift_version

Name: backplane
Description: Plugin ABI of the Backplane virtual machine monitor
Version: $version
Cflags: -I\${includedir}
END

# ---- For people -----------------------------------------------------------------------------------------------------------

# Both come from what the installed program says of itself.
rm -f "$tree"/share/man/man?/backplane.? "$tree"/share/man/man?/backplane-*.?
"$repository/scripts/make-man.py" "$tree/bin/backplane" "$tree/share/man"
# complete SHELL FILE. It is read, not run: its line `#!/bin/bash` goes.
complete() {
    install -d "$(dirname "$2")"
    "$tree/bin/backplane" --generate-completion-script "$1" | sed '1{/^#!/d}' >"$2"
}
complete bash "$tree/share/bash-completion/completions/backplane"
complete zsh "$tree/share/zsh/site-functions/_backplane"
complete fish "$tree/share/fish/vendor_completions.d/backplane.fish"

# In the repository the tour guest is a product of the build.
for file in "$repository"/machines/*.yaml; do
    [ -e "$file" ] && sed "s|\.\./\.build/guests/|../guests/|" "$file" >"$tree/share/backplane/machines/$(basename "$file")"
done
guest=$repository/.build/guests/tour.elf
if [ -e "$guest" ]; then
    install -m 644 "$guest" "$tree/share/backplane/guests/tour.elf"
else
    echo "install.sh: $guest is not there, and is not installed" >&2
fi
# What gets Debian's kernel for machines/linux*.yaml: run in the installed tree, it puts it there.
install -m 755 "$repository/scripts/fetch-linux.sh" "$tree/share/backplane/fetch-linux.sh"
rm -rf "$tree/share/backplane/linux-root"
cp -R "$repository/Guests/linux/root" "$tree/share/backplane/linux-root"
for file in "$repository"/docs/*.md "$repository/README.md" "$repository/LICENSE"; do
    [ -e "$file" ] && install -m 644 "$file" "$tree/share/doc/backplane/"
done

echo "installed Backplane $version with $count plugins in $tree"
