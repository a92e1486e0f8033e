#!/bin/sh
# setup-pypi.sh DIRECTORY PACKAGE PROGRAM: a package of PyPI, in a Python environment of its own in which it has that program: qemu.qmp, QEMU's own client
# of its Machine Protocol, for `make test`; vncdotool, a VNC client, for `make check-pc`. What uses it skips where it is not there; this says why, and does not fail.
set -u
venv=$1
package=$2
program=$3
[ -x "$venv/bin/$program" ] && exit 0
why=
if ! command -v python3 >/dev/null; then
    why="there is no python3"
elif ! python3 -m venv "$venv" >/dev/null 2>&1; then
    why="python3 -m venv fails (Debian: apt install python3-venv)"
elif ! "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" >/dev/null 2>&1; then
    why="pip cannot install it (no way to PyPI?)"
fi
[ -z "$why" ] || echo "What is tested with PyPI's $package will be skipped: $why."
exit 0
