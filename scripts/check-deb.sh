#!/bin/sh
# check-deb.sh [DIRECTORY]: tests the packages that make-deb.sh has made (default: .build/deb): by lintian, and by their users' eyes in a
# clean Debian of this host's release, which mmdebstrap makes from the host's own apt sources and which is gone afterwards
# (scripts/check-deb-inside.sh). The exit status is 1 where something failed.
set -eu

fail() { echo "check-deb.sh: $*" >&2; exit 1; }
repository=$(cd "$(dirname "$0")/.." && pwd)
packages=$(cd "${1:-$repository/.build/deb}" && pwd)
for tool in lintian mmdebstrap; do
    command -v "$tool" >/dev/null || fail "$tool is needed: scripts/setup.sh deb"
done

# The tag is about Debian's own archive, where a package begins with a bug report.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$packages"/backplane_*.changes
echo "ok     lintian has nothing to say"

. /etc/os-release
sources=$(find /etc/apt -maxdepth 2 \( -name '*.list' -o -name '*.sources' \) \
    -exec grep -lE "^(deb|Suites:) (.* )?$VERSION_CODENAME( |\$)" {} + || true)
[ -n "$sources" ] || fail "apt has no source of $VERSION_CODENAME"
inside='mkdir "$1/check" && cp "$PACKAGES"/*.deb "$SCRIPTS"/check*.sh "$SCRIPTS"/complete.* "$1/check/" &&
    chroot "$1" sh /check/check-deb-inside.sh'
PACKAGES=$packages SCRIPTS=$repository/scripts mmdebstrap --quiet --variant=apt --format=null --dpkgopt=force-unsafe-io \
    --include=bash-completion,fish,man-db,zsh --customize-hook="$inside" "$VERSION_CODENAME" - $sources
