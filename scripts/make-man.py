#!/usr/bin/env python3
"""make-man.py PROGRAM MANDIR: writes Backplane's man pages to MANDIR/man1, man5 and man7.

backplane(1) and a page for each of its commands come from what PROGRAM says of itself, the others from docs/*.md: nothing is
written twice. SOURCE_DATE_EPOCH dates them.
"""

import datetime
import json
import os
import subprocess
import sys

from man_markdown import Converter, escape, section

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs")
# Document: page, section. What decisions.md says is for those who change Backplane.
PAGES = {
    "machine-file.md": ("backplane-machine-file", 5),
    "control.md": ("backplane-control", 7),
    "policies.md": ("backplane-policies", 7),
    "plugin-guide.md": ("backplane-plugin", 7),
    "abi-reference.md": ("backplane-abi", 7),
}
CONVERTER = Converter(PAGES)


def read(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        return file.read().splitlines()


def references(pages):
    return [", ".join(f"\\fB{escape(name)}\\fR({number})" for name, number in sorted(pages, key=lambda page: page[::-1]))]


def sentence_part(text):
    """As it stands after a dash: a word in capitals, such as a name, keeps them."""
    first = text.split()[0]
    return (text if first[1:] != first[1:].lower() else text[0].lower() + text[1:]).rstrip(".")


class Writer:
    def __init__(self, directory, version):
        self.directory = directory
        self.version = version
        seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or datetime.datetime.now().timestamp())
        self.date = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d")

    def write(self, name, number, summary, body):
        folder = os.path.join(self.directory, f"man{number}")
        os.makedirs(folder, exist_ok=True)
        head = [
            "'\\\" t", ".nr HY 0",
            f'.TH "{escape(name.upper())}" {number} {self.date} "Backplane {self.version}" "Backplane"',
            ".ad l", ".SH NAME", f"{escape(name)} \\- {CONVERTER.inline(sentence_part(summary))}",
        ]
        with open(os.path.join(folder, f"{name}.{number}"), "w", encoding="utf-8") as file:
            file.write("\n".join(head + body) + "\n")


# ---- Commands --------------------------------------------------------------------------------------------------------------


def value(argument):
    return f"\\fI{escape(argument['valueName'])}\\fR"


def spellings(argument):
    """`-h`, `--help`; an option's value is behind each."""
    for name in argument["names"]:
        text = f"\\fB{escape(('-' if name['kind'] == 'short' else '--') + name['name'])}\\fR"
        yield text + (f" {value(argument)}" if argument["kind"] == "option" else "")


def synopsis(argument):
    text = value(argument) if argument["kind"] == "positional" else list(spellings(argument))[-1]
    if argument["isOptional"]:
        text = f"[{text}]"
    return text + ("..." if argument["isRepeating"] else "")


def description(argument):
    text = CONVERTER.inline(argument.get("abstract", ""))
    if argument.get("allValues"):
        text += " One of " + ", ".join(f"\\fB{escape(word)}\\fR" for word in argument["allValues"]) + "."
    if "defaultValue" in argument:
        text += f" Default: \\fB{escape(argument['defaultValue'])}\\fR"
    return text


def shown(command):
    return [argument for argument in command.get("arguments", []) if argument["shouldDisplay"]]


def parts(command):
    """Its subcommands but for `help`, which help itself has."""
    return [part for part in command.get("subcommands", []) if part["shouldDisplay"] and part["commandName"] != "help"]


def words(command):
    return [*command.get("superCommands", []), command["commandName"]]


def synopsis_lines(command):
    """A line for the command, or for each of its subcommands."""
    if parts(command):
        return [line for part in parts(command) for line in synopsis_lines(part)]
    own = [argument for argument in shown(command) if not is_general(argument)]
    options = [synopsis(argument) for argument in own if argument["kind"] != "positional"]
    operands = [synopsis(argument) for argument in own if argument["kind"] == "positional"]
    return [".HP", " ".join([f"\\fB{escape(' '.join(words(command)))}\\fR", *options, *operands])]


def is_general(argument):
    return argument["valueName"] in ("version", "help")


def argument_lines(arguments):
    lines = []
    for argument in arguments:
        name = value(argument) if argument["kind"] == "positional" else ", ".join(spellings(argument))
        lines += [".TP", name, description(argument)]
    return lines


def discussion_lines(command):
    return [".PP", CONVERTER.inline(command["discussion"])] if command.get("discussion") else []


def command_body(command):
    body = [".SH SYNOPSIS", *synopsis_lines(command), ".SH DESCRIPTION"]
    body += [CONVERTER.inline(command["abstract"]), *discussion_lines(command)]
    for part in parts(command):
        title = escape(" ".join(words(part)[1:]))
        body += [f".SS {title}", CONVERTER.inline(part["abstract"]), *discussion_lines(part)]
        body += argument_lines(argument for argument in shown(part) if not is_general(argument))
    return body + [".SH OPTIONS", *argument_lines(shown(command))]


def page_of(command):
    return "-".join(words(command))


def write_commands(writer, root):
    everything = {(page_of(command), 1) for command in [root, *parts(root)]} | set(PAGES.values())
    for command in parts(root):
        body = command_body(command) + [".SH SEE ALSO", *references(everything - {(page_of(command), 1)})]
        writer.write(page_of(command), 1, command["abstract"], body)
    body = [".SH SYNOPSIS", "\\fBbackplane\\fR \\fIcommand\\fR [\\fIargument\\fR...]", ".SH DESCRIPTION"]
    body += [CONVERTER.inline(root["abstract"]), *discussion_lines(root), ".SH COMMANDS"]
    for command in parts(root):
        body += [".TP", f"\\fB{escape(page_of(command))}\\fR(1)", CONVERTER.inline(command["abstract"])]
    body += [".SH OPTIONS", *argument_lines(shown(root))]
    manual = read("machine-file.md")
    for title, heading in (("Exit statuses", "EXIT STATUS"), ("Environment", "ENVIRONMENT"), ("Files", "FILES")):
        body += [f".SH {heading}", *CONVERTER.convert(section(manual, title))]
    body += [".SH SEE ALSO", *references(everything - {("backplane", 1)})]
    writer.write("backplane", 1, root["abstract"].split(":")[0].removeprefix("A "), body)


# ---- Documents -------------------------------------------------------------------------------------------------------------


def write_document(writer, file, name, number):
    lines = read(file)
    title = lines[0].removeprefix("# ")
    others = set(PAGES.values()) - {(name, number)} | {("backplane", 1)}
    body = [".SH DESCRIPTION", *CONVERTER.convert(lines[1:]), ".SH SEE ALSO", *references(others)]
    writer.write(name, number, title, body)


def main():
    if len(sys.argv) != 3:
        raise SystemExit("usage: make-man.py PROGRAM MANDIR")
    program, directory = sys.argv[1:]
    version, help_text = (
        subprocess.run([program, option], check=True, capture_output=True, text=True).stdout
        for option in ("--version", "--experimental-dump-help"))
    writer = Writer(directory, version.strip())
    write_commands(writer, json.loads(help_text)["command"])
    for file, (name, number) in PAGES.items():
        write_document(writer, file, name, number)


if __name__ == "__main__":
    main()
