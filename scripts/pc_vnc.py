"""Checks of check-pc.py on screens that are looked at from elsewhere, by clients that are not ours: vncdotool, where `make check-pc` could get it of
PyPI, and noVNC in Chromium, where Debian's packages chromium and novnc are.
"""

import contextlib
import pathlib
import re
import shutil
import struct
import subprocess
import time

from pc_browser import Browser
from pc_machines import PATIENCE, ROOT, Screen, free_port

VNCDO = ROOT / ".build-tests/vnc-venv/bin/vncdo"
NOVNC = pathlib.Path("/usr/share/novnc/vnc.html")


def ppm_of(bmp):
    """A BMP of 24 bits, from the bottom up, as the PPM that a screendump is."""
    start, = struct.unpack_from("<I", bmp, 10)
    width, height = struct.unpack_from("<ii", bmp, 18)
    stride = (3 * width + 3) // 4 * 4
    pixels = bytearray(b"P6\n%d %d\n255\n" % (width, height))
    for line in reversed(range(height)):
        row = bmp[start + line * stride:][:3 * width]
        colors = bytearray(3 * width)
        colors[0::3], colors[1::3], colors[2::3] = row[2::3], row[1::3], row[0::3]
        pixels += colors
    return bytes(pixels)


class RemoteScreens:
    def __init__(self, backplane, engine, files, work):
        self.backplane, self.engine, self.files = backplane, engine, files
        self.work = work / "vnc"
        self.work.mkdir()

    def run(self, checks):
        if VNCDO.exists():
            checks.check("a VNC client sees GRUB's text and its graphics pixel by pixel as the monitor does, and types its commands", self.grub)
        else:
            print("SKIPPED screens by VNC: vncdotool is not there (scripts/setup-pypi.sh .build-tests/vnc-venv vncdotool vncdo)")
        if Browser.is_there() and NOVNC.exists():
            checks.check("a page in Chromium shows GRUB's text and its graphics pixel by pixel as the monitor does, and types its commands", self.page)
        else:
            print("SKIPPED screens in a browser: Debian's packages chromium and novnc are not there")

    def command(self, disk, plugin, **properties):
        machine_file = self.work / f"{plugin}.yaml"
        given = "".join(f", {name}: '{value}'" for name, value in properties.items())
        machine_file.write_text(
            f"extends: {ROOT / 'machines/pc.yaml'}\ndevices:\n  - {{ id: vga, display: [screen, far] }}\n"
            f"backends:\n  - {{ id: far, plugin: {plugin}{given}, keyboard: kbd.0, pointer: kbd.1 }}\n")
        seabios = self.files["seabios"]
        settings = {"firmware": seabios, "vga-bios": seabios.parent / "vgabios-stdvga.bin", "memory": "64MiB", "disk": disk}
        options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        return [str(self.backplane), "run", str(machine_file), "--engine", self.engine, *options]

    def client(self, port, *words):
        told = subprocess.run(
            [str(VNCDO), "-s", f"127.0.0.1::{port}", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)
        assert told.returncode == 0, (words, told.stdout, told.stderr)

    def compare(self, screen, size, see):
        """Once the screen has this size. What `see` answers may lag behind the monitor's picture."""
        dumped = self.work / "dumped.ppm"
        end = time.monotonic() + PATIENCE
        while True:
            screen.tell("screendump", str(dumped))
            picture = dumped.read_bytes()
            if picture.startswith(b"P6\n%d %d\n" % size) and see() == picture:
                return
            assert time.monotonic() < end, "what is seen is not the monitor's picture"

    def drive(self, command, client):
        """`client`: of a screen, how to see and how to type."""
        with Screen(self.backplane, command, self.work) as screen:
            screen.wait_for(r"(?s)GNU GRUB +version.*executed automatically")
            # GRUB's clock stands still: clients take their time.
            screen.tell("sendkey", "up")
            with client(screen) as (see, write):
                self.compare(screen, (720, 400), see)
                write("c")
                screen.wait_for(r"grub>")
                write("echo abc-xyz\n")
                screen.wait_for(r"\nabc-xyz")
                write("set gfxmode=1024x768x32; insmod all_video; terminal_output gfxterm; lspci\n")
                self.compare(screen, (1024, 768), see)
            assert screen.quit() == 0

    def disk(self):
        disk = self.work / "grub.img"
        shutil.copy(self.files["grub-rescue-pc"], disk)
        return disk

    def grub(self):
        port = free_port()

        @contextlib.contextmanager
        def client(_):
            seen = self.work / "seen.bmp"

            def see():
                self.client(port, "capture", seen)
                return ppm_of(seen.read_bytes())

            def write(text):
                words = text.split("\n")
                self.client(port, *(word for line in words[:-1] for word in ("type", line, "key", "enter")), *(["type", words[-1]] if words[-1] else []))

            yield see, write

        self.drive(self.command(self.disk(), "vnc", listen=f"127.0.0.1:{port}"), client)

    def page(self):
        @contextlib.contextmanager
        def client(screen):
            address = re.search(r"http://\S+token=\w+", screen.tell("call", "far", "address"))[0]
            with Browser(self.work / "chromium", address) as browser:
                # The page gives its keys to the screen once it has been clicked.
                end = time.monotonic() + PATIENCE
                while not browser.ppm():
                    assert time.monotonic() < end, "the page shows no screen"
                for kind in ("mousePressed", "mouseReleased"):
                    browser.call("Input.dispatchMouseEvent", type=kind, x=500, y=400, button="left", clickCount=1)
                yield browser.ppm, browser.type

        self.drive(self.command(self.disk(), "browser", port=0), client)
