# SPDX-License-Identifier: GPL-2.0
"""tests/run --list and -k: every test has a name, and can be chosen by it."""

import contextlib
import io
import unittest

from host import cargo, tests
from host.choice import KINDS, Choice


class Listed(unittest.TestCase):
    """All kinds of tests."""

    def test_names_every_kind(self):
        """--list names tests of each kind, each once."""
        found = [name for name, _, _ in tests.all_tests(Choice())]
        self.assertEqual({name.partition(".")[0] for name in found}, set(KINDS))
        self.assertEqual(len(found), len(set(found)))

    def test_chooses_among_every_kind(self):
        """-k with the full name of a test, or a part of it, finds it whatever its kind."""
        found = [name for name, _, _ in tests.all_tests(Choice())]
        for kind in KINDS:
            name = next(name for name in found if name.startswith(f"{kind}."))
            self.assertIn(name, [each for each in found if Choice(name)(each)])
            self.assertTrue(Choice(name[2:])(name))
            self.assertTrue(Choice(name).may_be_in(kind))

    def test_prints_the_chosen(self):
        """--list with -k prints these and no others."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            tests.list_tests(Choice("vm.ping."))
        names = [line.split("\t")[0] for line in out.getvalue().splitlines()]
        self.assertIn("vm.ping.v4", names)
        self.assertTrue(all(name.startswith("vm.ping.") for name in names))


class Chosen(unittest.TestCase):
    """The meaning of PATTERN."""

    def test_one_of_several_words(self):
        """A,B chooses what holds A or B."""
        choice = Choice("vm.tcp,host.merging")
        self.assertTrue(choice("vm.tcp.bulk") and choice("host.merging.rules::ids"))
        self.assertFalse(choice("vm.udp.send"))

    def test_paths_of_rust(self):
        """A path with double colons is no choice among the cases of a program."""
        self.assertTrue(Choice("rules::ids")("host.merging.rules::ids"))
        self.assertEqual(Choice("rules::ids").only, [])
        self.assertEqual(Choice("gro:test.hw_*").only, ["test.hw_*"])

    def test_what_needs_no_build(self):
        """The name of a case of the guest is not looked for among the tests that cargo builds."""
        self.assertFalse(Choice("vm.tcp").may_be_in("host"))
        self.assertTrue(Choice("tcp").may_be_in("host"))


class OfCargo(unittest.TestCase):
    """Parsing the output of cargo."""

    LIST = """\
     Running unittests src/lib.rs (/t/debug/deps/reflow_device-0123abcd)
pm::tests::fills: test

1 test, 0 benchmarks
     Running tests/merging/main.rs (/t/debug/deps/merging-89ef)
rules::ids: test
pm::tests::fills: test
   Doc-tests reflow_device
src/lib.rs - Device (line 3): test
"""

    def test_names_of_a_list(self):
        """Names are those that results have: suite, binary, path."""
        self.assertEqual(list(cargo.parse_list("host", self.LIST.split("\n"))), [
            "host.reflow_device.pm::tests::fills", "host.merging.rules::ids",
            "host.merging.pm::tests::fills",
            "host.reflow_device.doc.src/lib.rs - Device (line 3)"])

    def test_only_the_chosen_are_reported(self):
        """libtest knows no binary: a test of another one with the same path is left out."""
        lines = self.LIST.replace(": test\n", " ... ok\n").replace("pm", "test pm")
        report = Collected()
        cargo.CargoRun(report, "host", ["printf", "%s", lines],
                       Choice("host.merging.pm::tests::fills")).run()
        self.assertEqual(report.names, ["host.merging.pm::tests::fills"])


class Collected:
    """A report that keeps names only."""

    def __init__(self):
        self.names = []

    def add(self, name, *_, **__):
        """Note one result."""
        self.names.append(name)
