#!/bin/sh
# check-kvm.sh BACKPLANE TESTS [--soak] [--here | --box] [PART...]: proves EngineKVM on a KVM that runs supervisor code on the CPU: on this host's own, or
# where that one is not such (or there is none), on the one of a host in a box (kvm-box.sh). TESTS is the test bundle. Prints a line for each check; ends
# with `N passed, N failed`, and the exit status is 1 where one failed. Logs: .build/box/.
#
# Parts, each a host of its own: tests (EngineKVM's, the witness, machines on KVM), guests (of kvm-checks.sh), debian
# (check-linux.sh), pc (check-pc.py: firmware and GRUB). --soak checks more of each. BOXES: how many run at the same time (default: one for each CPU).
# BOX_SECONDS ends a box that hangs (default: 3600, with --soak 14400): no check asks for a speed.
set -u

fail() { echo "check-kvm.sh: $*" >&2; exit 2; }
repository=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 2 ] && [ -x "$1" ] && [ -x "$2" ] || fail "usage: check-kvm.sh BACKPLANE TESTS [--soak] [--here | --box] [PART...]"
backplane=$1
tests=$2
shift 2
soak=
place=
parts=
for argument; do
    case $argument in
    --soak) soak=1 ;;
    --here | --box) place=${argument#--} ;;
    tests | guests | debian | pc) parts="$parts $argument" ;;
    *) fail "'$argument'?" ;;
    esac
done
: "${parts:=tests guests debian pc}"
logs=$repository/.build/box
mkdir -p "$logs"
if [ -n "$soak" ]; then : "${BOX_SECONDS:=14400}"; else : "${BOX_SECONDS:=3600}"; fi
: "${BOXES:=$(nproc)}"
export BOX_SECONDS

# `engine: auto` knows: it takes KVM where supervisor code runs at native speed.
if [ -z "$place" ]; then
    printf '\372\364' >"$logs/halt"
    printf 'machine: halt\nmemory: 1MiB\nboot: { plugin: flat, image: halt, mode: real }\n' >"$logs/halt.yaml"
    said=$("$backplane" run "$logs/halt.yaml" --engine auto 2>&1) || fail "a machine cannot run: $said"
    case $said in *'engine soft'*) place=box ;; *) place=here ;; esac
    echo "$said" | sed -n 's/^backplane: \(engine soft.*\)$/\1: the checks run on a host in a box/p'
fi

# ---- The parts ----------------------------------------------------------------------------------------------------------------

# What of the bundle runs on KVM: the engine's own tests, those that run on every engine, the witness, and whole machines. In a box these leave out
# the other engine. Suites of machines that name no engine are what they are in `make test`.
run_tests() {
    # Of 200,000 exits each.
    slow='|IsolationTests'
    [ $place = box ] && [ -z "$soak" ] || slow=
    others=$(grep -LE 'TestEngine\.(here|with)' "$repository"/Tests/MachineTests/*Tests.swift | sed 's|.*/|MachineTests\\..*/|' | paste -sd '|')
    run env BACKPLANE_SOAK=${soak:+20} "$tests" --testing-library swift-testing --no-parallel --filter '^(EngineTests|MachineTests)\.' \
        --skip "${others:-none}|CrashTests|SoftExitTests$slow"
}
run_guests() { run "$repository/scripts/kvm-checks.sh" "$backplane" policies control limits ${soak:+costs}; }
run_debian() {
    # Each word that a disk is written is an exit.
    if [ -n "$soak" ]; then set -- '' 200000; else set -- 'computes disk desk-round-robin gdb i386' 5000; fi
    run env CHECK_LINUX="$1" CHECK_LINUX_LINES="$2" "$repository/scripts/check-linux.sh" "$backplane" --engine kvm
}
run_pc() {
    if [ -n "$soak" ]; then set --; else set -- --only '^(SeaBIOS|GRUB)'; fi
    run "$repository/scripts/check-pc.py" --engine kvm "$@" "$backplane"
}
run() {
    if [ $place = box ]; then set -- "$repository/scripts/kvm-box.sh" "$@"; fi
    began=$(date +%s)
    run_once "$@"
    # The box itself has died, of a fault of its own.
    if [ $place = box ] && [ $status = 99 ]; then
        echo "the box of '$part' has died, and is started once more: $(grep -a -m 1 -e BUG: -e 'Kernel panic' "$logs/$part/console" | cut -c 1-120)"
        run_once "$@"
    fi
    echo $(($(date +%s) - began)) >"$logs/$part.seconds"
    echo $status >"$logs/$part.status"
}
run_once() {
    BOX_DIR=$logs/$part "$@" >"$logs/$part.log" 2>&1 &
    child=$!
    trap 'kill $child' TERM
    wait $child
    status=$?
}

# One line for each check: of the test bundle, for each test.
report() {
    case $1 in
    tests)
        sed 's/\x1b\[[0-9;]*m//g' "$logs/tests.log" | sed -n \
            -e 's/^.\{1,3\} Test \([a-zA-Z0-9_]*(.*)\) .*passed after \(.*\)\.$/ok     \1: \2/p' \
            -e 's/^.\{1,3\} Test \([a-zA-Z0-9_]*(.*)\) .*failed after \(.*\)\.$/FAILED \1: \2/p' \
            -e 's/^.\{1,3\} Test \([a-zA-Z0-9_]*(.*)\) .*skipped: \(.*\)$/SKIPPED \1: \2/p' \
            -e '/recorded a known issue/,/^↳/s/^↳/     known:/p' -e '/recorded an issue/,/^.\{1,3\} /s/^/    /p'
        ;;
    *) grep -v ' passed, [0-9]* failed$' "$logs/$1.log" ;;
    esac
}

cleanup() { for job in $jobs; do kill "$job" 2>/dev/null; done; }
jobs=
trap cleanup EXIT
trap 'exit 130' INT TERM
# at_work: how many boxes have begun and not ended.
at_work() {
    count=0
    for part in $begun; do [ -e "$logs/$part.status" ] || count=$((count + 1)); done
    echo $count
}
for part in $parts; do rm -f "$logs/$part.status"; done
begun=
for next in $parts; do
    while [ $place = box ] && [ "$(at_work)" -ge "$BOXES" ]; do sleep 1; done
    part=$next
    begun="$begun $part"
    if [ $place = box ]; then
        "run_$part" &
        jobs="$jobs $!"
    else
        "run_$part"
    fi
done
passed=0
failed=0
for part in $parts; do
    while [ ! -e "$logs/$part.status" ]; do sleep 1; done
    echo "== $part ($(cat "$logs/$part.seconds") s)"
    report "$part" | tee "$logs/$part.report"
    good=$(grep -c '^ok ' "$logs/$part.report")
    bad=$(grep -c '^FAILED ' "$logs/$part.report")
    if [ "$(cat "$logs/$part.status")" != 0 ] && [ "$bad" = 0 ]; then
        bad=1
        echo "FAILED $part: ends with status $(cat "$logs/$part.status")"
        tail -n 30 "$logs/$part.log" | sed 's/^/    /'
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done
wait
jobs=
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed != 0 ]
