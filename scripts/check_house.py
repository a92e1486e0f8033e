"""What docs/architecture.md says of the house, held against the house: for check-docs.py.

On that page `PATH`: `name`, `name` says that the file declares these functions and types; every file on the page is named so, and
every step of a way names one. Once a section has said where a file is, its last part is enough there. The table of rooms says what the
sources of a folder may import; the row whose path is the longest counts.
"""

import fnmatch
import glob
import os
import re

PAGE = "docs/architecture.md"
# A file, and what is named behind it.
NAMED = re.compile(r"`((?:(?:Sources|Plugins)/[^`]+|[^`/\s]+)\.(?:swift|c|h))`(?::\s*(`[^`]+`(?:,\s+`[^`]+`)*))?")
STEP = re.compile(r"^\d+\. ")
# Modules of Swift itself.
FREE = {"Swift", "Synchronization"}
# In a row's last column: also what is of the same plugin, and what belongs to none.
OWN = "its own"
IMPORT = re.compile(
    r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+"
    r"(?:(?:typealias|struct|class|enum|protocol|let|var|func)\s+)?(\w+)")
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]')
# Rooms whose folders are named too.
LARGE = ("Sources/Core", "Sources/EngineSoft")


def check_house(page, root, results):
    """`page`: of check-docs.py; `root`: the repository."""
    check_names(page, root, results)
    check_steps(page, results)
    rooms = read_rooms(page)
    check_rooms(page, rooms, root, results)
    check_imports(page, rooms, root, results)


# ---- Names -----------------------------------------------------------------------------------------------------------------


def check_names(page, root, results):
    text = "\n".join(line for _, line in page.prose)
    for match in NAMED.finditer(text):
        number = page.prose[text.count("\n", 0, match.start())][0]
        path, names = match.groups()
        path = in_full(text, match) if "/" not in path else path
        if path is None:
            results.check(False, f"{page.name}:{number}: its section does not say where {match.group(1)} is, or names two")
            continue
        if not os.path.isfile(os.path.join(root, path)):
            results.check(False, f"{page.name}:{number}: there is no {path}")
            continue
        results.check(names, f"{page.name}:{number}: nothing is named behind {path}")
        with open(os.path.join(root, path), encoding="utf-8") as file:
            source = file.read()
        for name in re.findall(r"`([^`]+)`", names or ""):
            missing = [part for part in name.split(".") if not declares(path, source, part)]
            results.check(not missing, f"{page.name}:{number}: {path} declares no {', '.join(missing)}")


def in_full(text, match):
    """The one path of the same section, so far, that ends in a name without folders; None: there is none, or are two."""
    section = text[text.rfind("\n## ", 0, match.start()) + 1:match.start()]
    paths = {path for path, _ in NAMED.findall(section) if path.endswith("/" + match.group(1))}
    return paths.pop() if len(paths) == 1 else None


def declares(path, source, name):
    """In Swift a declaration, or an entry of a table of C functions; in C a line that begins with it, or a label of assembler."""
    word = re.escape(name)
    if path.endswith(".swift"):
        declared = rf"\b(?:func|class|struct|enum|protocol|extension|typealias|static let|static var)\s+{word}\b"
        return bool(re.search(rf"{declared}|^(?:\w+ )*(?:let|var)\s+{word}\b|^\s+{word}: \{{", source, re.M))
    return bool(re.search(rf"^(?:static |inline |const )*[A-Za-z_][\w *]*\b{word}\s*\([^;]*$|^\s*\"{word}:", source, re.M))


def check_steps(page, results):
    """Every step names a file: where an item of a numbered list begins and ends is what its lines say."""
    step = None
    for number, line in [*page.prose, (0, "")]:
        if step and (STEP.match(line) or not line.startswith("   ")):
            results.check(NAMED.search(step[1]), f"{page.name}:{step[0]}: the step names no file")
            step = None
        if STEP.match(line):
            step = (number, line)
        elif step:
            step = (step[0], step[1] + "\n" + line)


