# SPDX-License-Identifier: GPL-2.0
"""The pages of Documentation/: what they include and name is there, and nothing is left out."""

import glob
import os
import re
import subprocess
import unittest

from host.qemu import PROJECT

PAGES = os.path.join(PROJECT, "Documentation")
MAP = os.path.join(PAGES, "tests.rst")
# Where the map's names begin.
ROOTS = ("hw-model/crates/device/tests", "hw-model/crates/device/tests/arrival",
         "hw-model/crates/device", "hw-model/crates/server/tests/wire_level", "tests/vm/cases",
         "hw-model/crates", "")
# Files of tests, but for those that only list others.
TESTS = ("hw-model/crates/*/tests/**/*.rs", "tests/vm/cases/*.py", "tests/runner/*.py")
LISTS = ("main.rs", "__init__.py")


def pages():
    """Return {path: text} of all pages."""
    found = {}
    for path in sorted(glob.glob(f"{PAGES}/**/*.rst", recursive=True)):
        with open(path, encoding="utf-8") as text:
            found[os.path.relpath(path, PROJECT)] = text.read()
    return found


def read(path):
    """Return the text of a file."""
    with open(path, encoding="utf-8") as text:
        return text.read()


class Pages(unittest.TestCase):
    """All pages."""

    def test_included_code_is_there(self):
        """Each literalinclude names a file, and lines that it has."""
        for page, text in pages().items():
            for found in re.finditer(r"^\.\. literalinclude:: (\S+)\n((?:   :.*\n)*)", text, re.M):
                path = os.path.join(PROJECT, os.path.dirname(page), found[1])
                self.assertTrue(os.path.isfile(path), f"{page}: {found[1]}")
                for option, words in re.findall(r":(start-a[a-z]+|end-before): (.*)", found[2]):
                    self.assertIn(words, read(path), f"{page}: {option} of {found[1]}")
                for first in re.findall(r":lines: (\d+)", found[2]):
                    self.assertLess(int(first), read(path).count("\n"), f"{page}: {found[1]}")

    def test_links_lead_somewhere(self):
        """Each :doc: names a page."""
        for page, text in pages().items():
            for target in re.findall(r":doc:`(?:[^`<]*<)?([^`>]+)>?`", text):
                path = os.path.join(PROJECT, os.path.dirname(page), f"{target}.rst")
                self.assertTrue(os.path.isfile(path), f"{page}: {target}")

    def test_each_page_is_in_a_table_of_contents(self):
        """No page is left out of the indices."""
        listed = {"Documentation/index.rst"}
        for page, text in pages().items():
            for block in re.findall(r"\.\. toctree::\n(?:   :.*\n)*\n((?:   \S+\n)+)", text):
                folder = os.path.dirname(page)
                listed |= {os.path.normpath(f"{folder}/{name}.rst") for name in block.split()}
        self.assertEqual(set(pages()) - listed, set())

    def test_plain_sentences(self):
        """No heading and no sentence begins with "What"; generated pages are the source's."""
        for page, text in pages().items():
            if ".. Generated from" not in text:
                self.assertEqual(re.findall(r"(?:^|\. |\* )(What .*)", text, re.M), [], page)

    def test_lists_of_modules_are_up_to_date(self):
        """The architecture page lists every crate and module."""
        done = subprocess.run([os.path.join(PROJECT, "scripts/rooms"), "--check"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class MapOfTests(unittest.TestCase):
    """The page that says where a behaviour is tested."""

    def setUp(self):
        names = re.findall(r"``([\w./]+\.(?:rs|py))``", read(MAP))
        self.named = {}
        for name in names:
            self.named[name] = [path for path in (os.path.join(PROJECT, root, name)
                                                  for root in ROOTS) if os.path.isfile(path)]

    def test_what_it_names_is_there(self):
        """Each name is that of a file."""
        self.assertEqual([name for name, paths in self.named.items()
                          if not paths and name != "tests.rs"], [])

    def test_every_file_is_named(self):
        """Each file of tests is in a table."""
        named = {os.path.realpath(path) for paths in self.named.values() for path in paths}
        found = {os.path.realpath(path) for pattern in TESTS
                 for path in glob.glob(os.path.join(PROJECT, pattern), recursive=True)
                 if os.path.basename(path) not in LISTS}
        self.assertEqual([os.path.relpath(path, PROJECT) for path in sorted(found - named)], [])


if __name__ == "__main__":
    unittest.main()
