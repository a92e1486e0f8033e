#!/bin/sh
# check-linux.sh [BACKPLANE [OPTION...]]: boots Debian's kernel, as scripts/fetch-linux.sh got it, in the machines of machines/linux*.yaml
# until it powers off, and compares what its user space computed and wrote with what this host computes. OPTIONs go to `backplane
# run`: --engine soft. Ends with `N passed, N failed`; the exit status is 1 where one failed. CHECK_LINUX names parts, of those below, where not
# all are wanted (of desk also one schedule: desk-all, desk-foreground, desk-round-robin). CHECK_LINUX_LINES: how many lines the guest writes to
# its disk (default: 200000).
set -u

repository=$(cd "$(dirname "$0")/.." && pwd)
backplane=${1:-$repository/.build/release/backplane}
[ $# -gt 0 ] && shift
machines=$repository/machines
guests=$repository/.build/guests/linux
seconds=${BACKPLANE_TIMEOUT:-1200}
lines=${CHECK_LINUX_LINES:-200000}
PATH=$PATH:/sbin:/usr/sbin
work=$(mktemp -d "${TMPDIR:-/tmp}/check-linux.XXXXXX")
trap 'rm -rf "$work"; [ -z "${session:-}" ] || tmux -L $session kill-server 2>/dev/null' EXIT
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
    timeout -k 10 "$seconds" "$backplane" run "$@" </dev/null >"$work/console" 2>"$work/said"
    got=$?
    # Apart while it runs: what the VMM says may come in the middle of a line of the guest's.
    cat "$work/said" >>"$work/console"
    tr -d '\r' <"$work/console" | grep -a '^selftest: ' >"$work/lines"
    if [ $got = "$status" ]; then good "$name: ends with status $status"; else bad "$name: ends with status $got, not $status"; console; fi
}

computes() { # ARCHITECTURE MACHINE OPTION...
    architecture=$1
    shift
    busybox=$guests/$architecture/busybox
    run 0 "$@" --set append="cryptomgr.notests=0 backplane.selftest" # its tests of ciphers are tests of the CPU
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

# Each block twice, by the interpreter and as host code: a difference ends the machine.
checked() { # OPTION...
    printf 'extends: %s\ncpu: { engine: soft, translate: check }\n' "$machines/linux.yaml" >"$work/checked.yaml"
    run 0 "$work/checked.yaml" --set append=backplane.selftest=true "$@"
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
    run 0 "$machines/linux-disk.yaml" --set disk="$work/disk.img" --set append="backplane.selftest=disk backplane.lines=$lines" \
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
    if [ "$(digest <"$work/copy")" = "$(seq 1 "$lines" | digest)" ]; then
        good "$name: the host reads what the guest wrote"
    else
        bad "$name: the host reads what the guest wrote"
    fi
}

# Two guests and the tour in one process, at a terminal.
session=
screen() { tmux -L $session capture-pane -p -J -S -2000 -t desk 2>/dev/null; }
keys() { tmux -L $session send-keys -t desk "$@"; }
# shows WHAT TEXT: within half of what a run may take, on the screen or above it: a guest that comes to the foreground may have much to say.
shows() {
    patience=$(($(date +%s) + seconds / 2))
    while [ "$(date +%s)" -lt $patience ]; do
        if screen | grep -qF -- "$2"; then good "$name: $1"; return 0; fi
        sleep 0.25
    done
    bad "$name: $1: '$2' is not on the screen"
    screen | grep -v '^ *$' | tail -n 20 | sed 's/^/    /'
    return 1
}
# answers LABEL: the shell in the foreground is there, or comes as soon.
answers() {
    patience=$(($(date +%s) + seconds / 2))
    while [ "$(date +%s)" -lt $patience ]; do
        keys "echo $1-\$((40 + 2))" Enter
        sleep 1.5
        if screen | grep -qF -- "$1-42"; then good "$name: $1 takes keys"; return 0; fi
    done
    bad "$name: $1 takes keys"
    screen | grep -v '^ *$' | tail -n 20 | sed 's/^/    /'
    return 1
}
# uptime_of LABEL: of the guest in the foreground, in whole seconds.
uptime_of() {
    keys "echo $1-\$(cut -d. -f1 /proc/uptime)-" Enter
    shows "$1 answers" "$1-" >/dev/null
    sleep 1
    screen | sed -n "s/^$1-\([0-9]*\)-.*/\1/p" | tail -n 1
}
desk() { # SCHEDULE OPTION...
    schedule=$1
    shift
    session=check-linux-$$-$schedule
    cat >"$work/desk.yaml" <<END
host: desk
guests:
  - { file: $machines/linux.yaml, name: left, policies: ["hotkey,schedule=$schedule,quantum=20ms"] }
  - { file: $machines/linux.yaml, name: right, policies: ["hotkey,schedule=$schedule,quantum=20ms"] }
  - { file: $machines/tour.yaml, policies: ["hotkey,schedule=$schedule,quantum=20ms"] }
END
    tmux -L $session -f /dev/null new-session -d -s desk -x 150 -y 50 \
        "'$backplane' run '$work/desk.yaml' $*; echo ended-with-\$?-; sleep 600"
    shows "the first guest comes to its shell" ":/root#" || { tmux -L $session kill-server; return; }
    keys C-a 2
    shows "the second comes to the foreground" "backplane: right: term"
    answers right
    before=$(uptime_of before)
    keys C-a 3
    shows "the tour is the third" "tour>"
    keys C-a 1
    sleep 5
    answers left
    keys C-a n
    sleep 0.5
    after=$(uptime_of after)
    passed_time=$((${after:-0} - ${before:-0}))
    case $schedule in
    foreground) [ -n "$after" ] && [ $passed_time -le 4 ] ;;
    *) [ -n "$after" ] && [ $passed_time -ge 5 ] ;;
    esac
    if [ $? = 0 ]; then
        good "$name: the second one's clock has gone on by $passed_time s meanwhile"
    else
        bad "$name: the second one's clock has gone on by $passed_time s meanwhile"
    fi
    keys C-a x
    shows "all end at a key" "ended-with-0-"
    tmux -L $session kill-server
}
# Both at once, to their ends: the second one's output comes when the first has ended.
together() { # SCHEDULE OPTION...
    schedule=$1
    shift
    run 0 "$machines/linux.yaml" "$machines/linux.yaml" --set append=backplane.selftest=true \
        --policy "hotkey,schedule=$schedule,quantum=20ms" "$@"
    count=$(grep -cxF "selftest: status 0" "$work/lines")
    if [ "$count" = 2 ]; then good "$name: both ran user space"; else bad "$name: $count of 2 ran user space"; console; fi
}