# ---- Rooms -----------------------------------------------------------------------------------------------------------------


def read_rooms(page):
    """Patterns of folders, with the modules that each may import: {pattern: (line, modules, whether its own)}."""
    rooms = {}
    for number, line in page.prose:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        for pattern in re.findall(r"`([^`]+)`", cells[0]):
            rooms[pattern] = (number, set(re.findall(r"`(\w+)`", cells[2])), OWN in cells[2])
    return rooms


def check_rooms(page, rooms, root, results):
    results.check(rooms, f"{page.name}: there is no table of rooms")
    text = "\n".join(line for _, line in page.prose)
    for pattern, (number, _, _) in rooms.items():
        results.check(glob.glob(os.path.join(root, pattern)), f"{page.name}:{number}: there is no {pattern}")
    for folder in sorted(os.listdir(os.path.join(root, "Sources"))):
        results.check(f"Sources/{folder}" in rooms, f"{page.name}: the table has no row for Sources/{folder}")
    for large in LARGE:
        for entry in sorted(os.scandir(os.path.join(root, large)), key=lambda entry: entry.name):
            path = f"{large}/{entry.name}"
            results.check(not entry.is_dir() or f"`{path}`" in text, f"{page.name}: it does not name {path}")


def room_of(rooms, path):
    """The pattern that says most of a file's folder; None: there is none."""
    folders = path.split("/")[:-1]
    found = []
    for pattern in rooms:
        depth = pattern.count("/") + 1
        if len(folders) >= depth and fnmatch.fnmatch("/".join(folders[:depth]), pattern):
            found.append((depth, pattern))
    return max(found)[1] if found else None


def check_imports(page, rooms, root, results):
    sources = set(os.listdir(os.path.join(root, "Sources")))
    headers = header_modules(root)
    others, known = plugin_modules(root)
    for path in source_files(root):
        pattern = room_of(rooms, path)
        if pattern is None:
            results.check(False, f"{page.name}: no row of the table is for {path}")
            continue
        _, allowed, has_own = rooms[pattern]
        for number, module in imports(root, path, headers):
            is_allowed = module in allowed | FREE or path.startswith(f"Sources/{module}/")
            if has_own and module in known and module not in sources:
                # A plugin's folder is the third of its path.
                is_allowed = others.get(module, path.split("/")[2]) == path.split("/")[2]
            results.check(is_allowed, f"{path}:{number}: imports {module}, which {page.name} does not allow {pattern}")


def source_files(root):
    for top in ("Sources", "Plugins"):
        for folder, _, files in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(files):
                if name.endswith((".swift", ".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def imports(root, path, headers):
    """(line, module) of a file; what stands in a text of several lines is none."""
    is_text = False
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if path.endswith(".swift"):
                match = None if is_text else IMPORT.match(line)
                if match:
                    yield number, match.group(1)
                is_text ^= line.count('"""') % 2 == 1
            else:
                match = INCLUDE.match(line)
                if match and match.group(1) in headers:
                    yield number, headers[match.group(1)]


def header_modules(root):
    """The modules of Sources that headers belong to, by what #include says."""
    modules = {}
    for folder in glob.glob(os.path.join(root, "Sources/*/include")):
        for header in glob.glob(os.path.join(folder, "**/*.h"), recursive=True):
            modules[os.path.relpath(header, folder)] = os.path.basename(os.path.dirname(folder))
    return modules


def plugin_modules(root):
    """By Package.swift: the plugin's folder of each module that is one plugin's alone, and all modules of the package."""
    with open(os.path.join(root, "Package.swift"), encoding="utf-8") as file:
        text = file.read()
    own = re.findall(r'name: "([\w-]+)", model: "(\w+)"', text) + re.findall(r'\bbackend\("([\w-]+)", "(\w+)"', text)
    return {module: folder for folder, module in own}, set(re.findall(r'"(\w+)"', text))
