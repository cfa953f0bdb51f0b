# SPDX-License-Identifier: GPL-2.0
"""Results of the kernel's own tests, compared with what is expected of them."""

import os
import tempfile
import unittest

from host import expected

TABLE = {"file": "drivers/net/queues.py", "pass": "known"}
OUTPUT = "TAP version 13\n1..3\n{} 1 queues.a\n{} 2 queues.b\nok 3 queues.c # SKIP no need\n"


class Compared(unittest.TestCase):
    """One driver of a device beside another."""

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = place.name

    def output(self, name, *results):
        """Write the output of a run in which the first two cases ended so; return its path."""
        os.makedirs(os.path.join(self.place, name))
        path = os.path.join(self.place, name, "selftests.queues.tap")
        with open(path, "w", encoding="utf-8") as text:
            text.write(OUTPUT.format(*results))
        return path

    def test_what_passes_there_is_to_pass_here(self):
        """A case that fails with both drivers is no complaint; one that fails with ours is."""
        self.output("theirs", "ok", "not ok")
        entry = expected.Comparison(TABLE, os.path.join(self.place, "theirs"))
        good = expected.Verdict(entry, self.output("same", "ok", "not ok"))
        self.assertEqual(good.complaints, [])
        bad = expected.Verdict(entry, self.output("worse", "not ok", "ok"))
        self.assertEqual(bad.complaints, ["a: expected pass, ended with fail"])

    def test_without_a_peer_any_result_will_do(self):
        """The driver that others are compared with passes if it reports cases."""
        entry = expected.Comparison(TABLE, None)
        verdict = expected.Verdict(entry, self.output("first", "not ok", "ok"))
        self.assertEqual((verdict.complaints, verdict.count(expected.PASS)), ([], 1))
        self.assertTrue(expected.Verdict(entry, "/nonexistent").complaints)
