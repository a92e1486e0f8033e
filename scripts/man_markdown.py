"""The Markdown of docs/*.md as man page text (groff's man macros, with tbl for tables of more than two columns).

What it knows is what the documents use: headings, paragraphs, fenced code, tables, flat lists, and in text code, bold, italics and
links. A document's name becomes a reference to its page.
"""

import re


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.M)


def fields(row):
    """The cells of a table's row."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip())[1:-1]]


class Converter:
    """`pages`: a document's file name to its page's (name, section)."""

    def __init__(self, pages):
        self.pages = pages

    # ---- Text

    def inline(self, text):
        """Markdown of one paragraph as lines of roff."""
        pieces = re.split(r"(`[^`]+`)", " ".join(text.split()))
        return re.sub(r"^(?=[.'])", r"\\&", "".join(self._piece(piece) for piece in pieces))

    def _piece(self, piece):
        if piece.startswith("`") and piece.endswith("`") and len(piece) > 2:
            return self._reference(piece[1:-1]) or f"\\fB{escape(piece[1:-1])}\\fR"
        text = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", lambda link: self._link(*link.groups()), piece)
        text = "".join(part if part.startswith("\\f") else escape(part) for part in re.split(r"(\\fB.*?\\fR\(\d\))", text))
        text = re.sub(r"\*\*(.+?)\*\*", r"\\fB\1\\fR", text)
        return re.sub(r"(?<![*\w])\*([^*\s][^*]*?)\*(?![*\w])", r"\\fI\1\\fR", text)

    def _reference(self, file):
        page = self.pages.get(file.removeprefix("docs/"))
        return page and f"\\fB{escape(page[0])}\\fR({page[1]})"

    def _link(self, text, target):
        return self._reference(target.split("#")[0]) or text

    # ---- Blocks

    def convert(self, lines):
        """The lines of a document, or of a section of one, without its title."""
        out, lines, at = [], [line.rstrip() for line in lines], 0
        while at < len(lines):
            line, end = lines[at], at + 1
            if not line:
                pass
            elif line.startswith("```"):
                end = lines.index("```", end) + 1
                out += self._code(lines[at + 1 : end - 1])
            elif line.startswith("    ") and (at == 0 or not lines[at - 1]):
                while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
                    end += 1
                out += self._code([line[4:] for line in lines[at:end]])
            elif heading := re.match(r"(#{2,4}) (.*)", line):
                macro = {2: ".SH", 3: ".SS", 4: ".PP\n\\fB{}\\fR"}[len(heading[1])]
                text = self.inline(heading[2])
                out.append(macro.format(text) if "{}" in macro else f"{macro} {text}")
            elif line.startswith("|"):
                while end < len(lines) and lines[end].startswith("|"):
                    end += 1
                out += self._table([fields(row) for row in lines[at:end]])
            elif item := re.match(r"(-|\d+\.) +", line):
                while end < len(lines) and lines[end].startswith("  "):
                    end += 1
                mark = "\\(bu" if item[1] == "-" else item[1]
                text = " ".join([line[item.end() :], *lines[at + 1 : end]])
                out += [f".IP {mark} {2 if item[1] == '-' else 4}", self.inline(text)]
            else:
                while end < len(lines) and lines[end] and not re.match(r"```|#|\||- |\d+\. ", lines[end]):
                    end += 1
                out += [".PP", self.inline(" ".join(lines[at:end]))]
            at = end
        return out

    def _code(self, lines):
        while lines and not lines[-1]:
            lines = lines[:-1]
        return [".PP", ".RS 4", ".EX", *(escape(line) for line in lines), ".EE", ".RE"]

    def _table(self, rows):
        head, rows = rows[0], rows[2:]
        if any(len(row) != len(head) for row in rows):
            raise ValueError(f"a row of the table '{' | '.join(head)}' has not {len(head)} cells")
        if len(head) == 2:
            return [line for row in rows for line in (".TP", self.inline(row[0]) or "\\&", self.inline(row[1]) or "\\&")]
        # Columns of long cells share the room that the others leave, and break their lines.
        is_long = [max(len(row[column]) for row in rows) > 30 for column in range(len(head))]
        lines = [".PP", ".TS", "tab(\t);", " ".join(["lB"] * len(head)), " ".join("lx" if x else "l" for x in is_long) + "."]
        for row in [head, *rows]:
            cells = (self.inline(cell) for cell in row)
            lines.append("\t".join(f"T{{\n{cell}\nT}}" if x and cell else cell for x, cell in zip(is_long, cells)))
        return [*lines, ".TE"]


def section(lines, title):
    """The lines below a heading, up to the next one of its level or above."""
    start = next((at for at, line in enumerate(lines) if re.match(r"#+ " + re.escape(title) + r"$", line)), None)
    if start is None:
        raise ValueError(f"there is no section '{title}'")
    level = len(lines[start]) - len(lines[start].lstrip("#"))
    code, end = False, start + 1
    while end < len(lines):
        code ^= lines[end].startswith("```")
        if not code and re.match(r"#{1,%d} " % level, lines[end]):
            break
        end += 1
    return lines[start + 1 : end]
