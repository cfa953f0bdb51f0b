# SPDX-License-Identifier: GPL-2.0
"""The cases of the guest: found without an entry anywhere, and in any order."""

import ast
import glob
import os
import sys
import tempfile
import unittest
from unittest import mock

import cases
from guest import harness, main
from host import guests

CASE = '''
from guest.harness import case

ALARMS = True


@case(claims=(2, 1))
def says_nothing(_rig):
    """A case for a test."""
'''


class Found(unittest.TestCase):
    """Files of cases."""

    def test_new_file_is_found(self):
        """A new file's cases are there, with the flags of the file."""
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.dict(harness.CASES), mock.patch.dict(sys.modules), \
                mock.patch.object(cases, "__path__", [*cases.__path__, folder]):
            with open(os.path.join(folder, "brandnew.py"), "w", encoding="utf-8") as out:
                out.write(CASE)
            found = main.load_cases()["brandnew.says_nothing"]
        self.assertEqual((found.claims, found.flags), ([1, 2], {"ALARMS"}))

    def test_each_file_has_cases(self):
        """Each file in tests/vm/cases has at least one case."""
        subjects = {case.subject for case in guests.all_cases().values()}
        files = {name.removesuffix(".py") for name in os.listdir(cases.__path__[0])
                 if name.endswith(".py") and name != "__init__.py"}
        self.assertEqual(subjects, files)

    def test_each_case_says_what_it_is_about(self):
        """Each case has a sentence for --list."""
        self.assertEqual([name for name, case in guests.all_cases().items() if not case.about], [])


class Order(unittest.TestCase):
    """The order of cases."""

    def test_shuffled_by_the_seed(self):
        """A seed gives another order of the same cases, each time the same one."""
        found = guests.all_cases()
        self.assertEqual(sorted(guests.in_order(found, 1)), sorted(found))
        self.assertEqual(guests.in_order(found, 1), guests.in_order(found, 1))
        self.assertNotEqual(guests.in_order(found, 1), guests.in_order(found, 2))

    def test_what_ends_a_run_comes_last(self):
        """Cases that end the machine or the run are behind all others, shuffled or not."""
        found = guests.all_cases()
        last = [name for name, case in found.items() if case.last]
        self.assertIn("sleep.halt", last)
        self.assertIn("debug.leaks", last)
        for seed in (None, 1, 2):
            self.assertEqual(guests.in_order(found, seed)[-len(last):], last)

    def test_files_share_no_state(self):
        """No case assigns a global, by which a later one would depend on it."""
        for path in sorted(glob.glob(f"{cases.__path__[0]}/*.py")):
            with open(path, encoding="utf-8") as text:
                tree = ast.parse(text.read())
            for node in ast.walk(tree):
                self.assertNotIsInstance(node, ast.Global, path)


class Again(unittest.TestCase):
    """Cases that fail and are run once more."""

    class Fails(guests.GuestRun):
        """A run whose cases end as a list says, boot after boot."""

        def __init__(self, boots, again=True):
            self.seen = []
            report = mock.Mock(add=lambda name, result, *_: self.seen.append((name, result)))
            super().__init__(report, mock.Mock(run_dir="/nowhere"), boots[0], {}, again=again)
            self.plan = boots

        def _one_boot(self, machine):
            for name, (result, final) in self.plan.pop(0).items():
                self._ended({"test": name, "result": result, "reason": "", "seconds": 0,
                             "final": final}, machine)

    def ended(self, *boots, again=True):
        """Return what a run reports of the cases that end so."""
        made = self.Fails(list(boots), again)
        machine = mock.MagicMock()
        machine.return_value.__enter__.return_value.ask_status.return_value = {}
        with mock.patch.object(guests, "Machine", machine):
            made.run()
        self.assertEqual(made.plan, [])
        return [result for _, result in made.seen]

    def test_second_run_decides(self):
        """A failure is run once more, and that result counts."""
        for second in ("pass", "fail"):
            self.assertEqual(self.ended({"a": ("fail", False), "b": ("pass", False)},
                                        {"a": (second, False)}), ["again", "pass", second])

    def test_report_of_the_kernel_is_final(self):
        """A failure that the kernel reports is not tried again."""
        self.assertEqual(self.ended({"a": ("fail", True)}), ["fail"])

    def test_many_failures_are_no_accident(self):
        """Only so many cases are run again; without the option, none."""
        many = {name: ("fail", False) for name in "abcde"}
        self.assertEqual(self.ended(many, {name: ("pass", False) for name in "abc"}),
                         ["again"] * 3 + ["fail"] * 2 + ["pass"] * 3)
        self.assertEqual(self.ended(many, again=False), ["fail"] * 5)
