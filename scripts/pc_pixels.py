"""For check-pc.py: a screen of pixels on which Linux's console writes, by its own font of 8 by 16, read as text."""

import lzma
import re
import time

from pc_machines import PATIENCE, Screen

# `A` to `C`, line by line from the top: where they are in a kernel, its font is.
LETTERS = bytes.fromhex("00001038 6cc6c6fe c6c6c6c6 00000000  0000fc66 66667c66 666666fc 00000000  00003c66 c2c0c0c0 c0c2663c 00000000")


class PixelFont:
    def __init__(self, kernel):
        """`kernel`: Debian's, which is compressed by xz behind its code that is not."""
        image = kernel.read_bytes()
        contents = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(image[image.index(b"\xfd7zXZ\0"):])
        start = contents.index(LETTERS) - 16 * ord("A")
        self.glyphs = {int.from_bytes(contents[start + 16 * code:start + 16 * code + 16], "big"): chr(code) for code in range(0x20, 0x7F)}

    def text(self, ppm):
        """Whatever is not black is a dot."""
        size, pixels = re.match(rb"P6\n(\d+) (\d+)\n255\n", ppm), ppm[ppm.index(b"\n255\n") + 5:]
        width, height = (int(number) for number in size.groups())
        is_dot = bytes([ord("0")]) + bytes([ord("1")]) * 255
        lines = [pixels[3 * width * y + 1:3 * width * (y + 1):3].translate(is_dot) for y in range(height)]
        rows = []
        for top in range(0, height - 15, 16):
            cells = [0] * (width // 8)
            for line in lines[top:top + 16]:
                for column in range(len(cells)):
                    cells[column] = cells[column] << 8 | int(line[8 * column:8 * column + 8], 2)
            rows.append("".join(self.glyphs.get(cell, "?") for cell in cells).rstrip())
        return "\n".join(rows)


class PixelScreen(Screen):
    """A machine whose screen is read by its pixels; what its serial port says is in a file."""

    def __init__(self, backplane, command, folder, font):
        self.font, self.dump, self.said = font, folder / "screen.ppm", folder / "serial.log"
        with open(self.said, "wb") as output:
            super().__init__(backplane, command, folder, output)

    def wait_for_serial(self, pattern):
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.said.read_text(errors="replace")):
            assert self.process.poll() is None and time.monotonic() < end, f"{pattern!r} did not come on the serial port"
            time.sleep(0.2)

    def text(self):
        self.tell("screendump", str(self.dump))
        return self.font.text(self.dump.read_bytes())
