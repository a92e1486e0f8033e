#!/bin/sh
# check-linux.sh [BACKPLANE [OPTION...]]: boots Debian's kernel, as scripts/fetch-linux.sh got it, in the machines of machines/linux*.yaml
# until it powers off, and compares what its user space computed and wrote with what this host computes. OPTIONs go to `backplane
# run`: --engine soft. Ends with `N passed, N failed`; the exit status is 1 where one failed.
set -u

repository=$(cd "$(dirname "$0")/.." && pwd)
backplane=${1:-$repository/.build/release/backplane}
[ $# -gt 0 ] && shift
machines=$repository/machines
guests=$repository/.build/guests/linux
seconds=${BACKPLANE_TIMEOUT:-600}
PATH=$PATH:/sbin:/usr/sbin
work=$(mktemp -d "${TMPDIR:-/tmp}/check-linux.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

good() { passed=$((passed + 1)); echo "ok     $*"; }
bad() { failed=$((failed + 1)); echo "FAILED $*"; }
console() { tail -n 30 "$work/console" | sed 's/^/    /'; }
# expect WHAT TEXT: the guest said this line.
expect() { if grep -qxF "selftest: $2" "$work/lines"; then good "$1"; else bad "$1: no line 'selftest: $2'"; fi; }
digest() { sha256sum | cut -d' ' -f1; }

# run STATUS MACHINE OPTION...: to its end, which has this status.
run() {
    status=$1
    shift
    timeout -k 10 "$seconds" "$backplane" run "$@" </dev/null >"$work/console" 2>&1
    got=$?
    tr -d '\r' <"$work/console" | grep -a '^selftest: ' >"$work/lines"
    if [ $got = "$status" ]; then good "$name: ends with status $status"; else bad "$name: ends with status $got, not $status"; console; fi
}

computes() { # ARCHITECTURE MACHINE OPTION...
    architecture=$1
    shift
    busybox=$guests/$architecture/busybox
    run 0 "$@" --set append=backplane.selftest
    expect "$name: sha256 of 2.7 MB is the host's" "sha256 $(seq 1 400000 | digest)"
    # The same program on the same bytes. (gzip's output is not the same from one program to the next.)
    if "$busybox" true 2>/dev/null; then
        seq 1 400000 | "$busybox" gzip -c >"$work/data.gz"
        expect "$name: gzip gives the host's bytes" "gzip $(wc -c <"$work/data.gz") $(digest <"$work/data.gz")"
    fi
    expect "$name: 100 processes" "processes 5050"
    expect "$name: pipes" "pipes 49998 1111"
    expect "$name: signals" "signals 3 143"
    # Pi, the roots of e and 3, 1/3, and the sum of the inverse squares of 1 to 1000, to 15 digits.
    expect "$name: floating point" \
        "floats 3.14159265358979 1.64872127070013 1.73205080756888 0.333333333333333 1.64393456668156"
    expect "$name: the guest finds nothing wrong" "passed"
}

boots() { # OPTION...
    run 0 "$machines/linux.yaml" --set append=backplane.selftest=true "$@"
    expect "$name: user space ran" "status 0"
}

writes() { # ARCHITECTURE OPTION...
    architecture=$1
    shift
    mkdir -p "$work/files"
    seq 1000000 1010000 >"$work/files/from-host"
    rm -f "$work/disk.img"
    truncate -s 96M "$work/disk.img"
    mke2fs -q -F -t ext4 -d "$work/files" "$work/disk.img" || return
    run 0 "$machines/linux-disk.yaml" --set disk="$work/disk.img" --set append="backplane.selftest=disk" \
        --set kernel="$guests/$architecture/vmlinuz" --set initrd="$guests/$architecture/initramfs.cpio" \
        --set modules="$guests/$architecture/modules.cpio" "$@"
    expect "$name: the guest reads what the host wrote" "from-host $(digest <"$work/files/from-host")"
    expect "$name: the guest finds nothing wrong" "passed"
    if e2fsck -fn "$work/disk.img" >"$work/console" 2>&1; then
        good "$name: e2fsck finds the file system clean"
    else
        bad "$name: e2fsck finds the file system clean"
        console
    fi
    debugfs -R "dump /guest/deep/er/copy $work/copy" "$work/disk.img" 2>/dev/null
    if [ "$(digest <"$work/copy")" = "$(seq 1 200000 | digest)" ]; then
        good "$name: the host reads what the guest wrote"
    else
        bad "$name: the host reads what the guest wrote"
    fi
}

[ -e "$guests/amd64/vmlinuz" ] || { echo "scripts/fetch-linux.sh gets the kernel; without it nothing is checked" >&2; exit 1; }
name="amd64" && computes amd64 "$machines/linux.yaml" "$@"
name="amd64 that unpacks itself" && boots --set unpack=guest "$@"
name="amd64 with 96 MiB" && boots --set memory=96MiB "$@"
name="amd64 with 4 GiB" && boots --set memory=4GiB "$@"
name="amd64 with 32 MiB" && run 2 "$machines/linux.yaml" --set memory=32MiB "$@"
grep -q 'vmlinuz: the kernel needs ' "$work/console" && good "$name: says what it needs" || bad "$name: says what it needs"
name="amd64 with a disk" && writes amd64 "$@"
if [ -e "$guests/i386/vmlinuz" ]; then
    name="i386" && computes i386 "$machines/linux-i386.yaml" "$@"
    name="i386 with a disk" && writes i386 "$@"
else
    echo "'scripts/fetch-linux.sh i386' gets the 32-bit kernel, which is not checked"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