# gdb SESSION COMMAND...: against the machine whose log is $work/console; what it says is in $work/SESSION.
gdb_session() {
    session=$1
    shift
    place=$(tr -d '\r' <"$work/console" | sed -n 's/.*gdb: target remote tcp:\(.*\)$/\1/p' | head -n 1)
    set -- "set pagination off" "set confirm off" "target remote $place" "$@"
    for command; do
        set -- "$@" -ex "$command"
        shift
    done
    timeout "$seconds" gdb -batch -nx "$@" >"$work/$session" 2>&1
}
# said SESSION WHAT PATTERN
said() { if grep -q "$3" "$work/$1"; then good "$2"; else bad "$2: gdb did not say '$3'"; sed 's/^/    /' "$work/$1" | tail -n 20; fi; }
# What the guest's console is to show, in time.
await() {
    tries=$((seconds * 2))
    until grep -aq "$1" "$work/console"; do
        tries=$((tries - 1))
        if [ $tries -le 0 ] || ! kill -0 $machine 2>/dev/null; then bad "$name: shows '$1'"; console; return 1; fi
        sleep 0.5
    done
}

# Steps, registers and memory, where debug registers never fire and INT3 goes to the guest, so that breakpoints are refused (docs/engines.md).
stands_and_steps() {
    gdb_session attached 'printf "entry %#lx\n", $lstar' 'x/i $lstar' 'set $from = $pc' 'stepi' 'stepi' 'stepi' 'stepi' \
        'printf "moved %d\n", $pc != $from' 'info registers efer cr0' 'monitor info status' 'hbreak *$lstar' 'stepi' 'delete' 'detach'
    said attached "$name: its code is read by virtual address" 'swapgs'
    said attached "$name: four steps lead elsewhere" '^moved 1$'
    said attached "$name: registers are those of 64-bit mode" 'LMA'
    said attached "$name: it stands still for its debugger" 'paused'
    said attached "$name: a breakpoint that would never be hit is refused" "Cannot insert hardware breakpoint"
}
# The second instruction behind the entry stores the user's stack pointer at an offset of GS, whose base is still that of the user.
stops_at_places() {
    (sleep 3; echo 'true' >&3) &
    gdb_session attached 'printf "entry %#lx\n", $lstar' 'hbreak *$lstar' 'continue' 'printf "at %#lx\n", $pc' 'x/i $pc' \
        'x/2xb $rcx - 2' 'set $slot = $k_gs_base + *(int *) ($lstar + 8)' 'stepi' 'printf "then %d\n", $pc - $lstar' 'delete' \
        'awatch *(long *) $slot' 'continue' 'printf "watched %d\n", $pc - $lstar' 'delete' 'break *$lstar' 'continue' \
        'printf "again %#lx\n", $pc' 'delete' 'monitor info status' 'detach'
    entry=$(sed -n 's/^entry //p' "$work/attached")
    said attached "$name: a breakpoint at the system call entry is hit" "^at $entry\$"
    said attached "$name: its code is read by virtual address" 'swapgs'
    said attached "$name: the user's SYSCALL is read by virtual address" '0x0f.*0x05'
    said attached "$name: one step goes behind SWAPGS" "^then 3\$"
    said attached "$name: a watchpoint stops behind the store" "^watched 12\$"
    said attached "$name: a breakpoint in memory is hit" "^again $entry\$"
}

