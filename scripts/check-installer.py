#!/usr/bin/env python3
"""check-installer.py [BACKPLANE] [PICTURE]: Debian's graphical installer in a browser, for `make soak`.

Its ISO image runs on machines/pc-cdrom.yaml with a tablet by virtio, and is driven from noVNC's page in a headless Chromium: the pointer goes where the
page's is, a click chooses a language, and a key leads to the next dialogue. PICTURE: what the page shows at the end (default:
.build/installer.png). BACKPLANE: the program (default: .build-tests/release/backplane). Needs what `setup.sh pc` installs."""

import base64
import pathlib
import re
import sys
import tempfile
import time

from pc_browser import Browser
from pc_machines import PATIENCE, ROOT, Screen, fetch
from pc_media import installer_image

# As the kernel is told, or as Linux's driver for the card has it, which comes before the installer's first dialogue or never.
SIZES = (800, 600), (1024, 768)


class Page:
    """noVNC's, with the picture of a guest on it."""

    def __init__(self, browser):
        self.browser, self.size = browser, None

    def picture(self):
        """Width, height and pixels of 3 bytes; of no size: there is none."""
        ppm = self.browser.ppm()
        if not ppm:
            return 0, 0, b""
        width, height = map(int, ppm.split(b"\n", 2)[1].split())
        return width, height, ppm[-3 * width * height:]

    def wait_until(self, what, holds):
        end = time.monotonic() + 2 * PATIENCE
        while True:
            width, height, pixels = self.picture()
            if (width, height) in (self.size and [self.size] or SIZES) and holds(pixels):
                self.size = width, height
                return pixels
            assert time.monotonic() < end, f"{what}: not within {2 * PATIENCE} s"
            time.sleep(1)

    def still(self):
        """Once two pictures a second apart are the same."""
        last = None
        while (pixels := self.picture()[2]) != last:
            last = pixels
            time.sleep(1)
        return pixels

    def point(self, x, y, *kinds):
        """At a pixel of the guest's."""
        left, top, width, height = self.browser.value(
            "(() => { const r = document.querySelector('#noVNC_container canvas').getBoundingClientRect(); return [r.left, r.top, r.width, r.height] })()")
        place = {"x": left + (x + 0.5) * width / self.size[0], "y": top + (y + 0.5) * height / self.size[1]}
        for kind in kinds or ("mouseMoved",):
            button = "none" if kind == "mouseMoved" else "left"
            self.browser.call("Input.dispatchMouseEvent", type=kind, button=button, clickCount=0 if button == "none" else 1, **place)

    def changed(self, before, after, left, top, width, height):
        """Pixels of the rectangle that differ."""
        count = 0
        for y in range(top, top + height):
            start = 3 * (y * self.size[0] + left)
            a, b = before[start:start + 3 * width], after[start:start + 3 * width]
            count += sum(a[3 * x:3 * x + 3] != b[3 * x:3 * x + 3] for x in range(width))
        return count

    def key(self, name, number):
        for kind in ("rawKeyDown", "keyUp"):
            self.browser.call("Input.dispatchKeyEvent", type=kind, code=name, key=name, windowsVirtualKeyCode=number)


def drive(page, picture):
    # Half of it is a list on white; what comes before has its banner too, but no white.
    page.wait_until("the installer's first dialogue", lambda pixels: pixels.count(b"\xff\xff\xff") * 3 > 0.4 * len(pixels))
    first = page.still()

    # The arrow's tip is where the page's pointer is, and nothing of it where that was before.
    there, here = (56, 556, 24, 24), (396, 556, 24, 24)
    page.point(60, 560)
    page.wait_until("the pointer at 60, 560", lambda pixels: page.changed(first, pixels, *there) > 20)
    page.point(400, 560)
    moved = page.wait_until(
        "the pointer at 400, 560, alone", lambda pixels: page.changed(first, pixels, *here) > 20 and not page.changed(first, pixels, *there))

    # A row in the upper half of the list, which is drawn in other colours once it is chosen.
    row = 60, 300, 600, 20
    page.point(200, 310, "mouseMoved", "mousePressed", "mouseReleased")
    page.point(400, 560)
    page.wait_until("the row that was clicked, chosen", lambda pixels: page.changed(moved, pixels, *row) > 6000)
    clicked = page.still()
    page.key("Enter", 13)
    # Its title is another; between the two there is a page with the old one and nothing else.
    title = 16, 86, 300, 18
    page.wait_until("the next dialogue", lambda pixels: page.changed(clicked, pixels, *title) > 100)
    page.still()
    picture.write_bytes(base64.b64decode(page.browser.call("Page.captureScreenshot", format="png")["data"]))
    print(f"ok     Debian's graphical installer is driven by pointer and keys of a page: {picture}")


def main():
    words = [pathlib.Path(word).resolve() for word in sys.argv[1:]]
    backplane = words[0] if words else ROOT / ".build-tests/release/backplane"
    picture = words[1] if len(words) > 1 else ROOT / ".build/installer.png"
    files = fetch(ROOT / ".build/guests/pc")
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        folder = files["debian-installer-12-netboot-amd64"].parents[3] / "gtk/debian-installer/amd64"
        image = installer_image(work, folder, "vga=788 quiet")
        machine_file = work / "installer.yaml"
        machine_file.write_text(
            f"extends: {ROOT / 'machines/pc-cdrom.yaml'}\ndevices:\n  - {{ id: vga, display: [page] }}\n"
            "  - { id: slot-tablet, plugin: virtio-pci, bus: pci.5 }\n  - { id: tablet, plugin: virtio-input, transport: slot-tablet }\n"
            "backends:\n  - { id: screen, remove: true }\n  - { id: page, plugin: browser, port: 0, keyboard: kbd.0, pointer: tablet }\n")
        seabios = files["seabios"]
        settings = {"firmware": seabios, "vga-bios": seabios.parent / "vgabios-stdvga.bin", "memory": "1GiB", "iso": image}
        options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        with Screen(backplane, [str(backplane), "run", str(machine_file), *options], work) as screen:
            address = re.search(r"http://\S+token=\w+", screen.tell("call", "page", "address"))[0]
            with Browser(work / "chromium", address) as browser:
                drive(Page(browser), picture)
            assert screen.quit() == 0


main()
