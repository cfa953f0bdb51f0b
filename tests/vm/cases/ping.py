# SPDX-License-Identifier: GPL-2.0
"""ICMP echo over both IP versions."""

from guest.harness import case, check
from guest.net import DUT, PEER

SIZES = (1, 10, 18, 19, 56, 100, 511, 1452, 1472, 1473, 4000, 20000, 65000)


def _all_sizes(rig, version):
    for side in (DUT, PEER):
        for size in SIZES:
            rig.echo(side, version, size=size, count=2)


@case(claims=(1, 8, 27, 31, 40, 48), limit=25)
def v4(rig):
    """Echoes of all sizes over IPv4, fragmented where they must be."""
    _all_sizes(rig, 4)


@case(limit=25)
def v6(rig):
    """Echoes of all sizes over IPv6, fragmented where they must be."""
    _all_sizes(rig, 6)


# Each answer triggers the next request: as fast as it goes, and any frame that
# waits for another's interrupt shows as one that is missing.
@case(claims=(27, 40), limit=30)
def flood_v4(rig):
    """A flood of echoes over IPv4 loses none."""
    rig.echo(PEER, 4, count=1500)
    rig.echo(DUT, 4, count=500, size=1400)


@case(limit=30)
def flood_v6(rig):
    """A flood of echoes over IPv6 loses none."""
    rig.echo(PEER, 6, count=1000)
    rig.echo(DUT, 6, count=300, size=1400)


@case(limit=20)
def flood_fragmented(rig):
    """A flood of echoes of six fragments each loses none."""
    rig.echo(PEER, 4, count=150, size=8000)


@case(claims=(27, 40), limit=15)
def lone_packet_is_not_held(rig):
    """A single packet is answered at once, without waiting for another."""
    took = rig.echo(PEER, 4, count=10, gap=0.15)
    check(min(took) < 0.05, f"the quickest of ten lone echoes took {1000 * min(took):.0f} ms")
