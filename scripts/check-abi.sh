#!/bin/sh
# check-abi.sh [BACKPLANE]: old plugins still load, and the header is what it says.
#
# Tests/abi/MAJOR.MINOR/plugin.h is the header of each minor as it was released. A C plugin is built against each of them, and
# this build of backplane loads it, describes it and tests it. The current header compiles as strict C11 and as C++17.
# BACKPLANE: the program (default: .build/release/backplane). Ends with `N passed, N failed`; status 1 where one failed.
set -u

repository=$(cd "$(dirname "$0")/.." && pwd)
backplane=${1:-$repository/.build/release/backplane}
include=$repository/Sources/CBackplane/include
kept=$repository/Tests/abi
plugin=$repository/Plugins/devices/lfsr/lfsr.c
[ -x "$backplane" ] || { echo "check-abi.sh: there is no $backplane: run 'swift build -c release' first" >&2; exit 2; }
case $backplane in */*) backplane=$(cd "$(dirname "$backplane")" && pwd)/$(basename "$backplane") ;; esac
. "$repository/scripts/checks.sh"

number() { sed -n "s/^#define BP_ABI_$1 \([0-9]*\)\$/\1/p" "$2"; }

# ---- The current header ---------------------------------------------------------------------------------------------------

current=$include/backplane/plugin.h
major=$(number MAJOR "$current")
minor=$(number MINOR "$current")

as_c() {
    printf '#include <backplane/plugin.h>\n#include <backplane/plugin.h>\nint main(void) { return 0; }\n' >"$work/c.c"
    ${CC:-cc} -std=c11 -pedantic -Wall -Wextra -Wundef -Werror -I"$include" -o "$work/c" "$work/c.c"
}
as_cxx() {
    printf '#include <backplane/plugin.h>\nint main() { return static_cast<int>(BP_ABI_MAJOR) - 1; }\n' >"$work/cxx.cc"
    ${CXX:-c++} -std=c++17 -Wall -Wextra -Werror -I"$include" -o "$work/cxx" "$work/cxx.cc"
}
is_kept() {
    cmp -s "$current" "$kept/$major.$minor/plugin.h" && return
    echo "plugin.h says that it is $major.$minor, and is not what Tests/abi/$major.$minor/plugin.h holds."
    echo "Where $major.$minor has been released: raise BP_ABI_MINOR, and copy the header to Tests/abi/$major.$((minor + 1))/."
    echo "Where it has not: cp Sources/CBackplane/include/backplane/plugin.h Tests/abi/$major.$minor/plugin.h"
    diff -u "$kept/$major.$minor/plugin.h" "$current" | head -n 20
    return 1
}
no_minor_is_missing() {
    wanted=0
    while [ "$wanted" -le "$minor" ]; do
        [ -f "$kept/$major.$wanted/plugin.h" ] || { echo "Tests/abi/$major.$wanted/plugin.h is missing"; return 1; }
        wanted=$((wanted + 1))
    done
}

check "the header is strict C11" as_c
check "the header is C++17" as_cxx
check "the header of $major.$minor is kept, and is the current one" is_kept
check "the header of every minor is kept" no_minor_is_missing

# ---- Plugins of every minor -----------------------------------------------------------------------------------------------

says_its_version() {
    [ "$(number MAJOR "$kept/$1/plugin.h").$(number MINOR "$kept/$1/plugin.h")" = "$1" ]
}
# The plugin says that it needs the minor that it is built with: the most that a plugin of that time can need.
builds() {
    mkdir -p "$work/$1/backplane" && cp "$kept/$1/plugin.h" "$work/$1/backplane/" &&
        sed 's/\.abi_minor = 0/.abi_minor = BP_ABI_MINOR/' "$plugin" >"$work/$1/lfsr.c" &&
        ${CC:-cc} -std=c11 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -I"$work/$1" -o "$work/$1/lfsr.so" \
            "$work/$1/lfsr.c"
}
loads() {
    "$backplane" plugin info "$work/$1/lfsr.so" >"$work/info" 2>&1 || { cat "$work/info"; return 1; }
    cat "$work/info"
    grep -q "plugin ABI $1\$" "$work/info" && grep -q '^device lfsr:' "$work/info"
}
# The report of the bench names its checks.
bears_the_bench() {
    "$backplane" plugin test "$work/$1/lfsr.so" >"$work/bench" 2>&1 && grep -q fuzz "$work/bench" || { cat "$work/bench"; return 1; }
}
makes_a_machine() {
    cat >"$work/$1/machine.yaml" <<END
machine: abi
memory: 1MiB
policies:
  - { id: rules, plugin: standard }
devices:
  - { id: old, plugin: ./lfsr, at: 0x1e0, seed: 7, on-start: ["seed(9)"] }
END
    "$backplane" show "$work/$1/machine.yaml" >"$work/show" 2>&1 || { cat "$work/show"; return 1; }
    cat "$work/show"
    grep -qi '0x0*1e0' "$work/show"
}

for folder in "$kept"/*.*/; do
    version=$(basename "$folder")
    check "$version: the kept header says $version" says_its_version "$version"
    check "$version: a plugin builds against it" builds "$version"
    check "$version: the plugin loads" loads "$version"
    check "$version: a machine has it" makes_a_machine "$version"
    check "$version: the plugin bears the bench" bears_the_bench "$version"
done

# ---- Plugins of a later minor that need nothing of it ---------------------------------------------------------------------

# A later minor appends fields. A plugin that was built with it, and says that 1.0 is enough, loads here.
builds_later() {
    mkdir -p "$work/later/backplane" &&
        sed 's/^} bp_\(plugin\|property\|method\|parameter\|slot\|claim\);/    uint64_t later[4];\n&/' "$current" \
            >"$work/later/backplane/plugin.h" &&
        [ "$(grep -c 'uint64_t later' "$work/later/backplane/plugin.h")" -eq 6 ] && cp "$plugin" "$work/later/lfsr.c" &&
        ${CC:-cc} -std=c11 -Wall -Wextra -shared -fPIC -fvisibility=hidden -I"$work/later" -o "$work/later/lfsr.so" \
            "$work/later/lfsr.c"
}
loads_later() { "$backplane" plugin info "$work/later/lfsr.so"; }
check "a plugin with longer structs builds" builds_later
check "it loads" loads_later
check "a machine has it" makes_a_machine later
check "it bears the bench" bears_the_bench later

# ---- Plugins that must be refused -----------------------------------------------------------------------------------------

# A plugin that needs a minor, or is of a major, that this host does not have: refused, and both versions are named.
refuses() {
    mkdir -p "$work/$1" && sed "s/$2/$3/; s/host_major == BP_ABI_MAJOR/1/" "$plugin" >"$work/$1/lfsr.c" &&
        ${CC:-cc} -std=c11 -shared -fPIC -fvisibility=hidden -I"$include" -o "$work/$1/lfsr.so" "$work/$1/lfsr.c" || return 1
    "$backplane" plugin info "$work/$1/lfsr.so" >"$work/info" 2>&1
    status=$?
    cat "$work/info"
    [ $status -eq 2 ] && grep -q "$1" "$work/info" && grep -q "$major\.$minor" "$work/info"
}
check "a plugin that needs $major.$((minor + 1)) is refused" refuses "$major.$((minor + 1))" \
    '\.abi_minor = 0' ".abi_minor = $((minor + 1))"
check "a plugin of major $((major + 1)) is refused" refuses "$((major + 1)).0" \
    '\.abi_major = BP_ABI_MAJOR' ".abi_major = $((major + 1))"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
