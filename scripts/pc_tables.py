"""Checks of check-pc.py on what firmware's tables say: a machine composed against every habit, whose tables acpiexec evaluates as `backplane show` has the machine,
and which Debian's kernel takes; and the same kernel without ACPI, by the MP table."""

import base64
import gzip
import hashlib
import io
import os
import re
import subprocess

from pc_machines import PATIENCE, ROOT

LINUX = ROOT / ".build/guests/linux/amd64"

# The ISA bridge is device 7, two bridges stand one behind the other with a network card and a second display card behind them, there are three IDE channels on two
# controllers, and two cards that nobody knows, of which one has ports where PCI's are as a rule.
MACHINE = """machine: habits
cpu: {{ engine: auto, interrupts: apic }}
memory: 256MiB
watchdog: 120s
boot:
  plugin: linux
  kernel: {linux}/vmlinuz
  initrd: [{linux}/initramfs.cpio, {linux}/modules.cpio, {work}/habits.cpio]
  command-line: "console=ttyS0 cryptomgr.notests backplane.disk backplane.selftest=habits {append}"
  tables: [acpi, smbios, mptable]
policies:
  - {{ id: rules, plugin: standard }}
devices:
  - {{ id: host, plugin: i440fx, shadow: on, pirq: [south.0, south.1, south.2, south.3], apic-pirq: gsi.16-19 }}
  - {{ id: south, plugin: piix3, bus: host.7, irq: [gsi.3, gsi.4, gsi.5, gsi.6, gsi.7, gsi.9, gsi.10, gsi.11, gsi.12, gsi.14, gsi.15] }}
  - {{ id: ide, plugin: piix-ide, bus: host.7.1, channels: on }}
  - {{ id: power, plugin: piix4-pm, bus: host.7.3, at: 0x640, irq: gsi.9 }}
  - {{ id: near, plugin: pci-bridge, bus: host.5 }}
  - {{ id: far, plugin: pci-bridge, bus: near.3 }}
  - {{ id: nic, plugin: e1000, bus: far.4, net: lan }}
  - {{ id: vga, plugin: vga, bus: host.2, display: [left] }}
  - {{ id: second-vga, plugin: vga, legacy: off, bus: near.6, display: [right] }}
  - {{ id: acpi, plugin: acpi }}
  - {{ id: smbios, plugin: smbios }}
  - {{ id: mptable, plugin: mptable }}
  - {{ id: gsi, plugin: gsi, pic: pic.0-15, ioapic: ioapic.0-23 }}
  - {{ id: apic, plugin: lapic, extint: pic }}
  - {{ id: ioapic, plugin: ioapic, apic: apic }}
  - {{ id: pic, plugin: pic8259 }}
  - {{ id: pit, plugin: pit8254, irq: gsi.0 }}
  - {{ id: rtc, plugin: rtc146818, irq: gsi.8 }}
  - {{ id: kbd, plugin: i8042, irq: gsi.1, mouse-irq: gsi.12 }}
  - {{ id: serial-one, plugin: uart16550, at: 0x3f8, irq: gsi.4, stream: term }}
  - {{ id: serial-two, plugin: uart16550, at: 0x2f8, irq: gsi.3 }}
  - {{ id: hd0, plugin: ata, at: 0x1f0, control: 0x3f6, irq: gsi.14, block: disk, dma: ide.0 }}
  - {{ id: hd1, plugin: ata, at: 0x170, control: 0x376, irq: gsi.15, block: disk1, dma: ide.1 }}
  - {{ id: hd2, plugin: ata, at: 0x1e8, control: 0x3ee, irq: gsi.10, block: disk2 }}
  - {{ id: stranger, plugin: {work}/stranger, at: 0x300, irq: gsi.5 }}
  - {{ id: another, plugin: {work}/stranger, at: 0xc000, irq: gsi.7 }}
  - {{ id: debug, plugin: debug-console, at: 0x402, stream: words }}
backends:
  - {{ id: term, plugin: terminal }}
  - {{ id: left, plugin: picture, path: {work}/left.png }}
  - {{ id: right, plugin: picture, path: {work}/right.png }}
  - {{ id: disk, plugin: ram-disk, size: 8MiB }}
  - {{ id: disk1, plugin: ram-disk, size: 8MiB }}
  - {{ id: disk2, plugin: ram-disk, size: 8MiB }}
  - {{ id: lan, plugin: user }}
  - {{ id: words, plugin: "null" }}
"""

