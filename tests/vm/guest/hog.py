# SPDX-License-Identifier: GPL-2.0
"""A process that takes nearly all memory of the guest.

It follows what is free: it takes more while there is some and gives a little back before the
kernel would have to kill somebody.
"""

import contextlib
import mmap
import subprocess
import sys
import time

# KiB that it leaves free, and a step of its own.
LEAST, MOST, STEP = 8 << 10, 16 << 10, 2 << 10
READY = b"ready\n"


def available():
    """Return the KiB that the kernel reports as available."""
    with open("/proc/meminfo", encoding="ascii") as text:
        for line in text:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1])
    raise OSError("/proc/meminfo does not say what is available")


def _take(kib):
    area = mmap.mmap(-1, kib << 10, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, kib << 10, mmap.PAGESIZE):
        area[at] = 1
    return area


def main():
    """Hold memory until killed."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("1000")
    held, said = [], False
    while True:
        free = available()
        if free > MOST + (64 << 10):
            held.append(_take(free - MOST - (48 << 10)))
        elif free > MOST:
            held.append(_take(STEP))
        else:
            if not said:
                said = True
                sys.stdout.buffer.write(READY)
                sys.stdout.flush()
            if free < LEAST and held:
                held.pop().close()
            time.sleep(0.002)


@contextlib.contextmanager
def hogged():
    """Run a function while there is hardly any memory."""
    hog = subprocess.Popen([sys.executable, "-S", __file__], stdout=subprocess.PIPE)
    try:
        if hog.stdout.readline() != READY:
            raise OSError("the process that is to take all memory has ended")
        yield hog
    finally:
        hog.kill()
        hog.wait()


if __name__ == "__main__":
    main()
