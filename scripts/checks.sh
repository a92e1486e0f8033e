# Read by the check scripts: `check OUTCOME COMMAND...` and the count of outcomes; $work is a directory that goes at the end.
work=$(mktemp -d "${TMPDIR:-/tmp}/$(basename "$0" .sh).XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

# prints PATTERN COMMAND...: a line of what the command prints matches.
prints() {
    pattern=$1
    shift
    "$@" >"$work/printed" 2>&1 && grep -qE "$pattern" "$work/printed" || { cat "$work/printed"; return 1; }
}

# The command's output is shown where it fails.
check() {
    outcome=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        echo "ok     $outcome"
    else
        failed=$((failed + 1))
        echo "FAILED $outcome"
        sed 's/^/    /' "$work/log" | tail -n 40
    fi
}
