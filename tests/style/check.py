#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what a compiler does not: layout, layers, scripts, manuals, licences, spaces and links.

usage: check.py CHECK...    of: format layers scripts manuals licences spaces links

Reads all files below the source folder but build folders. Prints one line per problem,
"FILE:LINE: what is wrong", and exits with 1 if there is one, or if a tool is missing.
"""
import os
import pathlib
import re
import subprocess
import sys

LAYERS = ["core/base", "core/model", "core/plan", "core/codec", "core/apply", "core/engine"]
# Folders in a layer, each of which may include those before it.
ROOMS = {"core/plan": ["routing", "names", "firewall"],
         "core/codec": ["netlink", "nftables", "openvpn", "network_manager", "files"],
         "core/apply": ["dbus", "network_manager", "storage", "kernel", "programs", "dns"]}
# They decide and translate, and touch nothing: what they must not include.
PURE = {"core/model", "core/plan", "core/codec"}
EFFECTS = re.compile(r"<(unistd|fcntl|poll|spawn|dirent|dlfcn|sys/(?!types\.h).*)(\.h)?>"
                     r"|<(filesystem|fstream|iostream|thread|gio/.*)>")

# Users copy these and make them their own.
WITHOUT_LICENCE = re.compile(r"LICENSE|\.gitignore|.*\.md|extras/(examples/.*|failclosed\.conf)"
                             r"|tests/fixtures/.*")
AS_RECORDED = re.compile(r"LICENSE|tests/fixtures/.*")

# What mandoc says about this machine's manuals, and about long lines of the source.
NO_MATTER = re.compile(r"input text line longer than 80 bytes|referenced manual not found"
                       r"|outdated mandoc\.db lacks")


def sources(root):
    """Paths of all files of the sources, relative to the root, sorted."""
    found = []
    for folder, folders, files in os.walk(root):
        here = pathlib.Path(folder).relative_to(root)
        folders[:] = [name for name in folders if name not in (".git", "__pycache__") and
                      not (here == pathlib.Path(".") and re.fullmatch(r"build(-.*)?", name))]
        found += [here / name for name in files
                  if not (root / here / name).is_symlink() and (here / name).name != ".git"]
    return sorted(found)


def lines_of(root, path):
    """(number, line) of each line; none of a file that is not text."""
    try:
        text = (root / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return list(enumerate(text.split("\n"), 1))


def is_cpp(path):
    return path.suffix in (".cpp", ".hpp")


def output_of(root, *argv):
    """Lines that a tool prints about problems; its own absence is one."""
    try:
        done = subprocess.run(argv, cwd=root, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError:
        return [f"{argv[0]} is missing: `./setup test style` installs it"]
    lines = done.stdout.splitlines()
    return lines if lines or done.returncode == 0 else [f"{argv[0]}: status {done.returncode}"]


# ---- Checks: each returns its problems ----


def check_format(root, paths):
    files = [str(path) for path in paths if is_cpp(path)]
    lines = output_of(root, "clang-format-19", "--dry-run", *files)
    first = {}  # of each file
    for line in lines:
        if ": warning: " in line or line.startswith("clang-format-19"):
            first.setdefault(line.split(":")[0], line)
    return [*first.values(), *(["run clang-format-19 -i on these"] if first else [])]


def layer_of(path):
    """The layer of a file of the core; of another file its first folder."""
    parts = pathlib.PurePath(path).parts
    return "/".join(parts[:2]) if parts[0] == "core" else parts[0]


def room_of(path):
    """The folder of a file inside its layer; "" of a file that is in no such folder."""
    parts = pathlib.PurePath(path).parts
    return parts[2] if parts[0] == "core" and len(parts) > 3 else ""


def includes_of(root, path):
    """(number, file) of each include of a file of ours."""
    return [(number, own[1]) for number, line in lines_of(root, path)
            if (own := re.match(r'#include "([^"]+)"', line))]


def room_problem(root, path, used):
    """Why a file may not include another one of its layer, or None. Outside the rooms are files for
    all of them, and files that join them: only the latter include rooms."""
    rooms = ROOMS.get(layer_of(path), [""])
    room = room_of(path)
    if room and room not in rooms:
        return f"check.py does not know the room {room}"
    if not room or room_of(used) in rooms[:rooms.index(room) + 1]:
        return None
    if not room_of(used) and not any(room_of(name) and layer_of(name) == layer_of(used)
                                     for _, name in includes_of(root, used)):
        return None
    return f"{room} must not include {used}"


def may_include(user, used):
    """Whether a file of one layer may include one of the other; see docs/architecture.md."""
    if user == "tests" or user == used:
        return True
    if user in LAYERS:
        return used in LAYERS[:LAYERS.index(user)]
    return used in LAYERS  # an entry point


def check_layers(root, paths):
    problems = []
    for path in filter(is_cpp, paths):
        user = layer_of(path)
        for number, used in includes_of(root, path):
            if not (root / used).is_file():
                problems.append(f"{path}:{number}: {used}: not a path from the root")
            elif not may_include(user, layer_of(used)):
                problems.append(f"{path}:{number}: {user} must not include {used}")
            elif user == layer_of(used) and (reason := room_problem(root, path, used)):
                problems.append(f"{path}:{number}: {reason}")
        for number, line in lines_of(root, path) if user in PURE else []:
            if (effect := re.match(r"#include (<.*>)", line)) and EFFECTS.match(effect[1]):
                problems.append(f"{path}:{number}: {user} is pure: no {effect[1]}")
    return problems


def dialect_of(root, path):
    """What shellcheck calls the language of a shell script, or None."""
    first = lines_of(root, path)[:1]
    if first and (named := re.match(r"#!.*\b(bash|sh)$", first[0][1])):
        return named[1]
    if "bash-completion" in path.parts:
        return "bash"
    return "sh" if path.match("dhcpcd-hook/90-*") else None


def check_scripts(root, paths):
    problems = []
    for path in paths:
        if dialect := dialect_of(root, path):
            problems += output_of(root, "shellcheck", "--format=gcc", f"--shell={dialect}", str(path))
    return problems


def check_manuals(root, paths):
    files = [str(path) for path in paths if path.parts[:2] == ("extras", "man")]
    return [line for line in output_of(root, "mandoc", "-Tlint", *files)
            if not NO_MATTER.search(line)]


def check_licences(root, paths):
    return [f"{path}:1: no line SPDX-License-Identifier" for path in paths
            if not WITHOUT_LICENCE.fullmatch(str(path)) and
            not any("SPDX-License-Identifier: GPL-3.0-or-later" in line
                    for _, line in lines_of(root, path)[:4])]


def check_spaces(root, paths):
    problems = []
    for path in paths:
        if AS_RECORDED.fullmatch(str(path)):
            continue
        lines = lines_of(root, path)
        problems += [f"{path}:{number}: ends in spaces" for number, line in lines
                     if line != line.rstrip()]
        problems += [f"{path}:{number}: a tab" for number, line in lines if is_cpp(path) and
                     "\t" in line]
        if lines and lines[-1][1]:
            problems.append(f"{path}:{lines[-1][0]}: no newline at the end")
    return problems


def prose_of(root, path):
    """(number, line) of the lines of a page that are not in a block of code."""
    inside = False
    for number, line in lines_of(root, path):
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            yield number, line


def anchors_of(root, path):
    """Names of a page's headings, as GitHub makes them."""
    headings = [line.lstrip("#").strip() for _, line in prose_of(root, path) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_named(root, name):
    """Whether `core/plan/firewall/belt`, which names core/plan/firewall/belt.cpp too, is there."""
    target = root / name
    return target.exists() or any(target.with_name(target.name + end).exists()
                                  for end in (".cpp", ".hpp", "_test.cpp"))


def check_links(root, paths):
    problems = []
    for path in paths:
        if path.suffix != ".md":
            continue
        for number, line in prose_of(root, path):
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                name, _, anchor = target.partition("#")
                if re.match(r"[a-z]+:", name):
                    continue
                page = path.parent / name if name else path
                if not (root / page).exists():
                    problems.append(f"{path}:{number}: {target}: no such file")
                elif anchor and anchor not in anchors_of(root, page):
                    problems.append(f"{path}:{number}: {target}: no such heading")
            for name in re.findall(r"`((?:core|cli|docs|extras|tests|\.ci)/[\w./-]+)`", line):
                if "NAME" not in name and not is_named(root, name):
                    problems.append(f"{path}:{number}: {name}: no such file")
    return problems


CHECKS = {"format": check_format, "layers": check_layers, "scripts": check_scripts,
          "manuals": check_manuals, "licences": check_licences, "spaces": check_spaces,
          "links": check_links}


def main(names):
    if not names or any(name not in CHECKS for name in names):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 64
    root = pathlib.Path(__file__).resolve().parents[2]
    paths = sources(root)
    problems = [problem for name in names for problem in CHECKS[name](root, paths)]
    print("\n".join(problems) or f"{len(paths)} files: no problem")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
