#!/usr/bin/env python3
"""check-pc.py [--engine NAME] [--only WORDS] [--fetch] [BACKPLANE]: the PC of machines/pc.yaml boots what Debian has, from firmware on.

Gets SeaBIOS and GRUB's rescue image by apt into .build/guests/pc (no root needed), boots them on the software CPU or the engine that is named, reads
the serial console and the cells of the VGA, and types on both keyboards. BACKPLANE: the program (default: .build-tests/release/backplane). --fetch: gets
the files, and that is all. --only: the checks whose outcome has this regular expression in it. Ends with `N passed, N failed`; status 1 where one failed."""

import argparse
import hashlib
import pathlib
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile

import pc_boards
import pc_media
import pc_tables
import pc_uefi
import pc_vnc
from pc_machines import BOOT_SECTOR, DEBIAN, LASTING_SECTOR, PATIENCE, ROOT, SSH, Checks, Machine, Screen, Tmux, boot_image, fetch, free_port


def main():
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("backplane", nargs="?", type=pathlib.Path, default=ROOT / ".build-tests/release/backplane")
    words.add_argument("--engine", default="soft")
    words.add_argument("--only", default="")
    words.add_argument("--fetch", action="store_true")
    arguments = words.parse_args()
    backplane = arguments.backplane.resolve()
    files = fetch(ROOT / ".build/guests/pc")
    if arguments.fetch:
        return
    checks = Checks(arguments.only)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        boot_image(work / "boot.img", BOOT_SECTOR)
        boot_image(work / "lasting.img", LASTING_SECTOR)
        iso = files["grub-rescue-pc"].with_name("grub-rescue-cdrom.iso")

        def command(disk, *more, machine_file=ROOT / "machines/pc.yaml"):
            settings = {
                "firmware": files["seabios"], "vga-bios": files["seabios"].parent / "vgabios-stdvga.bin", "disk": disk, "memory": "64MiB", "debug": work / "seabios.log",
            }
            options = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
            return [str(backplane), "run", str(machine_file), "--engine", arguments.engine, *options, *more]

        def boots_a_sector():
            result = subprocess.run(
                command(work / "boot.img"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
            assert result.returncode == 0, (result.returncode, result.stdout, result.stderr)
            # SeaBIOS holds a character back until it knows where the next one goes.
            assert "a boot sector is her" in result.stdout, result.stdout[-400:]

        def says_what_it_found():
            words = (work / "seabios.log").read_text(errors="replace")
            for line in (
                r"Running on QEMU \(i440fx\)", r"QEMU fw_cfg DMA interface supported",
                r"qemu/e820: addr 0x0000000000100000 len 0x0000000003f00000 \[RAM\]", r"Found 6 PCI devices",
                r"Using pmtimer, ioport 0x608",
                r"PCI: init bdf=00:01\.1 id=8086:7010", r"ata0-0: BACKPLANE DISK", r"Booting from 0000:7c00",
            ):
                assert re.search(line, words), f"{line}: not in\n{words[-2000:]}"

        def grub_is_driven():
            with Machine(command(files["grub-rescue-pc"])) as machine:
                drive_grub(machine)

        def drive_grub(machine):
            machine.wait_for(r"GNU GRUB +version")
            machine.wait_for(r"executed automatically")
            machine.type("c")
            machine.wait_for(r"grub>")
            machine.type("lspci\r")
            for line in (r"00:00\.0 8086:1237", r"00:01\.0 8086:7000", r"00:01\.1 8086:7010", r"00:01\.3 8086:7113",
                         r"00:03\.0 8086:100e"):
                machine.wait_for(line)
            assert machine.quit() == 0, "Ctrl-A x did not end it with 0"

        def boot_menu_by_keys():
            with Screen(backplane, command(work / "lasting.img", "--set", "boot-menu=on"), work) as screen:
                screen.wait_for(r"Press ESC for boot menu")
                screen.tell("sendkey", "esc")
                menu = screen.wait_for(r"Select boot device")
                assert "1. ata0-0: BACKPLANE DISK" in menu, menu
                screen.tell("sendkey", "1")
                screen.wait_for(r"a boot sector is here")
                picture = work / "screen.png"
                screen.tell("screendump", str(picture))
                png = picture.read_bytes()
                assert png[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", png[16:24]) == (720, 400), png[:32]
                assert screen.quit() == 0

        def grub_on_the_screen():
            with Screen(backplane, command(files["grub-rescue-pc"]), work) as screen:
                screen.wait_for(r"(?s)GNU GRUB +version.*executed automatically")
                screen.tell("sendkey", "c")
                screen.wait_for(r"grub>")
                screen.type("lspci\n")
                for line in (r"00:00\.0 8086:1237", r"00:01\.0 8086:7000", r"00:02\.0 1234:1111"):
                    screen.wait_for(line)
                screen.tell("sendkey", "ctrl-alt-delete")
                screen.wait_for(r"(?s)GNU GRUB +version.*executed automatically")
                assert screen.quit() == 0

        def screen_on_a_terminal():
            """As a person has it: the VGA on the terminal, keys of every kind, the consoles, the monitor, a suspension, the end."""
            shutil.copy(files["grub-rescue-pc"], work / "grub-screen.img")
            with Tmux("screen") as window:
                window.type("echo before the machine", "Enter")
                window.type(shlex.join(command(work / "grub-screen.img")) + "; echo status $?", "Enter")
                window.wait_for(r"GNU GRUB +version")
                # The chosen entry's colours are the other way round.
                window.wait_for(r"\x1b\[30m\x1b\[47m\*", "-e")
                window.type("c")
                window.wait_for(r"grub>")
                window.type("echo typed: ~'Az_", "Home", "#", "Enter", "Up", "BSpace", "Home", "Delete", "C-k", "echo", "Space", "Hi42", "Enter")
                window.wait_for(r"(?m)^Hi42")
                window.type("C-a", "z")
                assert "before the machine" in window.wait_for(r"status 148")
                window.type("fg", "Enter")
                window.wait_for(r"(?m)^Hi42")
                window.tell("resize-window", "-t", "check", "-x", "50", "-y", "10")
                window.wait_for(r"grub>\s*$")
                window.tell("resize-window", "-t", "check", "-x", "90", "-y", "30")
                window.type("C-a", "n")
                window.wait_for_screen(False)
                window.type("C-a", "c")
                window.wait_for(r"\(backplane\)")
                window.type("info status", "Enter")
                window.wait_for(r"VM status: running")
                window.type("C-a", "n")
                window.wait_for_screen(True)
                window.wait_for(r"(?m)^Hi42")
                window.type("C-a", "h")
                window.wait_for(r"a key brings the screen back")
                window.type("q")
                window.wait_for(r"(?m)^Hi42")
                window.type("C-a", "x")
                # Keys typed before the shell has the terminal again were the guest's: they are thrown away.
                window.wait_for(r"ended by Ctrl-A x\s+\$\s*$")
                window.type("echo $((6 * 7)) after", "Enter")
                window.wait_for(r"(?m)^(\$ )?42 after")

        def a_disc_boots():
            words = command(work / "none.img", "--set", f"iso={iso}", machine_file=ROOT / "machines/pc-cdrom.yaml")
            with Screen(backplane, words, work) as screen:
                screen.wait_for(r"(?s)GNU GRUB.*\*GNU/Linux")
                screen.type("c")
                screen.wait_for(r"grub>")
                screen.type("ls\n")
                screen.wait_for(r"\(cd\)")
                assert screen.quit() == 0

        def ipxe_loads_by_tftp():
            (work / "tftp").mkdir()
            (work / "tftp/boot.ipxe").write_text("#!ipxe\necho a script has come\n")
            machine_file = work / "ipxe.yaml"
            machine_file.write_text(
                f"extends: {ROOT / 'machines/pc.yaml'}\ndevices:\n  - {{ id: nic, rom: {files['ipxe-qemu']} }}\n"
                f"backends:\n  - {{ id: lan, tftp: {work / 'tftp'}, boot-file: boot.ipxe }}\n")
            (work / "empty.img").write_bytes(bytes(1 << 20))
            with Screen(backplane, command(work / "empty.img", machine_file=machine_file), work) as screen:
                screen.wait_for(r"(?s)net0: 10\.0\.2\.15/255\.255\.255\.0.*boot\.ipxe\.\.\. ok.*a script has come")
                assert screen.quit() == 0

        def acpica_reads_the_tables(ssh):
            """iasl takes every table that Linux has found apart, and acpiexec evaluates resources and link devices, without an error."""
            folder = work / "acpi"
            folder.mkdir()
            packed = subprocess.run(
                [*ssh.command, "cd /sys/firmware/acpi/tables && mkdir /tmp/acpi && for table in APIC DSDT FACP FACS; do cat $table >/tmp/acpi/$table; done && "
                 "tar -c -C /tmp/acpi ."], capture_output=True, timeout=PATIENCE)
            assert packed.returncode == 0, packed.stderr
            subprocess.run(["tar", "-x"], input=packed.stdout, cwd=folder, check=True)
            for table in ("APIC", "DSDT", "FACP", "FACS"):
                assert (folder / table).stat().st_size > 36, table
                told = subprocess.run(["iasl", "-d", table], cwd=folder, capture_output=True, text=True)
                said = told.stdout + told.stderr
                assert told.returncode == 0 and not re.search(r"(?i)error|warning|invalid|unknown", said), f"{table}: {said}"
            # A link device says what it was set to: an IRQ of its _PRS.
            irq_10 = "89 06 00 09 01 0A 00 00 00 79 00"
            commands = [rf"evaluate \_SB.PCI0.ISA.LNKA._SRS ({irq_10})"]
            commands += [rf"evaluate \_SB.PCI0.{name}" for name in ("ISA.LNKA._CRS", "ISA.LNKB._STA", "_CRS", "ISA.COM1._CRS", "ISA.KBD._CRS")]
            commands += [rf"resources \_SB.PCI0.ISA.LNK{link}" for link in "ABCD"]
            told = subprocess.run(["acpiexec", "-b", ";".join(commands), "DSDT"], cwd=folder, capture_output=True, text=True)
            said = told.stdout + told.stderr
            assert told.returncode == 0 and "AE_" not in said and said.count("Evaluation of") == 5, said[-3000:]
            current = re.search(r"Evaluation of \\_SB\.PCI0\.ISA\.LNKA\._CRS.*?Length 0B = +0000: ([0-9A-F ]+?) +//", said, re.S)
            assert current and current.group(1) == irq_10, (current, said[-3000:])
            assert said.count("Evaluating _SRS") == 4 and said.count("Dword02 : 0000000B") == 4, said[-3000:]
            # The routing table: pin INTx of device N is PIRQ (N + x - 1) & 3, as the board is wired.
            source = re.sub(r"\s+|/\*.*?\*/", "", (folder / "DSDT.dsl").read_text())
            number = lambda text: {"Zero": 0, "One": 1}[text] if text in ("Zero", "One") else int(text, 16)
            routes = re.findall(r"Package\(0x04\)\{(\w+),(\w+),[\\^\w.]*LNK(\w),Zero\}", source)
            routes = {(number(address), number(pin)): link for address, pin, link in routes}
            assert routes == {(device << 16 | 0xFFFF, pin): "ABCD"[(device + pin - 1) & 3] for device in (1, 2, 3) for pin in range(4)}, routes

        def logs_in(screen):
            """GRUB's second entry, whose console is text, and root's shell: all by keys."""
            screen.wait_for(r"GNU GRUB")
            screen.tell("sendkey", "down")
            screen.tell("sendkey", "ret")
            screen.log_in()

        def debian_to_its_prompt():
            """Debian's disk: GRUB's entry by keys, a login by keys, the hardware as Linux found it, ssh by a forwarded port, ACPI's power button."""
            disk = work / "debian.img"
            subprocess.run(["cp", "--sparse=always", str(DEBIAN), str(disk)], check=True)
            port = free_port()
            options = ("--set", "memory=512MiB", "--forward", f"tcp:{port}:22")
            machine_file = work / "with-disc.yaml"
            machine_file.write_text(
                f"extends: {ROOT / 'machines/pc.yaml'}\ndevices:\n  - {{ id: cd0, plugin: ata, at: 0x170, control: 0x376, drive: cdrom, irq: gsi.15, "
                f"block: disc, dma: ide.1 }}\nbackends:\n  - {{ id: disc, plugin: raw-file, path: {iso}, mode: read-only }}\n")
            with Screen(backplane, command(disk, *options, machine_file=machine_file), work) as screen:
                logs_in(screen)
                ssh = SSH(port)
                ssh.wait()
                told = ssh.run(
                    "dmesg; cat /proc/interrupts; ls /sys/bus/acpi/devices; systemctl --failed --no-legend; "
                    "echo dma_mode $(cat /sys/class/ata_device/dev1.0/dma_mode)")
                for line in (r"dma_mode \S*(UDMA|MWDMA|MW_DMA)", r"ACPI: Using IOAPIC for interrupt routing",
                             r"IO-APIC +14-edge +ata_piix", r"IO-APIC +11-fasteoi +eth0", r"PNP0501:00",
                             r"i8042: PNP: PS/2 Controller"):
                    assert re.search(line, told), f"{line}: not in\n{told[-3000:]}"
                for line in (r"ACPI (BIOS )?(Error|Warning|Exception)", r"I/O error", r"loaded failed"):
                    assert not re.search(line, told), f"{line}: in\n{told[-3000:]}"
                acpica_reads_the_tables(ssh)
                told = ssh.run("sha256sum </dev/sr0; cat /sys/class/ata_device/dev2.0/dma_mode; mount -r /dev/sr0 /mnt && ls /mnt && umount /mnt")
                assert hashlib.sha256(iso.read_bytes()).hexdigest() in told and "DMA" in told and "boot" in told, told
                screen.type("reboot\n")
                logs_in(screen)
                screen.tell("system_powerdown")
                assert screen.process.wait(PATIENCE) == 0, "Debian did not power off with status 0"

        checks.check("SeaBIOS boots a sector from an IDE disk, which speaks by INT 10h on the serial console", boots_a_sector)
        checks.check("SeaBIOS says on port 0x402 what it found: memory map, PCI, disk", says_what_it_found)
        checks.check("GRUB's rescue menu comes up and is driven by keys; its lspci sees the board", grub_is_driven)
        checks.check("SeaBIOS's boot menu comes up on the VGA at a key, and boots what a key chooses", boot_menu_by_keys)
        checks.check("GRUB's rescue menu is read from the cells and driven by keys, and by Ctrl-Alt-Delete comes again", grub_on_the_screen)
        checks.check("the VGA's screen on a terminal: colours, keys, a small window, the consoles, the monitor, a suspension; the terminal as before at the end", screen_on_a_terminal)
        checks.check("GRUB's rescue disc boots from the CD-ROM drive", a_disc_boots)
        checks.check("iPXE in the card's ROM gets an address by DHCP and loads a script by TFTP", ipxe_loads_by_tftp)
        pc_media.Media(backplane, arguments.engine, files, work).run(checks)
        uefi = pc_uefi.UEFI(backplane, arguments.engine, files, work)
        uefi.run(checks)
        pc_vnc.RemoteScreens(backplane, arguments.engine, files, work).run(checks)
        pc_boards.Boards(backplane, arguments.engine, files, work).run(checks)
        pc_tables.Tables(backplane, arguments.engine, work).run(checks)
        if DEBIAN.exists():
            checks.check("Debian boots from its disk to a login by keys on the VGA; DMA, I/O APIC, a CD-ROM, ssh by a forwarded port, ACPI that iasl and acpiexec accept; it reboots, and the power button ends it", debian_to_its_prompt)
            checks.check(
                "Debian boots by UEFI from the disk that it has written to a login by keys on the screen, poweroff ends the machine with status 0, and a boot "
                "entry that it has made is in the flash's file and boots next", lambda: uefi.debian(work / "debian.img"))
        else:
            print("SKIPPED Debian from its disk: scripts/make-debian-disk.sh makes it, as root")
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


main()
