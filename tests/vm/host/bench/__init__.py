# SPDX-License-Identifier: GPL-2.0
"""make bench: instructions of the guest's kernel per packet received or sent.

The other end of the wire is a program on the host, and the counter a plugin of
the emulator (tests/bench): what is counted is the guest's work and nothing
else, and the same frames reach whatever NIC it has.
"""
