# SPDX-License-Identifier: GPL-2.0
"""The choice of tests by name, the same for all kinds."""

import re

KINDS = ("runner", "host", "wire", "vm", "selftests")
# A single colon: two of them are part of a Rust path.
COLON = re.compile(r"(?<!:):(?!:)")


class Choice:
    """Tests whose full names hold one of the words of PATTERN: "tcp" or "vm.tcp,host.merging"."""

    def __init__(self, pattern=""):
        words, *only = COLON.split(pattern, maxsplit=1)
        self.words = words.split(",")
        self.only = only    # of one of the kernel's tests: a pattern of its cases

    def __call__(self, name):
        return any(word in name for word in self.words)

    def everything(self):
        """Return whether there is nothing to choose."""
        return "" in self.words

    def may_be_in(self, kind):
        """Return whether tests of a kind may be chosen: it takes a build to know for sure."""
        heads = (word.partition(".")[0] for word in self.words)
        return any(head == kind or head not in KINDS for head in heads)
