#!/bin/sh
# kvm-box.sh COMMAND [ARGUMENT...]: runs a command on a host whose KVM is a real one, where this one's is not: in QEMU, whose TCG emulates a CPU
# with AMD's SVM and nested paging, Debian's kernel with its kvm-amd. What is real there is KVM itself - its exits, injections, filters, memory
# slots and clocks; what an instruction does is TCG's.
#
# The command sees this machine's files (at the same paths, read through 9p), and what it writes is gone afterwards, but for files in the folder
# that BOX_OUT names to it: that is out/ of BOX_DIR here. Its output and its exit status are the box's. Needs what `setup.sh kvm`
# installs and `fetch-linux.sh` gets.
#
# A box whose kernel dies or locks up ends with status 99: TCG loses a CPU now and then, which sits in HLT while the other waits for it.
#
# BOX_DIR: where the box puts its files (default: .build/box). BOX_SECONDS: how long it may take (default: 1800).
set -eu

fail() { echo "kvm-box.sh: $*" >&2; exit 99; }
[ $# -gt 0 ] || fail "usage: kvm-box.sh COMMAND [ARGUMENT...]"
repository=$(cd "$(dirname "$0")/.." && pwd -P)
linux=$repository/.build/guests/linux/amd64
box=${BOX_DIR:-$repository/.build/box}
command -v qemu-system-x86_64 >/dev/null || fail "there is no qemu-system-x86_64: scripts/setup.sh kvm installs it"
[ -e "$linux/host-modules.cpio" ] || fail "there is no kernel: scripts/fetch-linux.sh gets it"

mkdir -p "$box/out" "$box/root"
rm -rf "$box/out" && mkdir "$box/out"
cp "$repository/Guests/box/init" "$box/root/box"
(cd "$box/root" && echo box | "$linux/busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$box/init.cpio"
cat "$linux/initramfs.cpio" "$linux/host-modules.cpio" "$box/init.cpio" >"$box/initrd"

# The command, each argument quoted.
quoted() { printf %s "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }
{
    echo "export BACKPLANE_BOX=tcg BOX_OUT=/run/box HOME=/root TERM=xterm LANG=C.UTF-8 PATH=$(quoted "$PATH")"
    echo "cd $(quoted "$(pwd)")"
    for word; do printf '%s ' "$(quoted "$word")"; done
    echo
} >"$box/out/command"
echo "$repository" >"$box/out/repository"

timeout -k 5 "${BOX_SECONDS:-1800}" qemu-system-x86_64 -accel tcg -M pc -cpu EPYC,+svm,+npt,-xsaves -smp 2 -m 4096 -display none -no-reboot -net none \
    -serial "file:$box/console" -chardev stdio,id=out,signal=off -serial chardev:out -monitor none \
    -fsdev local,id=outside,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=outside,mount_tag=outside \
    -fsdev "local,id=out,path=$box/out,security_model=none" -device virtio-9p-pci,fsdev=out,mount_tag=out \
    -kernel "$linux/vmlinuz" -initrd "$box/initrd" -append "console=ttyS0 rdinit=/box loglevel=6 oops=panic softlockup_panic=1 watchdog_thresh=60 panic=-1 no_timer_check" </dev/null 2>"$box/qemu" &
machine=$!
trap 'kill $machine; exit 143' INT TERM
wait $machine ||
    { status=$?; grep -v 'TCG doesn.t support' "$box/qemu" >&2; fail "QEMU ends with status $status"; }
[ -e "$box/out/status" ] || { tail -n 20 "$box/console" >&2; fail "the box came to no end of its own"; }
exit "$(cat "$box/out/status")"
