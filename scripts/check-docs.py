#!/usr/bin/env python3
"""check-docs.py PREFIX [--no-build], check-docs.py --house: no page may name what is not there.

PREFIX is an installed tree. In docs/*.md and README.md, every path in backticks and every relative link exists; every `make X`
is a target; every `backplane X --option` is a subcommand that has the option. Code blocks that begin with `file: PATH` in a
comment are written out (several with one path are joined), and blocks that begin with `# run in DIRECTORY` are run, in order,
against the installed tree, each page in a folder of its own. docs/architecture.md is held against the code (check_house.py); with
--house nothing else is done, and no tree is needed. Ends with `N passed, N failed`; status 1 where one failed.
"""

import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

from check_house import PAGE as HOUSE
from check_house import check_house

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What a path in backticks begins with; everything else with a slash (`io/1`, `lib/backplane`) is no path of the repository.
FOLDERS = ("Sources", "Plugins", "Guests", "Tests", "machines", "docs", "packaging", "scripts", ".github")
# Bare names that are files of ours: beside the page, or at the top.
BARE = re.compile(r"^[\w.-]+\.(md|sh|py)$|^(Makefile|LICENSE|Package\.swift)$")
FILE = re.compile(r"^(?://|#|/\*|<!--)\s*file:\s*(\S+?)\s*(?:\*/|-->)?$")
RUN = re.compile(r"^#\s*run in\s+(\S+)$")
# Capitals stand for something that the reader puts in: `Tests/abi/MINOR/plugin.h`.
PLACEHOLDER = re.compile(r"(?<![A-Za-z])[A-Z]{3,}(?![A-Za-z.])")


class Results:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, is_good, what, details=""):
        if is_good:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED {what}")
        for line in details.splitlines()[-40:]:
            print(f"    {line}")


class Page:
    """A Markdown page: its fenced blocks, and the text between them with line numbers."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.relpath(path, REPOSITORY)
        self.blocks = []  # (line, language, [lines])
        self.prose = []  # (line, text)
        fence = None
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file.read().splitlines(), 1):
                stripped = text.strip()
                if fence is None and stripped.startswith("```"):
                    fence = (number, stripped[3:].strip(), [])
                elif fence is not None and stripped == "```":
                    self.blocks.append(fence)
                    fence = None
                elif fence is not None:
                    fence[2].append(text)
                else:
                    self.prose.append((number, text))
        if fence is not None:
            raise SystemExit(f"{self.name}:{fence[0]}: the code block is not closed")

    def inline_code(self):
        for number, text in self.prose:
            for code in re.findall(r"`([^`]+)`", text):
                yield number, code

    def links(self):
        for number, text in self.prose:
            for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text)):
                if not re.match(r"[a-z]+:|#", target):
                    yield number, target.split("#")[0]

    def commands(self):
        """Lines of shell in blocks, and commands in backticks."""
        for start, language, lines in self.blocks:
            if language in ("sh", "bash", "console", "shell"):
                joined = "\n".join(lines).replace("\\\n", "  ")
                for line in joined.splitlines():
                    yield start, line.strip().removeprefix("$ ")
        yield from self.inline_code()


# ---- Names of the repository and of the program ----------------------------------------------------------------------------


def make_targets():
    targets = set()
    with open(os.path.join(REPOSITORY, "Makefile"), encoding="utf-8") as file:
        for line in file:
            match = re.match(r"^([A-Za-z][\w .-]*):(?!=)", line)
            if match:
                targets.update(match.group(1).split())
    return targets


class Program:
    """The subcommands and options that `--help` shows."""

    def __init__(self, executable):
        self.executable = executable
        self.known = {}

    def help(self, path):
        if path not in self.known:
            run = subprocess.run([self.executable, *path, "--help"], capture_output=True, text=True, timeout=60)
            text = run.stdout
            section = text.split("SUBCOMMANDS:\n", 1)
            names = re.findall(r"^  ([a-z][\w-]*)", section[1], re.M) if len(section) == 2 else []
            options = set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", text))
            self.known[path] = (set(names), options)
        return self.known[path]

    def problem(self, words):
        """What is wrong with the words after `backplane`; None: nothing."""
        path = ()
        for word in words:
            names, options = self.help(path)
            if word.startswith("-"):
                option = word.split("=")[0].rstrip(",.;")
                if option not in options:
                    return f"'{' '.join(('backplane',) + path)}' has no option {option}"
            elif names and not path_is_placeholder(word):
                word = word.rstrip(",.;:")
                if word == "help":
                    return None
                if word not in names:
                    return f"'{' '.join(('backplane',) + path)}' has no subcommand '{word}'"
                path += (word,)
        return None


def path_is_placeholder(word):
    return bool(re.match(r"^[A-Z]+$|^\.\.\.$|^<.*>$|^\[", word))


# ---- Checks ----------------------------------------------------------------------------------------------------------------


def exists(page, code):
    beside = os.path.join(os.path.dirname(page.path), code)
    pattern = PLACEHOLDER.sub("*", code)
    if "*" in pattern:
        return bool(glob.glob(os.path.join(REPOSITORY, pattern)))
    return os.path.exists(os.path.join(REPOSITORY, code)) or os.path.exists(beside)


def check_paths(page, results):
    for number, code in page.inline_code():
        code = code.rstrip("/")
        is_path = code.split("/")[0] in FOLDERS and "/" in code and " " not in code
        if is_path or BARE.match(code):
            results.check(exists(page, code), f"{page.name}:{number}: there is no {code}")
    for number, target in page.links():
        results.check(
            os.path.exists(os.path.join(os.path.dirname(page.path), target)), f"{page.name}:{number}: there is no {target}")


def simple_commands(line):
    """The commands of a line, each as its words. What the shell alone understands is left out."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return
    command = []
    for word in words + [";"]:
        if set(word) <= set(";&|<>()"):
            if command:
                yield command
            command = []
        elif not command and (re.match(r"^\w+=", word) or word in ("sudo", "!", "time", "env")):
            continue
        else:
            command.append(word)


