#!/bin/sh
# make-debian-disk.sh [--again]: makes an unmodified Debian on a disk with GRUB, as machines/pc.yaml boots it by its BIOS and machines/pc-uefi.yaml by
# UEFI: .build/guests/debian/disk.img, an MBR with an ext4 partition and an EFI system partition, made by mmdebstrap with this host's own apt sources.
# Done once; --again makes it anew. root's password is `backplane`; the host's key for ssh is id_ed25519 beside it, and so are its vmlinuz and initrd.img,
# for machines/microvm.yaml. Needs root and what `setup.sh pc` installs; no loop device, no mount.
set -eu

fail() { echo "make-debian-disk.sh: $*" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
folder=$(cd "$here/.." && pwd)/.build/guests/debian
disk=$folder/disk.img
case ${1:-} in
"") # One that was made before there was an EFI system partition is made anew.
    [ ! -e "$disk" ] || ! sfdisk -d "$disk" 2>/dev/null | grep -q 'type=ef' || exit 0 ;;
--again) ;;
*) fail "usage: make-debian-disk.sh [--again]" ;;
esac
[ "$(id -u)" = 0 ] || fail "it must run as root: mmdebstrap makes files of root's"
for tool in mmdebstrap sfdisk mke2fs mformat grub-mkimage ssh-keygen; do
    command -v $tool >/dev/null || fail "there is no $tool: scripts/setup.sh pc installs it"
done
sources=
for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ -s "$file" ] && sources=$file && break
done
[ -n "$sources" ] || fail "apt has no sources file"

work=$folder/work
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
[ -e "$folder/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C backplane -f "$folder/id_ed25519"

cat >"$work/grub.cfg" <<'END'
set timeout=10
menuentry "Debian" {
    linux /vmlinuz root=LABEL=debian ro quiet net.ifnames=0
    initrd /initrd.img
}
menuentry "Debian, text screen" {
    linux /vmlinuz root=LABEL=debian ro net.ifnames=0 nomodeset
    initrd /initrd.img
}
menuentry "Debian, serial console" {
    linux /vmlinuz root=LABEL=debian ro net.ifnames=0 console=ttyS0
    initrd /initrd.img
}
END
printf 'auto lo eth0\niface lo inet loopback\nallow-hotplug eth0\niface eth0 inet dhcp\n' >"$work/interfaces"
echo 'LABEL=debian / ext4 errors=remount-ro 0 1' >"$work/fstab"

# A system of Debian's own packages. What is set is what an installer asks for.
mmdebstrap --variant=minbase --format=directory \
    --include=linux-image-amd64,systemd-sysv,udev,kmod,dbus,acpid,openssh-server,ifupdown,isc-dhcp-client,iproute2,login,efibootmgr \
    --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='echo root:backplane | chroot "$1" chpasswd' \
    --customize-hook='echo debian >"$1/etc/hostname"' \
    --customize-hook="install -D -m 600 '$folder/id_ed25519.pub' \"\$1/root/.ssh/authorized_keys\"" \
    --customize-hook="install -m 644 '$work/interfaces' \"\$1/etc/network/interfaces\"" \
    --customize-hook="install -m 644 '$work/fstab' \"\$1/etc/fstab\"" \
    --customize-hook="install -D -m 644 '$work/grub.cfg' \"\$1/boot/grub/grub.cfg\"" \
    bookworm "$work/root" "$sources" >"$folder/log" 2>&1 || { tail -n 20 "$folder/log" >&2; fail "mmdebstrap fails (whole log: $folder/log)"; }

# Debian's partition begins at 1 MiB; the BIOS's GRUB lies before it, and the EFI system partition behind it.
size=1536
system=64
truncate -s "$size"M "$work/disk.img"
printf '%s\n' "start=1MiB, size=$((size - system - 1))MiB, type=83, bootable" "size=${system}MiB, type=ef" | sfdisk -q "$work/disk.img"
mke2fs -q -t ext4 -d "$work/root" -L debian "$work/partition.img" $(((size - system - 1) * 1024))k 2>>"$folder/log"
dd if="$work/partition.img" of="$work/disk.img" bs=1M seek=1 conv=notrunc,sparse status=none
grub=/usr/lib/grub/i386-pc
modules="part_msdos ext2 normal linux configfile echo ls test"
grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk $modules
dd if=$grub/boot.img of="$work/disk.img" bs=440 count=1 conv=notrunc status=none
dd if="$work/core.img" of="$work/disk.img" bs=512 seek=1 conv=notrunc status=none

# Where grub-install has it, and where firmware looks that knows nothing of it yet.
printf 'search.fs_label debian root\nset prefix=($root)/boot/grub\n' >"$work/early.cfg"
grub-mkimage -O x86_64-efi -p /boot/grub -c "$work/early.cfg" -o "$work/grubx64.efi" fat search_label efi_gop $modules
truncate -s "$system"M "$work/system.img"
mformat -i "$work/system.img" -F -v EFI ::
mmd -i "$work/system.img" ::/EFI ::/EFI/debian ::/EFI/BOOT
mcopy -i "$work/system.img" "$work/grubx64.efi" ::/EFI/debian/grubx64.efi
mcopy -i "$work/system.img" "$work/grubx64.efi" ::/EFI/BOOT/BOOTX64.EFI
dd if="$work/system.img" of="$work/disk.img" bs=1M seek=$((size - system)) conv=notrunc,sparse status=none
cp "$work/root/vmlinuz" "$folder/vmlinuz"
cp "$work/root/initrd.img" "$folder/initrd.img"
mv "$work/disk.img" "$disk"
echo "$disk"
