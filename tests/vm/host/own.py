# SPDX-License-Identifier: GPL-2.0
"""The runner's own tests: unittest's, in tests/runner, reported as the others are."""

import os
import time
import unittest

from host import qemu
from host.report import FAIL, PASS, SKIP

PLACE = os.path.join(qemu.PROJECT, "tests/runner")


def _flat(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _flat(each)
        else:
            yield each


def _load():
    loader = unittest.TestLoader()
    found = {}
    for test in _flat(loader.discover(PLACE, pattern="test_*.py")):
        words = test.id().split(".")
        found[f"runner.{words[0].removeprefix('test_')}.{words[-1].removeprefix('test_')}"] = test
    return found


def names():
    """Return {full name: its doc string}."""
    return {name: test.shortDescription() or "" for name, test in _load().items()}


def run(report, choice):
    """Run the chosen ones."""
    for name, test in _load().items():
        if not choice(name):
            continue
        result = unittest.TestResult()
        begun = time.monotonic()
        test.run(result)
        bad = result.failures + result.errors
        ended = FAIL if bad else SKIP if result.skipped else PASS
        reason = bad[0][1] if bad else result.skipped[0][1] if result.skipped else ""
        report.add(name, ended, time.monotonic() - begun, reason)