def check_commands(page, program, targets, results):
    for number, line in page.commands():
        for words in simple_commands(line):
            if os.path.basename(words[0]) == "backplane" and len(words) > 1:
                problem = program.problem(words[1:])
                results.check(problem is None, f"{page.name}:{number}: {problem}")
            elif words[0] == "make":
                check_make(page, number, words[1:], targets, results)


def check_make(page, number, words, targets, results):
    if any(word in ("-C", "-f") for word in words):
        return
    for word in words:
        word = word.rstrip(",.;:")
        if "=" not in word and not word.startswith("-") and not path_is_placeholder(word):
            results.check(word in targets, f"{page.name}:{number}: there is no target '{word}' in Makefile")


# ---- Examples --------------------------------------------------------------------------------------------------------------


def write_files(page, folder):
    """Writes the blocks that name a file; answers how many, and those to run as (line, directory, script)."""
    scripts = []
    begun = set()
    for line, _, lines in page.blocks:
        if not lines:
            continue
        file, run = FILE.match(lines[0]), RUN.match(lines[0])
        if file:
            path = os.path.normpath(os.path.join(folder, file.group(1)))
            if not path.startswith(folder + os.sep):
                raise SystemExit(f"{page.name}:{line}: {file.group(1)} is outside of the page's folder")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "a" if path in begun else "w", encoding="utf-8") as out:
                out.write(("\n" if path in begun else "") + "\n".join(lines[1:]) + "\n")
            begun.add(path)
        elif run:
            scripts.append((line, run.group(1), "\n".join(lines[1:]) + "\n"))
    return len(begun), scripts


def run_examples(page, prefix, results):
    folder = os.path.realpath(tempfile.mkdtemp(prefix="check-docs."))
    environment = dict(os.environ)
    environment["PATH"] = os.path.join(prefix, "bin") + os.pathsep + environment["PATH"]
    environment["PKG_CONFIG_PATH"] = os.path.join(prefix, "lib/pkgconfig")
    for name in ("BACKPLANE_PLUGINKIT", "BACKPLANE_PLUGIN_PATH"):
        environment.pop(name, None)
    try:
        _, scripts = write_files(page, folder)
        for line, directory, script in scripts:
            where = os.path.join(folder, directory)
            os.makedirs(where, exist_ok=True)
            run = subprocess.run(
                ["sh", "-e", "-x", "-c", script], cwd=where, env=environment, text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1800)
            results.check(
                run.returncode == 0, f"{page.name}:{line}: the commands end with status {run.returncode}", run.stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish(results):
    print(f"{results.passed} passed, {results.failed} failed")
    sys.exit(1 if results.failed else 0)


def main():
    results = Results()
    if sys.argv[1:] == ["--house"]:
        page = Page(os.path.join(REPOSITORY, HOUSE))
        check_paths(page, results)
        check_house(page, REPOSITORY, results)
        finish(results)
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    if len(arguments) != 1 or options not in ([], ["--no-build"]):
        raise SystemExit("usage: check-docs.py PREFIX [--no-build] | --house")
    prefix = os.path.abspath(arguments[0])
    executable = os.path.join(prefix, "bin/backplane")
    if not os.access(executable, os.X_OK):
        raise SystemExit(f"check-docs.py: there is no {executable}: run 'make install PREFIX={arguments[0]}' first")
    paths = sorted(glob.glob(os.path.join(REPOSITORY, "docs/*.md")))
    readme = os.path.join(REPOSITORY, "README.md")
    pages = [Page(path) for path in ([readme] if os.path.exists(readme) else []) + paths]
    program, targets = Program(executable), make_targets()
    check_house(Page(os.path.join(REPOSITORY, HOUSE)), REPOSITORY, results)
    for page in pages:
        check_paths(page, results)
        check_commands(page, program, targets, results)
        if not options:
            run_examples(page, prefix, results)
    finish(results)


if __name__ == "__main__":
    main()
