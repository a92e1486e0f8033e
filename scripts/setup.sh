#!/bin/sh
# Installs the Debian packages that Backplane needs and that are missing; quiet where nothing is. `setup.sh bench` adds the
# peers that the benchmarks measure against, `setup.sh test` those that disks are tested with, `setup.sh check` and `setup.sh deb` what `make check` and the Debian packages need,
# `setup.sh net` what looks at networks for `make check-net`,
# `setup.sh kvm` the machine that a host in a box runs on and what its checks use, `setup.sh pc` firmware and what makes disks for `make check-pc`.
set -eu
need="libcapstone-dev libffi-dev liblzma-dev libnbd-dev libslirp-dev libwebsockets-dev libyaml-dev libzstd-dev pkg-config python3 zlib1g-dev"
case ${1:-} in
bench) need="$need fio git qemu-system-x86 valgrind gcc bochs bochs-term iperf3 nasm" ;;
test) need="$need nbdkit qemu-utils" ;;
check) need="$need groff-base" ;;
kvm) need="$need qemu-system-x86 gdb tmux e2fsprogs" ;;
pc) need="$need acpica-tools chromium fdisk e2fsprogs grub-efi-amd64-bin grub-pc-bin grub-common isolinux mmdebstrap mtools novnc openssh-client python3-venv qemu-utils seabios syslinux syslinux-common tmux xorriso" ;;
net) need="$need iperf3 iproute2 iputils-ping tshark" ;;
deb) need="$need debhelper lintian mmdebstrap uidmap" ;;
esac
missing=
for package in $need; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
done
command -v swift >/dev/null || { echo "Backplane needs Swift 6.3 (https://www.swift.org/install/linux) on the PATH." >&2; exit 1; }
[ -z "$missing" ] && exit 0
# One at a time: apt's lists have one lock, for which nobody waits.
mkdir -p "$(dirname "$0")/../.build"
exec 9>"$(dirname "$0")/../.build/setup.lock"
flock 9
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "Installing:$missing"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends $missing >/dev/null
