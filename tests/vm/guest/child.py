# SPDX-License-Identifier: GPL-2.0
"""A child process that is killed in the middle of its work."""

import mmap
import os
import signal
import traceback

from guest.harness import check, until

# Numbers in memory shared with the child; there is one child at a time.
WORDS = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")[:8]


class Child:
    """Runs `func(words, *args)` in a process that shares some numbers with us."""

    def __init__(self, func, *args):
        self.words = WORDS
        for which in range(len(WORDS)):
            WORDS[which] = 0
        self.said, mouth = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(mouth, func, args)
        os.close(mouth)
        self.status = None

    def _live(self, mouth, func, args):
        """Run in the child; never return into the harness."""
        try:
            func(self.words, *args)
        except BaseException as why:  # any error is reported to the parent
            where = traceback.extract_tb(why.__traceback__)[-1]
            text = f"{type(why).__name__}: {why} ({os.path.basename(where.filename)}:{where.lineno})"
            os.write(mouth, text.encode())
            os._exit(1)
        os._exit(0)

    def _ended(self, options=0):
        if self.status is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.status = status
        return self.status is not None

    def _complaint(self):
        return os.read(self.said, 4096).decode() or f"status {self.status}"

    def alive(self):
        """Fail the case if the child has ended by itself."""
        check(not self._ended(os.WNOHANG),
              f"the receiver ended before its time: {self._complaint() if self.status else ''}")
        return True

    def wait_for(self, what, word, limit=10):
        """Wait until a shared number is not 0; fail if the child ends first."""
        until(what, lambda: self.alive() and self.words[word], limit, interval=0.002)

    def kill(self):
        """Kill the child, which must have been alive."""
        self.alive()
        os.kill(self.pid, signal.SIGKILL)
        self._ended()
        self._close()

    def finish(self):
        """Wait until the child ends; it must have found no error."""
        self._ended()
        check(self.status == 0, f"the receiver failed: {self._complaint() if self.status else ''}")
        self._close()

    def end(self):
        """Kill the child if it still runs."""
        if self.said is None:
            return
        if not self._ended(os.WNOHANG):
            os.kill(self.pid, signal.SIGKILL)
            self._ended()
        self._close()

    def _close(self):
        os.close(self.said)
        self.said = None
