# Run by check-deb.sh in a clean Debian, with the packages in /check: installs them, uses them as a user without rights would, and takes
# them away again.
set -u
. /check/checks.sh
export DEBIAN_FRONTEND=noninteractive HOME=/home/guest
unset APT_CONFIG # mmdebstrap's

useradd --create-home guest
user() { (cd "$HOME" && setpriv --reuid=guest --regid=guest --clear-groups "$@"); }
install_packages() { apt-get install -qq -y -o Dpkg::Use-Pty=0 "$@"; }

# ---- The program ----------------------------------------------------------------------------------------------------------

check "backplane installs without what it only recommends" install_packages --no-install-recommends /check/backplane_*.deb

runs_tour() {
    echo off | user timeout 120 backplane run /usr/share/backplane/machines/tour.yaml >"$work/tour" || { cat "$work/tour"; return 1; }
    grep -q '^halted' "$work/tour"
}
check "the tour runs to its prompt and powers off" runs_tour

lists_plugins() {
    user backplane plugin list >"$work/list" 2>"$work/broken" && [ ! -s "$work/broken" ] || { cat "$work/broken"; return 1; }
    [ "$(grep -c . "$work/list")" -eq $(($(ls /usr/lib/backplane/plugins | wc -l) + 1)) ]
}
check "all plugins load" lists_plugins

has_pages() {
    for page in backplane $(backplane help | sed -n '/^SUBCOMMANDS/,$s/^  \([a-z][a-z]*\) .*/backplane-\1/p'); do
        prints '^SYNOPSIS' user man 1 "$page" || { echo "$page"; return 1; }
    done
    prints '^Instances' user man 5 backplane-machine-file
}
check "each command has a page" has_pages

# ---- Completions ----------------------------------------------------------------------------------------------------------

bash_finds_it() { bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader backplane; complete -p backplane'; }
check "bash finds its completions" prints _backplane bash_finds_it

# completes SHELL LINE WORD
completes() {
    case $1 in
    bash) prints "^$3\$" bash /check/complete.bash /usr/share/bash-completion/completions/backplane backplane "$2" ;;
    *) prints "^\[backplane .*$3 \]\$" zsh -f /check/complete.zsh "$1" "backplane $2" ;;
    esac
}
for shell in bash zsh fish; do
    check "$shell completes a command" completes $shell "plug" plugin
    check "$shell completes an engine" completes $shell "run --engine so" soft
    check "$shell completes a plugin" completes $shell "plugin info pic" pic8259
done

# ---- A plugin -------------------------------------------------------------------------------------------------------------

check "backplane-dev and backplane-doc install" install_packages --install-recommends /check/backplane-dev_*.deb /check/backplane-doc_*.deb
check "plugin new makes a device in C" user backplane plugin new my-chip --language c
check "it builds" user make -C my-chip
check "it passes its tests, on the bench too" prints fuzz user make -C my-chip test
check "plugin test passes it" user backplane plugin test ./my-chip/my-chip.so

# ---- The end --------------------------------------------------------------------------------------------------------------

is_gone() {
    touch /var/lib/backplane/linux/kernel
    apt-get purge -qq -y -o Dpkg::Use-Pty=0 backplane backplane-dev backplane-doc || return 1
    ! find / -xdev -path /proc -prune -o -path /check -prune -o -path "$HOME" -prune -o -path '/var/log' -prune \
        -o -iname '*backplane*' -print | grep .
}
check "purged, nothing of it is left" is_gone

rm -rf /check
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
