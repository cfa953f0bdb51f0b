# SPDX-License-Identifier: GPL-2.0
"""Hold the boundary between safe code and the rest.

Usage: lint-unsafe.py ALLOW-LIST FILE.rs...

`unsafe` and the C bindings belong to the layer that the drivers share, and in the
model to the crate that maps guest memory. Elsewhere each use needs an entry
in the allow-list, a line "PATH | PATTERN | REASON": PATTERN is text of the
offending line or of one of the two that follow it. An entry that matches
nothing is as wrong as a use without one.
"""

import re
import sys

DRIVERS = "drivers/"
HOME = ("drivers/net/rust/", "hw-model/crates/mem/")
UNSAFE = re.compile(r"\bunsafe\b")
UNSAFE_OR_C = re.compile(r"\bunsafe\b|\bbindings\b")
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


def main(allow_list, paths):
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


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1], sys.argv[2:]) else 0)
