# SPDX-License-Identifier: GPL-2.0
"""Echo: the shortest way through everything."""

import re

from guest.harness import case, equal, until
from guest.net import DUT, PEER

SIZES = (10, 56, 100, 511, 1472, 1473, 4000, 20000, 65000)


def _lost(printed):
    return int(re.search(r"(\d+) packets transmitted, (\d+) received", printed)[1]) - int(
        re.search(r"(\d+) received", printed)[1])


def _all_sizes(rig, version):
    for size in SIZES:
        printed = rig.ping(DUT, version, "-q", "-c", "3", "-i", "0.01", "-W", "3", "-s", str(size))
        equal(f"lost echoes of {size} bytes over IPv{version}", _lost(printed), 0)


@case(claims=(1, 8, 27, 31, 40, 48), limit=25)
def v4(rig):
    """Echoes of all sizes over IPv4, fragmented where they must be."""
    _all_sizes(rig, 4)


@case(limit=25)
def v6(rig):
    """Echoes of all sizes over IPv6, fragmented where they must be."""
    _all_sizes(rig, 6)


def _flood(rig, side, version, count, size):
    # Each answer triggers the next request: as fast as it goes, and any frame
    # that waits for another's interrupt shows as a loss or as a stall.
    printed = rig.ping(side, version, "-f", "-q", "-c", str(count), "-s", str(size), "-W", "3",
                       limit=20)
    equal(f"lost echoes of a flood of {size} bytes over IPv{version}", _lost(printed), 0)


@case(claims=(27, 40), limit=30)
def flood_v4(rig):
    """A flood of echoes over IPv4 loses none."""
    _flood(rig, PEER, 4, 1500, 56)
    _flood(rig, DUT, 4, 500, 1400)


@case(limit=30)
def flood_v6(rig):
    """A flood of echoes over IPv6 loses none."""
    _flood(rig, PEER, 6, 1000, 56)
    _flood(rig, DUT, 6, 300, 1400)


@case(limit=20)
def flood_fragmented(rig):
    """A flood of echoes of six fragments each loses none."""
    _flood(rig, PEER, 4, 150, 8000)


@case(claims=(27, 40), limit=15)
def lone_packet_is_not_held(rig):
    """A packet with nothing behind it is answered at once, not by the next one."""
    printed = rig.ping(PEER, 4, "-c", "8", "-i", "0.2", "-W", "1")
    equal("lost lone echoes", _lost(printed), 0)
    best = float(re.search(r"= ([\d.]+)/", printed)[1])
    until(f"a round trip below 50 ms (best was {best} ms)", lambda: best < 50, limit=0)
