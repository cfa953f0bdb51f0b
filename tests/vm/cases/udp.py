# SPDX-License-Identifier: GPL-2.0
"""UDP, whole and in fragments."""

from guest.harness import case
from guest.net import DUT, PEER
from guest.traffic import datagrams

WHOLE = (1, 2, 17, 18, 19, 63, 64, 200, 255, 256, 257, 511, 512, 1000, 1023, 1024, 1451, 1452)
FRAGMENTED = (1473, 2961, 5000, 9001, 20000, 60000)


@case(claims=(13, 19, 33, 58), limit=15)
def receive(rig):
    """Datagrams of all small sizes arrive, both families."""
    datagrams(rig, PEER, 4, WHOLE)
    datagrams(rig, PEER, 6, WHOLE)


@case(limit=15)
def send(rig):
    """Datagrams of all small sizes go out, both families."""
    datagrams(rig, DUT, 4, WHOLE)
    datagrams(rig, DUT, 6, WHOLE)


@case(claims=(1,), limit=15)
def fragments_receive(rig):
    """Datagrams in up to 41 fragments arrive, both families."""
    datagrams(rig, PEER, 4, FRAGMENTED, window=1)
    datagrams(rig, PEER, 6, FRAGMENTED, window=1)


@case(limit=15)
def fragments_send(rig):
    """Datagrams in up to 41 fragments go out, both families."""
    datagrams(rig, DUT, 4, FRAGMENTED, window=1)
    datagrams(rig, DUT, 6, FRAGMENTED, window=1)