SELFTEST = r"""#!/bin/sh
for device in /sys/bus/pci/devices/*; do
    echo "selftest: pci ${device##*/} $(cut -c3- "$device/vendor"):$(cut -c3- "$device/device")"
done
echo "selftest: acpi $(ls /sys/bus/acpi/devices 2>/dev/null | tr '\n' ' ')"
for device in /sys/bus/acpi/devices/*; do
    [ -e "$device/path" ] && echo "selftest: node $(cat "$device/path") ${device##*/}"
done
sed 's/^ */selftest: port /' /proc/ioports
sed 's/^ */selftest: interrupt /' /proc/interrupts
echo "selftest: tables $(cd /sys/firmware/acpi/tables 2>/dev/null && ls | grep -v -e data -e dynamic | tr '\n' ' ')"
echo "selftest: complaints $(dmesg | grep -ciE 'acpi.*(error|warning|exception)|firmware bug|MP-BIOS bug')"
dmesg | grep -iE 'acpi.*(error|warning|exception)|firmware bug|MP-BIOS'
for disk in sda sdb; do [ -b /dev/$disk ] && echo "selftest: disk $disk $(dd if=/dev/$disk bs=1M 2>/dev/null | wc -c)"; done
ip link set eth0 up && udhcpc -i eth0 -n -q -t 5 -s /lib/selftest/dhcp >/dev/null
echo "selftest: address $(ip -4 addr show eth0 | sed -n 's/.*inet \([0-9.]*\).*/\1/p')"
sed 's/^ */selftest: later /' /proc/interrupts
[ -e /sys/firmware/acpi/tables/DSDT ] && gzip -c /sys/firmware/acpi/tables/DSDT | od -An -v -tx1 | sed 's/ //g; s/^/selftest: dsdt /'
true
"""