# Debian's kernel has no symbols; where the CPU goes for a system call it says itself (LSTAR).
debugs() { # OPTION...
    command -v gdb >/dev/null || { echo "no gdb: $name is not checked"; return; }
    rm -f "$work/keys"
    mkfifo "$work/keys"
    : >"$work/console"
    timeout -k 10 "$seconds" "$backplane" run "$machines/linux.yaml" --gdb tcp:0 "$@" <"$work/keys" >"$work/console" 2>&1 &
    machine=$!
    exec 3>"$work/keys"
    if await 'built-in shell'; then
        if [ "${BACKPLANE_BOX:-}" = tcg ]; then
            stands_and_steps
        else
            stops_at_places
        fi
        echo 'echo sum $((6 * 7)); poweroff -f' >&3
        await 'sum 42' && good "$name: the shell goes on"
    fi
    wait $machine
    got=$?
    if [ $got = 0 ]; then good "$name: ends with status 0"; else bad "$name: ends with status $got"; console; fi
    exec 3>&-

    [ "${BACKPLANE_BOX:-}" != tcg ] || return
    # From the first instruction on, at an address that is not mapped yet.
    timeout -k 10 "$seconds" "$backplane" run "$machines/linux.yaml" --gdb tcp:0 --gdb-wait "$@" </dev/null >"$work/console" 2>&1 &
    machine=$!
    if await 'gdb: target remote'; then
        gdb_session waiting 'x/i $pc' "hbreak *$entry" 'continue' 'printf "at %#lx\n", $pc' 'info registers efer cs' 'kill'
        said waiting "$name: the first system call of all is stopped at" "^at $entry\$"
        said waiting "$name: registers are those of 64-bit mode" 'LMA'
    fi
    wait $machine
    got=$?
    if [ $got = 0 ]; then good "$name: gdb's kill ends the machine"; else bad "$name: gdb's kill: status $got"; console; fi
}

[ -e "$guests/amd64/vmlinuz" ] || { echo "scripts/fetch-linux.sh gets the kernel; without it nothing is checked" >&2; exit 1; }
wanted() { case " ${CHECK_LINUX:-computes checked loads disk together desk gdb i386 i386-disk} " in *" $1 "*) ;; *) return 1 ;; esac; }
name="amd64" && wanted computes && computes amd64 "$machines/linux.yaml" "$@"
name="amd64, host code beside the interpreter" && wanted checked && checked "$@"
if wanted loads; then
    name="amd64 that unpacks itself" && boots --set unpack=guest "$@"
    name="amd64 with 96 MiB" && boots --set memory=96MiB "$@"
    name="amd64 with 4 GiB" && boots --set memory=4GiB "$@"
    name="amd64 with 32 MiB" && run 2 "$machines/linux.yaml" --set memory=32MiB "$@"
    grep -q 'vmlinuz: the kernel needs ' "$work/console" && good "$name: says what it needs" || bad "$name: says what it needs"
fi
name="amd64 with a disk" && wanted disk && writes amd64 "$@"
name="two guests" && wanted together && together round-robin "$@"
if command -v tmux >/dev/null && [ -e "$repository/.build/guests/tour.elf" ]; then
    for kind in all foreground round-robin; do
        name="desk, $kind"
        if wanted desk || wanted desk-$kind; then desk $kind "$@"; fi
    done
else
    echo "tmux or the tour is missing: keys that switch between guests are not checked"
fi
name="amd64 under gdb" && wanted gdb && debugs "$@"
if ! wanted i386; then
    :
elif [ -e "$guests/i386/vmlinuz" ]; then
    name="i386" && computes i386 "$machines/linux-i386.yaml" "$@"
    name="i386 with a disk" && wanted i386-disk && writes i386 "$@"
else
    echo "'scripts/fetch-linux.sh i386' gets the 32-bit kernel, which is not checked"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
