#!/bin/sh
# fetch-linux.sh [amd64|i386] [--update]: gets Debian's kernel and a static BusyBox, and makes from them what machines/linux*.yaml
# boot: .build/guests/linux/ARCHITECTURE/ with vmlinuz, initramfs.cpio (BusyBox and Guests/linux/root), modules.cpio (the drivers
# of an IDE disk, of ext4 and of an e1000) and disk.img (an empty ext4 file system; an old one is kept); for amd64, in the repository, also host-modules.cpio (what
# scripts/kvm-box.sh needs: KVM, and the host's files). Does nothing where they are there and newer than what they are made of; --update looks
# for newer packages.
#
# apt checks the packages' signatures with the system's sources and keys. It keeps its state in the same folder, so that it needs
# no root and the system's architectures and lists stay as they are.
set -eu

fail() { echo "fetch-linux.sh: $*" >&2; exit 1; }
architecture=amd64
update=
for argument; do
    case $argument in
    amd64 | i386) architecture=$argument ;;
    --update) update=1 ;;
    *) fail "usage: fetch-linux.sh [amd64|i386] [--update]" ;;
    esac
done
case $architecture in amd64) meta=linux-image-amd64 ;; i386) meta=linux-image-686 ;; esac

# Beside it in an installed tree, or in the repository.
here=$(cd "$(dirname "$0")" && pwd)
if [ -d "$here/linux-root" ]; then
    sources=$here/linux-root
    guests=$here/guests
else
    sources=$(cd "$here/.." && pwd)/Guests/linux/root
    guests=$(cd "$here/.." && pwd)/.build/guests
fi
base=$guests/linux/$architecture
work=$base/work
mkdir -p "$base"

# ---- The packages ---------------------------------------------------------------------------------------------------------

apt() {
    tool=$1
    shift
    "$tool" -o Dir::State="$work/apt/state" -o Dir::State::status=/dev/null -o Dir::Cache="$work/apt/cache" \
        -o Dir::Etc::preferencesparts=/dev/null -o APT::Architecture="$architecture" \
        -o APT::Architectures="$architecture" -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=2 \
        -o Acquire::http::Timeout=20 -o Acquire::Languages=none "$@"
}

fetch() {
    for tool in apt-get apt-cache dpkg-deb; do
        command -v "$tool" >/dev/null || fail "'$tool' is not there: this needs a Debian host"
    done
    mkdir -p "$work/apt/state/lists/partial" "$work/apt/cache/archives/partial" "$work/packages"
    echo "Looking for Debian's kernel for $architecture"
    apt apt-get -q update || echo "fetch-linux.sh: not all lists of packages could be renewed" >&2
    kernel=$(apt apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p' | head -n 1)
    [ -n "$kernel" ] || fail "the package $meta is not in apt's lists: no network, or not a Debian with that kernel"
    (cd "$work/packages" && rm -f -- *.deb && apt apt-get download "$kernel" busybox-static)
    echo "$kernel" >"$work/kernel"
}

unpack() {
    rm -rf "$work/root"
    for package in "$work/packages"/*.deb; do
        echo "Unpacking $(basename "$package")"
        dpkg-deb -x "$package" "$work/root"
    done
}

# ---- The archives ---------------------------------------------------------------------------------------------------------

# A BusyBox that this host can run makes the archives: its own where the guest's is of another kind.
tool() {
    if "$busybox" true 2>/dev/null; then "$busybox" "$@"; else busybox "$@"; fi
}

# The archive of a folder, the same for the same contents: sorted, of root, and with one time for all.
archive() {
    find "$1" -exec touch -h -d @0 {} +
    (cd "$1" && find . ! -path . | LC_ALL=C sort | tool cpio -o -H newc -R 0:0 --renumber-inodes 2>/dev/null) >"$2.new"
    mv "$2.new" "$2"
}

make_initramfs() {
    root=$work/initramfs
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/root" "$root/mnt"
    cp -R "$sources/." "$root/"
    cp "$busybox" "$root/bin/busybox"
    ln -s bin "$root/sbin"
    for applet in $(tool --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    archive "$root" "$base/initramfs.cpio"
}

# What a field of a module's .modinfo section says, a line for each.
modinfo() { tr '\0' '\n' <"$1" | sed -n "s/^$2=//p"; }

# Puts a module into the archive, what it needs before it.
add_module() {
    case " $added " in *" $1 "*) return ;; esac
    added="$added $1"
    # The name's _ may be - in the file's name.
    file=$(find "$modules" -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko*" | head -n 1)
    [ -n "$file" ] || return 0 # built into the kernel
    copy=$root/lib/modules/$1.ko
    case $file in
    *.xz) xz -dc "$file" >"$copy" ;;
    *.zst) zstd -dcq "$file" >"$copy" ;;
    *.gz) gzip -dc "$file" >"$copy" ;;
    *) cp "$file" "$copy" ;;
    esac
    for needed in $(modinfo "$copy" depends | tr , ' '); do add_module "$(echo "$needed" | tr - _)"; done
    echo "/lib/modules/$1.ko" >>"$root/lib/modules/order"
}

# make_modules ARCHIVE MODULE...: what they need comes with them.
make_modules() {
    to=$base/$1
    shift
    root=$work/modules
    rm -rf "$root"
    mkdir -p "$root/lib/modules"
    : >"$root/lib/modules/order"
    modules=$(find "$work/root" -type d -path '*lib/modules/*/kernel' | head -n 1)
    added=
    for module; do
        add_module "$module"
    done
    archive "$root" "$to"
}

# An empty file system, in a file without blocks.
make_disk() {
    [ ! -e "$base/disk.img" ] || return 0
    mke2fs=$(PATH=$PATH:/sbin:/usr/sbin command -v mke2fs) || { echo "fetch-linux.sh: no mke2fs: no disk.img" >&2; return 0; }
    truncate -s 64M "$base/disk.img.new"
    "$mke2fs" -q -F -t ext4 "$base/disk.img.new"
    mv "$base/disk.img.new" "$base/disk.img"
}

if [ -n "$update" ] || [ ! -e "$work/kernel" ]; then fetch; fi
stamp=$base/modules.cpio
if [ -e "$stamp" ] && [ -e "$base/vmlinuz" ] && [ -z "$(find "$sources" "$0" "$work/kernel" -newer "$stamp")" ]; then
    exit 0
fi
unpack
busybox=$(find "$work/root/bin" "$work/root/usr/bin" -name busybox -type f 2>/dev/null | head -n 1)
vmlinuz=$(find "$work/root/boot" -name 'vmlinuz-*' | head -n 1)
[ -n "$busybox" ] && [ -n "$vmlinuz" ] || fail "the packages hold no kernel or no BusyBox"
cp "$vmlinuz" "$base/vmlinuz"
cp "$busybox" "$base/busybox"
make_initramfs
make_disk
[ $architecture = i386 ] || [ -d "$here/linux-root" ] || make_modules host-modules.cpio kvm_amd virtio_pci 9pnet_virtio 9p overlay
# ext4 asks for crc32c by name and not by a symbol.
make_modules modules.cpio crc32c_generic libata pata_legacy ata_piix sd_mod ext4 e1000
rm -rf "$work/root" "$work/initramfs" "$work/modules" # most of it is modules that nothing here uses
echo "$(cat "$work/kernel"): $base/vmlinuz"
