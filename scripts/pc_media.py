"""Checks of check-pc.py on media: discs and floppies that Debian's tools make, run as `backplane run image` has them."""

import shutil
import subprocess

from pc_machines import Screen

MODULES = "/usr/lib/syslinux/modules/bios"
ISOLINUX = "/usr/lib/ISOLINUX"


def tool(folder, *words):
    told = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=folder)
    assert told.returncode == 0, (words, told.stdout, told.stderr)


def installer_image(work, files, append):
    """An ISO image of a folder's `linux` and `initrd.gz`, which ISOLINUX boots at once."""
    folder, image = work / "installer", work / "installer.iso"
    folder.mkdir()
    for file in (files / "linux", files / "initrd.gz", f"{ISOLINUX}/isolinux.bin", f"{MODULES}/ldlinux.c32"):
        shutil.copy(file, folder)
    (folder / "isolinux.cfg").write_text(f"DEFAULT install\nPROMPT 0\nLABEL install\n KERNEL linux\n APPEND initrd=initrd.gz {append}\n")
    tool(
        work, "xorriso", "-as", "mkisofs", "-quiet", "-o", image, "-b", "isolinux.bin", "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4",
        "-boot-info-table", folder)
    return image


class Media:
    def __init__(self, backplane, engine, files, work):
        self.backplane, self.engine, self.files = backplane, engine, files
        self.work = work / "media"
        self.work.mkdir()

    def run(self, checks):
        checks.check("an isohybrid image in place of a machine file is a disc: ISOLINUX comes to its prompt and runs a module by keys", self.isolinux)
        checks.check("Debian's installer boots from an ISO image and is driven by keys: language, location, keyboard, a network by DHCP", self.installer)
        for size in (360, 720, 1200, 1440, 2880):
            checks.check(
                f"a floppy of {size} KiB in place of a machine file boots: SYSLINUX comes to its prompt and does what keys say",
                lambda size=size: self.syslinux(size))
        checks.check("another floppy is put in while SYSLINUX runs, and SYSLINUX reads from it", self.another_floppy)

    def command(self, image, memory="64MiB"):
        """The image in place of a machine file."""
        seabios = self.files["seabios"]
        settings = {"firmware": seabios, "vga-bios": seabios.parent / "vgabios-stdvga.bin", "memory": memory}
        options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        return [str(self.backplane), "run", str(image), "--engine", self.engine, *options]

    def tool(self, *words):
        tool(self.work, *words)

    def folder(self, name, greeting):
        """With a file that says the greeting, and what SYSLINUX and its like need to show it."""
        folder = self.work / name
        folder.mkdir()
        (folder / "hello.txt").write_text(f"{greeting}\n")
        for module in ("ldlinux.c32", "libcom32.c32", "libutil.c32", "cat.c32"):
            shutil.copy(f"{MODULES}/{module}", folder)
        (folder / "syslinux.cfg").write_text("PROMPT 1\nTIMEOUT 0\nLABEL hello\n COM32 cat.c32\n APPEND /hello.txt\n")
        return folder

    def greets(self, screen, greeting):
        screen.wait_for(r"boot:")
        screen.type("hello\n")
        screen.wait_for(greeting)

    # ---- Discs -------------------------------------------------------------------------------------------------------------------

    def isolinux(self):
        folder = self.folder("isolinux", "a disc is here")
        (folder / "syslinux.cfg").rename(folder / "isolinux.cfg")
        shutil.copy(f"{ISOLINUX}/isolinux.bin", folder)
        image = self.work / "isolinux.iso"
        self.tool(
            "xorriso", "-as", "mkisofs", "-quiet", "-o", image, "-isohybrid-mbr", f"{ISOLINUX}/isohdpfx.bin", "-b", "isolinux.bin", "-c", "boot.cat",
            "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", folder)
        assert image.read_bytes()[510:512] == b"\x55\xaa", "it is no hybrid"
        with Screen(self.backplane, self.command(image), self.work) as screen:
            self.greets(screen, "a disc is here")
            assert screen.quit() == 0

    def installer(self):
        kernel = self.files["debian-installer-12-netboot-amd64"]
        image = installer_image(self.work, kernel.parent, "vga=normal nomodeset fb=false DEBIAN_FRONTEND=newt")
        with Screen(self.backplane, self.command(image, memory="1GiB"), self.work) as screen:
            # The answer that is chosen already: English, United States, American English.
            for title in ("Select a language", "Select your location", "Configure the keyboard"):
                screen.wait_for(title)
                screen.type("\n")
            # The name that the network's DHCP server has given it.
            screen.wait_for(r"(?s)Configure the network.*Hostname:.*guest")
            assert screen.quit() == 0

    # ---- Floppies ----------------------------------------------------------------------------------------------------------------

    def floppy(self, name, size, greeting):
        """A bootable one of so many KiB."""
        folder = self.folder(name, greeting)
        (folder / "ldlinux.c32").unlink()  # syslinux brings its own
        if size < 720:  # no room for modules
            for module in folder.glob("*.c32"):
                module.unlink()
            (folder / "syslinux.cfg").write_text("DISPLAY hello.txt\nPROMPT 1\nTIMEOUT 0\nLABEL hello\n KERNEL none\n")
        image = self.work / f"{name}.img"
        image.write_bytes(bytes(size * 1024))
        self.tool("mformat", "-i", image, "-f", size, "::")
        self.tool("mcopy", "-i", image, *sorted(folder.iterdir()), "::")
        self.tool("syslinux", "--install", image)
        return image

    def syslinux(self, size):
        image = self.floppy(f"syslinux-{size}", size, f"a floppy of {size} KiB is here")
        with Screen(self.backplane, self.command(image), self.work) as screen:
            if size < 720:
                screen.wait_for(rf"(?s)a floppy of {size} KiB is here.*boot:")
                screen.type("hello\n")
                screen.wait_for(r"Loading none\.\.\. failed")
            else:
                self.greets(screen, f"a floppy of {size} KiB is here")
            assert screen.quit() == 0

    def another_floppy(self):
        first, second = self.floppy("first", 1440, "the first floppy is here"), self.floppy("second", 1440, "the second floppy is here")
        with Screen(self.backplane, self.command(first), self.work) as screen:
            self.greets(screen, "the first floppy is here")
            screen.wait_for(r"boot:\s*$")
            screen.tell("call", "fdc", "change", str(second))
            screen.type("hello\n")
            screen.wait_for("the second floppy is here")
            assert screen.quit() == 0
