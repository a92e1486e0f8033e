#!/bin/sh
# kvm-checks.sh BACKPLANE [PART...]: what check-kvm.sh runs on a host with a real KVM: Debian's kernel as a guest of it, under every policy that
# KVM can deliver, its chain changed while it runs, reset, paused and ended. Parts: policies, control, limits (all without any), and costs, which counts the exits
# of what docs/engines.md names. Ends with `N passed, N failed`; the exit status is 1 where one failed.
set -u

repository=$(cd "$(dirname "$0")/.." && pwd)
. "$repository/scripts/checks.sh"
machine=
trap '[ -z "$machine" ] || kill -KILL $machine 2>/dev/null; rm -rf "$work"' EXIT
backplane=$1
shift
[ $# -gt 0 ] || set -- policies control limits
seconds=${BACKPLANE_TIMEOUT:-900}

# ---- A Linux guest ----------------------------------------------------------------------------------------------------------

# start FILE [OPTION...]: a machine whose console is $work/console; it is $machine.
start() {
    rm -f "$work/keys" "$work/qmp"
    mkfifo "$work/keys"
    : >"$work/console"
    "$backplane" run "$@" --engine kvm --qmp "unix:$work/qmp" <"$work/keys" >"$work/console" 2>"$work/errors" &
    machine=$!
    exec 3>"$work/keys"
}
say() { printf '%s\n' "$*" >&3; }
# within COMMAND...: comes true while the machine lives, in time.
within() {
    deadline=$(($(date +%s) + seconds))
    until "$@"; do
        [ "$(date +%s)" -lt $deadline ] && kill -0 $machine 2>/dev/null || { "$@"; return; }
        sleep 0.5
    done
}
on_console() { [ "$(grep -ac -- "$1" "$work/console")" -ge "${2:-1}" ]; }
# shows PATTERN [COUNT]: on the console, so many lines of it.
shows() { within on_console "$@" || { echo "the console does not show '$1':"; tail -n 30 "$work/console" "$work/errors"; return 1; }; }
says() { within grep -aq -- "$1" "$work/errors" || { echo "the log does not say '$1':"; tail -n 30 "$work/errors"; return 1; }; }
at_shell() { shows 'built-in shell' "${1:-1}"; }
ctl() { "$backplane" ctl "$work/qmp" "$@"; }
# answers COMMAND RESULT: the guest's shell runs a command whose last line is that. Each answer has a number of its own.
number=0
answers() {
    number=$((number + 1))
    say "echo \"answer-\$(( $number + 0 ))=\$($1)=\""
    shows "^answer-$number=$2=.\?\$"
}
# Waits for the end of the machine, whose status is $got; one that goes on is killed.
finish() {
    deadline=$(($(date +%s) + seconds))
    while kill -0 $machine 2>/dev/null && [ "$(date +%s)" -lt $deadline ]; do sleep 0.2; done
    kill -KILL $machine 2>/dev/null && echo "it went on for $seconds s"
    wait $machine
    got=$?
    exec 3>&-
}
# ends STATUS; ends_oddly: with a status of the guest's own.
ends() {
    finish
    [ $got = "$1" ] || { echo "status $got, not $1"; tail -n 30 "$work/console" "$work/errors"; return 1; }
}
ends_oddly() {
    finish
    [ $((got & 1)) = 1 ] || [ $got = 0 ] || { echo "status $got"; tail -n 30 "$work/console" "$work/errors"; return 1; }
}
# counts METHOD AT-LEAST
counts() {
    got=$(ctl call $1 | tr -dc 0-9)
    [ "${got:-0}" -ge "$2" ] || { echo "$1 gives '$got', not $2 or more"; return 1; }
}
is() { ctl info status | grep -q "$1"; }
refused() { # WHY COMMAND...: a command of the monitor
    why=$1
    shift
    text=$(ctl "$@" 2>&1) && { echo "it is not refused"; return 1; }
    echo "$text" | grep -q -- "$why" || { echo "$text"; return 1; }
}
# What a byte of a port reads as, in octal: `port_byte 113`.
port_byte="dd if=/dev/port bs=1 count=1 2>/dev/null skip"
octal="od -An -to1 | tr -d ' '"

# ---- Policies ---------------------------------------------------------------------------------------------------------------

policies() {
    cat >"$work/policies.yaml" <<END
extends: $repository/machines/linux.yaml
machine: watched-linux
policies:
  - { id: counts, plugin: stats, at-end: off }
  - { id: msr-trace, plugin: trace, kinds: [rdmsr, wrmsr], file: $work/msrs.jsonl }
  - { id: msr-watch, plugin: watchpoint, msrs: 0xc0000082, access: write, action: log }
  - { id: msr-guard, plugin: guard, deny-msrs: 0x40000000-0x400000ff, log-limit: 1 }
  - { id: msr-fault, plugin: fault-inject, exits: rdmsr, addresses: 0x8b, effect: value, value: 0x1234000000000, log: off }
  - { id: grant, plugin: budget, exits: 1000000000 }
  - { id: pages, plugin: memory-watch, ranges: 0x9f000-0x9ffff, writes: report, at-end: off }
  - { id: calls, plugin: paravirt }
  - { id: keys, plugin: hotkey }
  - { id: rules, plugin: standard, unhandled-msr: log }
END
    # A page of RAM that the guest knows of and does not use, for /dev/mem.
    start "$work/policies.yaml" --set 'append=memmap=4K$0x9f000'
    check "policies: Debian boots under ten of them" at_shell
    check "stats counts its exits" counts "counts count io" 10000
    check "watchpoint has seen LSTAR written" counts "msr-watch hits" 1
    check "fault-inject has answered for the microcode's revision" counts "msr-fault injected" 1
    check "standard lets a guest read an MSR that no CPU has" says "MSR"

    # Live, each for itself.
    check "live: guard denies a port" ctl policy insert guard,deny-ports=0x71
    check "the guest reads all ones there" answers "$port_byte=113 | $octal" 377
    check "guard has counted it" counts "guard denials" 1
    check "guard is taken out" ctl policy remove guard
    check "live: fault-inject gives a port's value" \
        ctl policy insert fault-inject,exits=io,addresses=0x71,access=read,effect=value,value=0x5a,log=off
    check "the guest reads it" answers "$port_byte=113 | $octal" 132
    check "fault-inject is taken out" ctl policy remove fault-inject
    check "live: watchpoint on a port" ctl policy insert watchpoint,ports=0x80,access=write,value=0x7b,action=pause
    say 'printf "\173" | dd of=/dev/port bs=1 seek=128 2>/dev/null; echo behind the watch"point"'
    check "it has paused the guest" within is paused
    check "the guest has not gone on" not grep -aq 'behind the watchpoint' "$work/console"
    check "cont lets it go on" ctl cont
    check "it goes on" shows 'behind the watchpoint'
    check "watchpoint is taken out" ctl policy remove watchpoint
    check "live: trace of ports" ctl policy insert trace,kinds=io,file="$work/ports.jsonl"
    check "the guest goes on" answers "seq 1 300 | tail -n 1" 300
    check "trace is taken out" ctl policy remove trace
    check "it has the UART's exits" grep -q '"port":1016\|1016\|3f8' "$work/ports.jsonl"
    check "live: budget of 200 exits" ctl policy insert budget,exits=200,action=pause
    say 'seq 1 200; echo the granted"ones"'
    check "it has paused the guest" within is paused
    check "more are granted and used up" ctl cont
    check "budget is taken out" ctl policy remove budget
    ctl cont >/dev/null 2>&1
    check "the guest goes on" shows 'the grantedones'

    write='dd of=/dev/mem bs=1 seek=654352 conv=notrunc 2>/dev/null'
    read='dd if=/dev/mem bs=1 skip=654352 count=2 2>/dev/null'
    check "memory-watch reports a write to RAM, and lets it be" answers "printf AB | $write; $read" AB
    check "it has counted it" counts "pages writes" 1
    check "live: it denies them" ctl set pages writes deny
    check "the write is lost" answers "printf CD | $write; $read" AB
    check "live: it lets them be" ctl set pages writes allow
    check "the write is done" answers "printf EF | $write; $read" EF
    check "it tells the changed page" ctl_says 0x9f000 call pages changed

    check "paravirt takes a hypercall" answers "printf '\\001' | dd of=/dev/port bs=1 seek=16976 2>/dev/null; echo done" done
    check "it has counted it" counts "calls calls" 1
    check "standard logs a port that nobody claims" ctl set rules unclaimed-port log
    check "the guest reads ones there" answers "$port_byte=768 | $octal" 377
    check "it is in the log" says '0x300\|0x0300'

    # What KVM cannot deliver is refused by name, and the chain stays.
    check "cpuid is refused: KVM gives no CPUID exit" refused "CPUID" policy insert cpuid,vendor=BackplaneVMM
    check "control registers are refused" refused "cannot deliver" policy insert watchpoint,control-registers=3
    check "counted instructions are refused" refused "instruction" policy insert budget,instructions=1000
    check "precise injection is refused" refused "inject" policy insert guard,deny-ports=0x71,action=inject

    # The chain is changed all the time while the guest computes.
    say 'seq 1 200000 | sha256sum | cut -c1-16 >/tmp/sum; echo summed"up"'
    changes() {
        count=0
        deadline=$(($(date +%s) + seconds))
        until grep -aq 'summedup' "$work/console"; do
            ctl policy insert watch=watchpoint,ports=0x3f8,action=log,access=read first >/dev/null || return 1
            ctl policy replace watch watch=guard,deny-ports=0x2f8 >/dev/null || return 1
            ctl policy move watch last >/dev/null || return 1
            ctl policy remove watch >/dev/null || return 1
            count=$((count + 4))
            [ "$(date +%s)" -lt $deadline ] && kill -0 $machine || return 1
        done
        [ $count -gt 0 ] && echo "     $count changes"
    }
    check "the chain changes while the guest computes" changes
    check "its result is the host's" answers "cat /tmp/sum" "$(seq 1 200000 | sha256sum | cut -c1-16)"
    say 'printf "\004" | dd of=/dev/port bs=1 seek=16976 2>/dev/null'
    check "hypercall 4 ends the machine, with the status that RBX gives" ends_oddly
    check "trace has the MSRs that it wrote" grep -qi 'c0000082\|3221225602' "$work/msrs.jsonl"
}
not() { ! "$@"; }
ctl_says() {
    pattern=$1
    shift
    text=$(ctl "$@") && echo "$text" | grep -q -- "$pattern" || { echo "$text"; return 1; }
}

# ---- Pause, reset, ends -----------------------------------------------------------------------------------------------------

# The guest's uptime in seconds, in $uptime.
ask_uptime() {
    number=$((number + 1))
    say "echo \"answer-\$(( $number + 0 ))=\$(cut -d. -f1 /proc/uptime)=\""
    shows "^answer-$number=" || return 1
    uptime=$(sed -n "s/^answer-$number=\([0-9]*\)=.*/\1/p" "$work/console")
    [ -n "$uptime" ]
}
# What the guest says of its clock: the time of a pause is none of its own.
no_jump() {
    ask_uptime || return 1
    first=$uptime
    begin=$(date +%s)
    ctl stop && is paused || return 1
    sleep 20
    ctl cont && ask_uptime || return 1
    passed_here=$(($(date +%s) - begin))
    passed_there=$((uptime - first))
    echo "here $passed_here s, there $passed_there s"
    [ $passed_there -ge 0 ] && [ $passed_there -le $((passed_here - 17)) ]
}
control() {
    start "$repository/machines/linux.yaml"
    check "control: Debian boots" at_shell
    check "a pause of 20 s is no jump of the guest's clock" no_jump
    check "it sleeps as before" answers "sleep 2; echo slept" slept
    check "nothing in its log speaks of a lockup, a stall or a bad clock" \
        answers "dmesg | grep -ci -e 'soft lockup' -e 'rcu.*stall' -e 'hung task'" 0
    check "a device goes off line" ctl instance offline rtc
    check "its ports are an empty bus" answers "$port_byte=113 | $octal" 377
    check "it comes back" ctl instance online rtc
    check "the guest goes on" answers "echo \$((6 * 7))" 42
    check "reset" ctl system_reset
    check "Debian boots again" at_shell 2
    check "it computes" answers "seq 1 20000 | sha256sum | cut -c1-16" "$(seq 1 20000 | sha256sum | cut -c1-16)"
    kill -TERM $machine
    check "SIGTERM ends it" ends 0

    start "$repository/machines/linux.yaml"
    check "another one starts" shows 'Linux version'
    kill -KILL $machine
    check "SIGKILL ends it in the midst of its boot" ends 137
}
limits() {
    start "$repository/machines/linux.yaml" --policy strict
    check "strict stops Debian at the first port that nobody has" ends 8
    check "it says which" grep -q "strict" "$work/errors"
}

# ---- What a guest costs -----------------------------------------------------------------------------------------------------

# cost WHAT COMMAND...: the exits of a command that waits for the guest, with those of the devices that have most.
cost() {
    what=$1
    shift
    ctl call counts clear >/dev/null 2>&1
    "$@" || return
    ctl call counts table | tr -d '\r' | awk -F '\t' -v what="$what" '
        $1 == "kind" { all += $3 } $1 == "port" { by[$5] += $3 } $1 == "kind" && $2 == "hlt" { by["hlt"] += $3 }
        END { line = "cost   " what ": " all " exits"; for (owner in by) line = line "; " by[owner] " " owner; print line }'
}
idles() { sleep 10; }
costs() {
    truncate -s 96M "$work/disk.img"
    start "$repository/machines/linux-disk.yaml" --set "disk=$work/disk.img" --policy counts=stats,at-end=off
    cost "a boot of Debian to its shell" at_shell
    # Answered: at rest.
    answers "sleep 2; echo 0 >/sys/block/sda/queue/read_ahead_kb; echo still" still
    cost "ten idle seconds" idles
    cost "1 MiB read by IDE" answers "dd if=/dev/sda of=/dev/null bs=64k skip=16 count=16 2>/dev/null; echo read" read
    cost "1 MiB written by IDE" answers "dd if=/dev/zero of=/dev/sda bs=64k seek=16 count=16 conv=fsync 2>/dev/null; echo written" written
    cost "64 KiB through the UART" answers "head -c 65536 /dev/zero | tr '\\000' x; echo; echo sent" sent
    say 'poweroff -f'
    check "costs: the machine ends" ends 0
}

for part; do $part; done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
