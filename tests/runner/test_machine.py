# SPDX-License-Identifier: GPL-2.0
"""The virtual machine of the cases that sleep."""

import os
import tempfile
import types
import unittest
from unittest import mock

from host import machine


class Boots(unittest.TestCase):
    """A machine that is booted again."""

    def test_second_boot_of_a_machine_that_sleeps(self):
        """A lost guest is booted again: the files of the first boot are not in the way."""
        with tempfile.TemporaryDirectory() as folder:
            options = types.SimpleNamespace(
                dut="reflow", run_dir=folder, memory=1,
                initrd=lambda: os.path.join(folder, "initrd"))
            with mock.patch.object(machine.tempfile, "mkdtemp", return_value=folder), \
                    mock.patch.object(machine.subprocess, "run"), \
                    mock.patch.object(machine.socket, "socket"), \
                    mock.patch.object(machine.threading, "Thread"):
                for _ in range(2):
                    machine.Machine(options)._prepare_sleeps()
                    # As virtme-run does.
                    with open(options.initrd(), "xb"):
                        pass


if __name__ == "__main__":
    unittest.main()
