# SPDX-License-Identifier: GPL-2.0
"""The cases, one file a subject, from the simple to the rough."""

SUBJECTS = (
    "ping",
    "ethtool",
    "rings",
    "tcp",
    "segment",
    "udp",
    "transmit",
    "flows",
    "queues",
    "loss",
    "pages",
    "zerocopy",
    "split",
    "steering",
    "observe",
    "parser",
    "red",
    "settings",
    "tcb",
    "session",
    "mtu",
    "vlan",
    "xdp",
    "filter",
    "odd",
    "geometry",
    "napi",
    "forward",
    "life",
    "lifecycle",
    "recovery",
    "hostile",
    "endurance",
    "sleep",
    "nomemory",
    "debug",
)

# These sleep, which the guest's shared files do not outlive: they run in a machine of their own.
ASLEEP = ("sleep",)
