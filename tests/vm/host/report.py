# SPDX-License-Identifier: GPL-2.0
"""The results: one line a test, a file of JSON lines, and the totals."""

import json
import os
import sys

from host import qemu

PASS, FAIL, SKIP = "pass", "fail", "skip"
AGAIN = "again"   # failed, and is run once more
COLOURS = {PASS: "32", FAIL: "31", SKIP: "33", AGAIN: "33"}


class Report:
    """Collects results, prints them as they come."""

    def __init__(self, path=None):
        self.counts = {PASS: 0, FAIL: 0, SKIP: 0, AGAIN: 0}
        self.again = []
        self.path = path or os.path.join(qemu.PROJECT, "build/test-results.jsonl")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.log = open(self.path, "w", encoding="utf-8")

    def add(self, name, result, seconds=None, reason="", claims=(), side="device", log=None):
        """Note one result. `side` is what a claim needs a proof of: device or end-to-end."""
        self.counts[result] += 1
        if result == AGAIN:
            self.again.append(name)
        word = result.upper()
        if sys.stdout.isatty():
            word = f"\033[{COLOURS[result]}m{word}\033[0m"
        took = f"  {seconds:.1f} s" if seconds is not None else ""
        print(f"{word} {name}{took}{'  (' + reason + ')' if result == SKIP else ''}", flush=True)
        if result in (FAIL, AGAIN):
            for line in reason.split("\n"):
                print(f"     {line}")
            if log:
                print(f"     see {os.path.relpath(log, qemu.PROJECT)}", flush=True)
        self.log.write(json.dumps({"name": name, "claims": list(claims), "side": side,
                                   "result": result, "seconds": seconds, "reason": reason}) + "\n")
        self.log.flush()

    def note(self, text):
        """Print a remark."""
        print(f"-- {text}", flush=True)

    def finish(self):
        """Print the last line; return the exit status."""
        self.log.close()
        if self.counts[SKIP]:
            print(f"{self.counts[SKIP]} skipped")
        if self.again:
            print(f"{len(self.again)} unsteady, run twice: {', '.join(self.again)}")
        if self.counts[PASS] == self.counts[FAIL] == 0:
            print("no test was run")
            self.counts[FAIL] = 1
        print(f"{self.counts[PASS]} passed, {self.counts[FAIL]} failed", flush=True)
        return 1 if self.counts[FAIL] else 0
