# SPDX-License-Identifier: GPL-2.0
"""Find unused names in the bindings of the net layer.

Usage: lint-bindings.py BINDGEN-PARAMETERS FILE...

Each alternative of each entry of the allow-list must be used by a source of the
layer: by Rust as `bindings::NAME`, or, for a constant, by its name without the
prefix that bindgen is shown. Constants of an enumeration begin with its name.
"""

import re
import sys

ENTRY = re.compile(r"--allowlist-(function|type|var) (\S+)$")
USE = re.compile(r"\bbindings::(\w+)")
PREFIX = "RNET_CONST_HELPER_"


def split(text):
    """The alternatives of a pattern that are not inside of a group."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return parts + [text[start:]]


def expand(pattern):
    """Each pattern without groups that the pattern stands for."""
    found = []
    for part in split(pattern):
        start = part.find("(")
        if start < 0:
            found.append(part)
            continue
        depth = 0
        for end in range(start, len(part)):
            depth += (part[end] == "(") - (part[end] == ")")
            if depth == 0:
                break
        inner = expand(part[start + 1 : end])
        rest = part[end + 1 :]
        if rest.startswith("?"):
            inner, rest = inner + [""], rest[1:]
        found += [part[:start] + a + b for a in inner for b in expand(rest)]
    return found


def uses(paths):
    """The names of bindings that the sources use."""
    found = set()
    for path in paths:
        with open(path, encoding="utf-8") as source:
            found.update(USE.findall(source.read()))
    return found


def main(parameters, paths):
    """Report each alternative that nothing uses."""
    used = uses(path for path in paths if path.endswith(".rs"))
    dead = 0
    with open(parameters, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            entry = ENTRY.match(line.strip())
            if not entry:
                continue
            for pattern in expand(entry.group(2)):
                rest = "(_.*)?" if entry.group(1) == "type" else ""
                name = re.compile(pattern.removeprefix(PREFIX) + rest)
                if not any(name.fullmatch(use) for use in used):
                    print(f"{parameters}:{number}: nothing uses {pattern}")
                    dead += 1
    return dead


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1], sys.argv[2:]) else 0)
