# SPDX-License-Identifier: GPL-2.0
"""The cases, one file a subject, from the simple to the rough."""

SUBJECTS = (
    "ping",
    "ethtool",
    "rings",
    "tcp",
    "segment",
    "udp",
    "flows",
    "queues",
    "loss",
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
    "life",
)
