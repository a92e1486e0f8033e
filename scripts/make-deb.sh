#!/bin/sh
# make-deb.sh [DIRECTORY]: Debian packages of what was built (.build/release, or BACKPLANE_BUILD), into DIRECTORY (default: .build/deb).
# packaging/debian says what goes where; what is packaged is what install.sh installs.
set -eu

fail() { echo "make-deb.sh: $*" >&2; exit 1; }
REPOSITORY=$(cd "$(dirname "$0")/.." && pwd)
BACKPLANE_BUILD=$(cd "${BACKPLANE_BUILD:-$REPOSITORY/.build/release}" && pwd)
export REPOSITORY BACKPLANE_BUILD
out=${1:-$REPOSITORY/.build/deb}
command -v dh >/dev/null || fail "debhelper is needed: scripts/setup.sh deb"
[ -e "$REPOSITORY/.build/guests/tour.elf" ] || fail "the tour guest is not there: make guests"

version=$(dpkg-parsechangelog -l "$REPOSITORY/packaging/debian/changelog" -S Version)
program=$("$BACKPLANE_BUILD/backplane" --version)
[ "${version%-*}" = "$program" ] || fail "packaging/debian/changelog is at $version, and the program at $program"

work=$(mktemp -d "${TMPDIR:-/tmp}/make-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/backplane"
cp -R "$REPOSITORY/packaging/debian" "$work/backplane/"
(cd "$work/backplane" && dpkg-buildpackage --build=binary --no-sign) >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "the packages cannot be built"; }
mkdir -p "$out"
rm -f "$out"/backplane*
mv "$work"/backplane*_* "$out/"
echo "$out:"
cd "$out" && ls -- *.deb
