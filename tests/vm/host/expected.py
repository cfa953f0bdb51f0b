# SPDX-License-Identifier: GPL-2.0
"""Expected and actual results of the kernel's own tests."""

import fnmatch
import os
import re
import tomllib

from host import qemu
from host.report import FAIL, PASS, SKIP

PATH = os.path.join(qemu.PROJECT, "tests/selftests/expected.toml")
BRACES = re.compile(r"^(.*?)\{([^{}]*)\}(.*)$", re.DOTALL)
SECOND = "only when run again"
ANY = "any"
LINE = re.compile(r"^(not )?ok \d+ (\S+)(?:\s+#\s*(.*))?$")


def expand(pattern):
    """Expand a{b,c}d as a shell does."""
    found = BRACES.match(pattern)
    if not found:
        return [pattern]
    before, choices, after = found.groups()
    return [word for choice in choices.split(",") for word in expand(before + choice + after)]


class Expectation:
    """One program: where it is, how long it may take, how each of its cases is to end."""

    def __init__(self, table):
        self.file = table["file"]
        stem = self.file.removeprefix("drivers/").removeprefix("net/").removesuffix(".py")
        self.name = "selftests." + stem.replace("/", ".")
        self.limit = table.get("limit", 120)
        self.quick = table.get("quick", False)
        self.before = table.get("before", [])
        self.passes = {word for pattern in table.get("pass", "").split()
                       for word in expand(pattern)}
        self.others = [(word, result, reason) for result in (SKIP, FAIL)
                       for pattern, reason in table.get(result, {}).items()
                       for word in expand(pattern)]

    def of(self, case):
        """Return how a case is to end and why, or None for one that is not listed."""
        if case in self.passes:
            return PASS, ""
        for pattern, result, reason in self.others:
            if fnmatch.fnmatchcase(case, pattern):
                return result, reason
        return None

    def missing(self, seen):
        """Return the names of missing cases."""
        named = self.passes | {word for word, _, _ in self.others if "*" not in word}
        return sorted(named - set(seen))


class Comparison(Expectation):
    """One program on a device of somebody else's: what passes with the driver that the kernel
    has for it is to pass, and all else may end as it likes."""

    def __init__(self, table, results):
        super().__init__(table)
        self.passes, self.others = set(), []
        if results:
            seen = parse(os.path.join(results, f"{self.name}.tap"))
            self.passes = {case for case, (result, _, _) in seen.items() if result == PASS}

    def of(self, case):
        """Return how a case is to end."""
        return (PASS, "") if case in self.passes else (ANY, "")


def load(make=Expectation):
    """Return the expectations by name, in the order they are to run."""
    with open(PATH, "rb") as text:
        tables = tomllib.load(text)["test"]
    return {made.name: made for made in map(make, tables)}


def parse(path):
    """Return {case: (result, comment, what was said before)} of a program's output.

    A case that was run again counts as it ended last, its comment says so.
    """
    seen, said = {}, []
    try:
        text = open(path, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return seen
    with text:
        for line in text:
            found = LINE.match(line.strip())
            if not found:
                said.append(line.rstrip("\n"))
                continue
            failed, name, comment = found.groups()
            comment = comment or ""
            _, _, case = name.partition(".")
            result = FAIL if failed else PASS
            for mark in ("SKIP", "XFAIL"):
                if comment.startswith(mark):
                    result, comment = SKIP, comment.removeprefix(mark).strip()
            case = case or name
            if case in seen and result == PASS:
                comment = SECOND
            seen[case] = (result, comment, said)
            said = []
    return seen


class Verdict:
    """The output of a program compared with the expectation."""

    def __init__(self, expectation, path, partial=False):
        self.expectation, self.seen = expectation, parse(path)
        self.complaints = [text for case in self.seen for text in self._judge(case)]
        if not self.seen:
            self.complaints.append("it reported no case at all")
        elif not partial:
            self.complaints += [f"{case}: expected, but not reported"
                                for case in expectation.missing(self.seen)]

    def _judge(self, case):
        result, comment, said = self.seen[case]
        wanted = self.expectation.of(case)
        if wanted is None:
            yield f"{case}: {result}, and not in the list of expectations"
        elif wanted[0] not in (ANY, result):
            yield f"{case}: expected {wanted[0]}, ended with {result}" + self.why(comment, said)

    @staticmethod
    def why(comment, said):
        """Return the line of a case's output that gives the reason."""
        if comment:
            return f" ({comment})"
        telling = [line for line in said if re.search(
            r"Check failed|STDERR|Error|Failure|Exception: |timed out|Exception\| [\w.]+Ex:", line)
            and "Traceback" not in line]
        return f" ({telling[0].lstrip('# ')})" if telling else ""

    def count(self, result):
        """Return how many cases ended so."""
        return sum(1 for found, _, _ in self.seen.values() if found == result)

    def lines(self):
        """Yield a summary: totals, and why cases did not pass."""
        yield ", ".join(f"{self.count(result)} {result}" for result in (PASS, FAIL, SKIP)
                        if self.count(result)) or "nothing"
        late = [case for case, (_, comment, _) in self.seen.items() if comment == SECOND]
        if late:
            yield f"passed {SECOND}: {', '.join(late)}"
        reasons = {}
        for case, (result, comment, said) in self.seen.items():
            if result != PASS:
                wanted = self.expectation.of(case)
                reason = (wanted[1] if wanted and result == wanted[0]
                          else self.why(comment, said).strip(" ()"))
                reasons.setdefault((result, reason), []).append(case)
        for (result, reason), cases in reasons.items():
            some = ", ".join(cases[:4]) + (f" and {len(cases) - 4} more" if cases[4:] else "")
            yield f"{result}: {some}: {reason}"
