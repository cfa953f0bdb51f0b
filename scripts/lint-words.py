# SPDX-License-Identifier: GPL-2.0
"""Hold comments to a plain beginning.

Usage: lint-words.py FILE...

A comment, doc string or doc comment that begins with "What" names its subject by a
riddle. Say what it is: "Frames sent so far", not "What was sent so far".
"""

import re
import sys

# A comment's sign, or the quotes of a doc string, at the beginning of a line or behind code.
WHAT = re.compile(r'(?:^|\s)(?://[/!]?|#+|/?\*+|""")\s*What\s')


def findings(path):
    """Yield (number, line) of each comment that begins so."""
    with open(path, encoding="utf-8") as source:
        before = ""
        for number, line in enumerate(source, 1):
            bare = before.strip()
            # A sentence that goes on from the line before may have the word at its beginning.
            first = not bare.startswith(("//", "#", "*")) or bare.rstrip()[-1:] in ".:/!#*"
            if first and WHAT.search(line):
                yield number, line.strip()
            before = line


def main(paths):
    """Report all findings."""
    found = [(path, *finding) for path in paths for finding in findings(path)]
    for path, number, line in found:
        print(f"{path}:{number}: {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
