# SPDX-License-Identifier: GPL-2.0
"""Checks that only a debug kernel has, at the end of each run."""

import os
import time

from guest.harness import case, check
from guest.net import SYS_NET

KMEMLEAK = "/sys/kernel/debug/kmemleak"
LOCKDEP = "/proc/lockdep_stats"
DMA_OFF = "/sys/kernel/debug/dma-api/disabled"
# kmemleak reports no object that is younger than this, in s.
YOUNGEST = 5


def _restore(rig):
    if not os.path.exists(f"{SYS_NET}/{rig.device}"):
        rig.load()
        rig.bring_up()


@case(limit=10, debug=True, last=True, each_run=True)
def locks_watched(_rig):
    """lockdep, which stops at its first report, still works."""
    with open(LOCKDEP, encoding="ascii") as text:
        words = dict(line.rsplit(":", 1) for line in text if ":" in line)
    state = {name.strip(): value.strip() for name, value in words.items()}
    check(state.get("debug_locks") == "1",
          "lockdep went silent with the first report of this run; nothing behind that was checked")


@case(limit=10, debug=True, last=True, each_run=True)
def dma_watched(_rig):
    """The checks of the DMA API, which stop without memory, still work."""
    with open(DMA_OFF, encoding="ascii") as text:
        check(text.read().strip() == "N",
              "the checks of the DMA API ended in this run; nothing behind that was checked")


@case(limit=60, debug=True, last=True, each_run=True)
def leaks(rig):
    """After rmmod two scans of kmemleak find nothing."""
    rig.defer(_restore, rig)
    rig.unload()
    for _ in range(2):
        time.sleep(YOUNGEST + 1)
        with open(KMEMLEAK, "w", encoding="ascii") as knob:
            knob.write("scan")
    with open(KMEMLEAK, encoding="ascii", errors="replace") as text:
        found = text.read().split("unreferenced object")[1:]
    if found:
        path = os.path.join(rig.config["run_dir"], "kmemleak.txt")
        with open(path, "w", encoding="utf-8") as out:
            out.write("".join(f"unreferenced object{each}" for each in found))
    check(not found, f"{len(found)} objects that nobody refers to (kmemleak.txt):"
          + "".join(found[:3]))