def archive(name, text):
    """An archive for the kernel (cpio "newc") with one executable file, whose folders are there already."""
    def member(name, mode, body):
        fields = [0, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        return head + bytes(-len(head) % 4) + body + bytes(-len(body) % 4)
    return member(name, 0o100755, text.encode()) + member("TRAILER!!!", 0, b"")


class Tables:
    def __init__(self, backplane, engine, work):
        self.backplane, self.engine, self.work = backplane, engine, work / "tables"

    def run(self, checks):
        if not (LINUX / "vmlinuz").exists():
            print("SKIPPED machines composed against every habit: scripts/fetch-linux.sh gets Linux")
            return
        self.work.mkdir()
        checks.check("a machine composed against every habit: acpiexec and Linux find in its tables what `show` has", self.against_every_habit)
        checks.check("the same machine without ACPI: Linux routes by the MP table", self.without_acpi)

    # ---- The machine ---------------------------------------------------------------------------------------------------------------

    def machine(self, append=""):
        """The strangers are what `plugin new` makes, as it is."""
        stranger = self.work / "stranger.so"
        if not stranger.exists():
            subprocess.run([str(self.backplane), "plugin", "new", "stranger", "--language", "c"], cwd=self.work, check=True, capture_output=True)
            source = next((self.work / "stranger").rglob("stranger.c"))
            subprocess.run(["cc", "-std=c11", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{ROOT}/Sources/CBackplane/include",
                            "-o", str(stranger), str(source)], check=True)
        (self.work / "habits.cpio").write_bytes(archive("lib/selftest/habits", SELFTEST))
        file = self.work / "habits.yaml"
        file.write_text(MACHINE.format(linux=LINUX, work=self.work, append=append))
        return file

    def boot(self, append=""):
        told = subprocess.run(
            [str(self.backplane), "run", str(self.machine(append)), "--engine", self.engine], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=PATIENCE)
        said = told.stdout.replace("\r", "")
        assert told.returncode == 0 and "selftest: status 0" in said, (told.returncode, said[-3000:], told.stderr)
        return said

    @staticmethod
    def has(said, *lines):
        for line in lines:
            assert re.search(rf"(?m)^selftest: {line} *$", said), f"{line}: not in\n{said[-6000:]}"

    # ---- What Linux and acpiexec say -----------------------------------------------------------------------------------------------

    FUNCTIONS = ("pci 0000:00:07.0 8086:7000", "pci 0000:00:07.1 8086:7010", "pci 0000:00:07.3 8086:7113", "pci 0000:00:02.0 1234:1111",
                 "pci 0000:00:05.0 1b36:0001", "pci 0000:01:03.0 1b36:0001", "pci 0000:01:06.0 1234:1111", "pci 0000:02:04.0 8086:100e")

    def against_every_habit(self):
        said = self.boot()
        self.has(said, *self.FUNCTIONS, "tables APIC DSDT FACP FACS", "complaints 0", "address 10.0.2.15", r"disk sda 8388608", r"disk sdb 8388608")
        # Linux has the strangers by their ID, with their ports, though their plugin says nothing of where they are; what nobody declares is reserved.
        self.has(said, r"acpi .*\bBCKP0001:00 BCKP0001:01\b.*", r"node \\_SB_.PCI0.SOUT.STRA BCKP0001:00", r"node \\_SB_.PCI0.SOUT.ANOT BCKP0001:01",
                 r"node \\_SB_.PCI0.SOUT.SERI PNP0501:00", r"node \\_SB_.PCI0.SOUT.SER1 PNP0501:01", r"node \\_SB_.PCI0.SOUT.HD2_ PNP0600:00",
                 r"port 0300-0302 : BCKP0001:00", r"port c000-c002 : BCKP0001:01", r"port 0402-0402 : pnp 00:\w+")
        assert "HD0_" not in said and "HD1_" not in said, "the channels of the IDE function are told twice"
        # The card behind two bridges: pin A of device 4 is device 3's A, that is device 5's D, which is PIRQ D.
        self.has(said, r"later 19: +[1-9]\d* +IO-APIC +19-fasteoi +eth0")
        self.acpiexec(bytes.fromhex("".join(re.findall(r"(?m)^selftest: dsdt ([0-9a-f]+) *$", said))))

    def without_acpi(self):
        said = self.boot("acpi=off")
        self.has(said, *self.FUNCTIONS, "tables", "complaints 0", "address 10.0.2.15", r"interrupt 0: +\d+ +IO-APIC +2-edge +timer",
                 r"interrupt 4: +\d+ +IO-APIC +4-edge +ttyS0", r"later 19: +[1-9]\d* +IO-APIC +19-fasteoi +eth0")
        assert "MPTABLE: OEM ID: BACKPLNE" in said, said[:3000]

    def acpiexec(self, packed):
        (self.work / "dsdt.aml").write_bytes(gzip.GzipFile(fileobj=io.BytesIO(packed)).read())
        (self.work / "again").mkdir(exist_ok=True)
        told = subprocess.run(["iasl", "-d", "dsdt.aml"], cwd=self.work, capture_output=True, text=True)
        said = told.stdout + told.stderr
        assert told.returncode == 0 and not re.search(r"(?i)error|warning|invalid|unknown", said), said
        told = subprocess.run(["iasl", "-p", "again/dsdt", "dsdt.dsl"], cwd=self.work, capture_output=True, text=True)
        assert told.returncode == 0 and " 0 Errors, 0 Warnings" in told.stdout, told.stdout + told.stderr
        self.resources_are_those_of_show()
        self.routes_are_those_of_the_wires()

    def evaluate(self, *commands):
        told = subprocess.run(["acpiexec", "-b", ";".join(commands), "dsdt.aml"], cwd=self.work, capture_output=True, text=True)
        # `resources` sets them too where it can: what is on an ISA bus of this machine stays where the machine file puts it, and has no _SRS.
        said = (told.stdout + told.stderr).replace("AcpiSetCurrentResources failed: AE_NOT_FOUND", "")
        assert told.returncode == 0 and "AE_" not in said, said[-3000:]
        return said

    def show(self):
        told = subprocess.run([str(self.backplane), "show", str(self.work / "habits.yaml")], capture_output=True, text=True, check=True)
        return told.stdout

    PARTS = {"SERI": "serial-one", "SER1": "serial-two", "RTC_": "rtc", "PIT_": "pit", "KBD_": "kbd", "STRA": "stranger", "ANOT": "another", "HD2_": "hd2",
             "PIC_": "pic", "PIT1": "pit", "KBD1": "kbd"}

    def resources_are_those_of_show(self):
        """Each device's ports are claims of its instance, and all of them together all of its claims; its interrupts are its wires."""
        shown = self.show()
        claimed, told = {}, {}
        for first, last, owner in re.findall(r"(?m)^  ([0-9a-f]{4})(?:-([0-9a-f]{4}))? +([\w-]+) ", shown):
            claimed.setdefault(owner, set()).update(range(int(first, 16), int(last or first, 16) + 1))
        wires = re.findall(r"(?m)^  ([\w-]+)\.[\w-]+ +irq-line/1 +gsi\.(\d+) ", shown)
        wired = {part: {int(number) for owner, number in wires if owner == part} for part in self.PARTS.values()}
        lines = {}
        for name, part in self.PARTS.items():
            said = self.evaluate(rf"resources \_SB.PCI0.SOUT.{name}")
            for base, length in re.findall(r"Address Minimum : ([0-9A-F]{4})\n.*?\n.*?\n *Address Length : ([0-9A-F]+)", said):
                told.setdefault(part, set()).update(range(int(base, 16), int(base, 16) + int(length, 16)))
            for block in re.findall(r"Interrupt List : ([0-9A-F ]+)", said):
                lines.setdefault(part, set()).update(int(number, 16) for number in block.split())
        for part in set(self.PARTS.values()):
            assert told.get(part) == claimed[part], (part, told.get(part), claimed[part])
            assert lines.get(part, set()) == wired[part], (part, lines.get(part), wired[part])

    # By bus: the functions' devices, and what the bus is behind, outermost first.
    BUSES = {r"\_SB.PCI0": ([2, 5, 7], []), r"\_SB.PCI0.NEAR": ([3, 6], [5]), r"\_SB.PCI0.NEAR.FAR_": ([4], [5, 3])}

    def routes_are_those_of_the_wires(self):
        """_PRT with PICs names link devices, with I/O APICs inputs 16 to 19. Pin p of device d is line (d - 1 + p) & 3 of the root, and behind a bridge the bridge's pin
        (d + p) & 3."""
        for model in (0, 1):
            for bus, (devices, bridges) in self.BUSES.items():
                said = self.evaluate(rf"evaluate \_PIC {model}", rf"evaluate {bus}._PRT")
                found = self.routes(said)
                wanted = {}
                for device in devices:
                    for pin in range(4):
                        at, line = device, pin
                        for bridge in reversed(bridges):
                            at, line = bridge, (at + line) & 3
                        line = (at - 1 + line) & 3
                        wanted[device << 16 | 0xFFFF, pin] = (16 + line) if model else f"LNK{'ABCD'[line]}"
                assert found == wanted, (model, bus, found, wanted, said[-2000:])

    @staticmethod
    def routes(said):
        """Of acpiexec's dump of a package of packages."""
        routes, numbers = {}, []
        for line in said[said.index("_PRT"):].splitlines():
            if re.search(r"\[Package\] Contains 4 Elements", line):
                numbers = []
            elif match := re.search(r"\[Integer\] = ([0-9A-F]+)", line):
                numbers.append(int(match[1], 16))
            elif match := re.search(r"\b(LNK[A-D])\b", line):
                numbers.append(match[1])
            if len(numbers) == 4:
                address, pin, source, index = numbers
                routes[address, pin] = source if isinstance(source, str) else index
                numbers = []
        return routes
