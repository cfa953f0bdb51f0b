# SPDX-License-Identifier: GPL-2.0
"""Hold the boundary between safe code and the rest.

Usage: lint-unsafe.py [--fix] ALLOW-LIST COUNTS FILE.rs...

`unsafe` and the C bindings belong to the layer that the drivers share, and in the
model to the crate that maps guest memory. Elsewhere each use needs an entry
in the allow-list, a line "PATH | PATTERN | REASON": PATTERN is text of the
offending line or of one of the two that follow it. An entry that matches
nothing is as wrong as a use without one.

COUNTS says how many unsafe blocks each file of the layer has. There may not be
more; when there are fewer, --fix writes that down. Who cannot do without
another one raises the number by hand, and says why in the commit.
"""

import re
import sys

DRIVERS = "drivers/"
LAYER = "drivers/net/rust/"
HOME = (LAYER, "hw-model/crates/mem/")
UNSAFE = re.compile(r"\bunsafe\b")
UNSAFE_OR_C = re.compile(r"\bunsafe\b|\bbindings\b")
BLOCK = re.compile(r"\bunsafe\s*\{")
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


class Entry:
    """One line of the allow-list."""

    def __init__(self, where, line):
        fields = [field.strip() for field in line.split("|", 2)]
        if len(fields) != 3 or not all(fields):
            sys.exit(f"{where}: want 'PATH | PATTERN | REASON'")
        self.where = where
        self.path, self.pattern, _ = fields
        self.used = False


def read_allowed(path):
    """The entries of the allow-list, comments left out."""
    entries = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                entries.append(Entry(f"{path}:{number}", line))
    return entries


def offences(path):
    """Numbers and surroundings of the lines that cross the boundary."""
    offence = UNSAFE_OR_C if path.startswith(DRIVERS) else UNSAFE
    with open(path, encoding="utf-8") as source:
        lines = source.read().splitlines()
    for index, line in enumerate(lines):
        code = LITERAL.sub('""', line).split("//", 1)[0]
        if offence.search(code):
            yield index + 1, "\n".join(lines[index : index + 3])


def blocks(path):
    """How many unsafe blocks a file has, comments and strings left out."""
    with open(path, encoding="utf-8") as source:
        lines = source.read().splitlines()
    code = "\n".join(LITERAL.sub('""', line).split("//", 1)[0] for line in lines)
    return len(BLOCK.findall(code))


def read_counts(path):
    """The head of the list, and the number for each file."""
    head, counts = [], {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#"):
                head.append(line)
            elif line.strip():
                number, name = line.split()
                if name != "total":
                    counts[name] = int(number)
    return head, counts


def write_counts(path, head, counts):
    """Write the list anew, with the most dangerous file first."""
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    rows.append(("total", sum(counts.values())))
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(head)
        out.writelines(f"{number:4} {name}\n" for name, number in rows)


def check_counts(counts_path, paths, fix):
    """Report each file with more blocks than it may have, and each number that is too high."""
    head, listed = read_counts(counts_path)
    found = {path.removeprefix(LAYER): blocks(path) for path in paths if path.startswith(LAYER)}
    found = {name: number for name, number in found.items() if number}
    more = [name for name, number in found.items() if number > listed.get(name, 0)]
    for name in more:
        print(f"{LAYER}{name}: {found[name]} unsafe blocks, {listed.get(name, 0)} at most")
    if fix:
        known = {name: min(number, listed.get(name, 0)) for name, number in found.items()}
        write_counts(counts_path, head, {name: n for name, n in known.items() if n})
    elif not more and found != listed:
        print(f"{counts_path}: there are fewer now; 'scripts/lint --fix unsafe' writes it down")
        return 1
    return len(more)


def check_boundary(allow_list, paths):
    """Report every use without an entry and every entry without a use."""
    allowed = read_allowed(allow_list)
    wrong = 0
    for path in paths:
        if path.startswith(HOME):
            continue
        for number, text in offences(path):
            entries = [e for e in allowed if e.path == path and e.pattern in text]
            for entry in entries:
                entry.used = True
            if not entries:
                print(f"{path}:{number}: outside the abstractions: {text.splitlines()[0].strip()}")
                wrong += 1
    for entry in allowed:
        if not entry.used:
            print(f"{entry.where}: stale, nothing in {entry.path} matches '{entry.pattern}'")
            wrong += 1
    return wrong


def main(arguments):
    """Report every use without an entry and every entry without a use."""
    fix = "--fix" in arguments
    allow_list, counts, *paths = [a for a in arguments if a != "--fix"]
    wrong = check_boundary(allow_list, paths) + check_counts(counts, paths, fix)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
