#!/bin/sh
# setup-qmp.sh DIRECTORY: PyPI's qemu.qmp, QEMU's own client of its Machine Protocol, in a Python environment of its own. The
# tests that use it skip where it is not there; this says why, and does not fail.
set -u
venv=$1
[ -x "$venv/bin/qmp-shell" ] && exit 0
why=
if ! command -v python3 >/dev/null; then
    why="there is no python3"
elif ! python3 -m venv "$venv" >/dev/null 2>&1; then
    why="python3 -m venv fails (Debian: apt install python3-venv)"
elif ! "$venv/bin/pip" install --quiet --disable-pip-version-check qemu.qmp >/dev/null 2>&1; then
    why="pip cannot install it (no way to PyPI?)"
fi
[ -z "$why" ] || echo "The tests with PyPI's qemu.qmp will skip: $why."
exit 0
