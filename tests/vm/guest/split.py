# SPDX-License-Identifier: GPL-2.0
"""Header split and its threshold, which the guest's ethtool does not know yet."""

import socket
import struct

from guest.genl import Family, attribute

RINGS_GET, RINGS_SET = 15, 16
HEADER, DEV_INDEX = 1, 1
RX, SPLIT, THRESHOLD, THRESHOLD_MAX = 6, 11, 17, 18
AUTO, OFF, ON = 0, 1, 2


class Split:
    """Header split of a device as the user sees it."""

    def __init__(self, device):
        self.family = Family("ethtool")
        self.header = attribute(HEADER, [attribute(DEV_INDEX, socket.if_nametoindex(device))])

    def get(self):
        """Return (mode, threshold, largest threshold)."""
        said = self.family.ask(RINGS_GET, self.header)
        word = [struct.unpack("=I", said[key])[0] for key in (THRESHOLD, THRESHOLD_MAX)]
        return said[SPLIT][0], *word

    def set(self, mode=None, threshold=None, rx=None):
        """Change what is given."""
        what = []
        if mode is not None:
            what.append(attribute(SPLIT, bytes([mode])))
        if threshold is not None:
            what.append(attribute(THRESHOLD, threshold))
        if rx is not None:
            what.append(attribute(RX, rx))
        self.family.ask(RINGS_SET, self.header, *what)

    def close(self):
        """Let go of the connection."""
        self.family.close()


def split_of(rig):
    """Return the device's header split; the case's end sets it back."""
    split = Split(rig.device)
    rig.defer(split.close)
    rig.defer(split.set, AUTO, 0)
    return split
