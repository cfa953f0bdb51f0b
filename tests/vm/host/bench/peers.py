# SPDX-License-Identifier: GPL-2.0
"""The NICs that can be measured: a table."""

import dataclasses

from host import qemu

# QEMU's lose what does not fit into their rings.
LARGE_RING = "ethtool -G $dev rx 4096"
# QEMU's vmxnet3 merges nothing by itself, but hands up what came merged.
LRO = "ethtool -K $dev lro on"
# Of these the guest sets the number of queues.
QUEUES = "ethtool -L $dev combined {queues}"


@dataclasses.dataclass(frozen=True)
class Peer:
    """A NIC, and how it is set up."""

    # Of qemu.DUTS.
    dut: str
    # Commands in the guest; $dev is the interface.
    settings: tuple = ()
    # The source sends it frames of 64 KiB instead of bursts.
    giants: bool = False
    # More than one queue is not to be had.
    single: bool = False
    # Payload comes in pages of its own.
    pages: bool = False

    def commands(self, queues):
        """Return the commands for so many queues."""
        return [command.format(queues=queues) for command in self.settings
                if queues > 1 or command != QUEUES]

    def fits(self, workload):
        """Return whether the workload can be measured."""
        if self.giants:
            return workload.mode == "bulk" and workload.setup == "plain"
        return self.pages or workload.setup != "pages"


PEERS = {
    "reflow": Peer("reflow", pages=True),
    "igb": Peer("igb", (LARGE_RING, QUEUES)),
    "igb-rs": Peer("igb-rs", (LARGE_RING, QUEUES)),
    "e1000e": Peer("e1000e", (LARGE_RING,), single=True),
    "vmxnet3-lro": Peer("vmxnet3", (LARGE_RING, LRO), single=True),
    "vmxnet3-64k": Peer("vmxnet3", (LARGE_RING, LRO), giants=True, single=True),
    "virtio": Peer("virtio", single=True),
    "virtio-64k": Peer("virtio", giants=True, single=True),
}
assert all(peer.dut in qemu.DUTS for peer in PEERS.values())


@dataclasses.dataclass(frozen=True)
class Size:
    """Queues of the NIC and CPUs of the guest."""

    queues: int = 1
    cpus: int = 1

    @staticmethod
    def parse(text):
        """Read "QUEUESxCPUS"; ValueError if it is not that, or more than can be had."""
        queues, _, cpus = text.partition("x")
        size = Size(int(queues), int(cpus))
        if not (1 <= size.queues <= 8 and 1 <= size.cpus <= 8):
            raise ValueError(f"{text}: 1 to 8 queues and CPUs")
        return size

    def name(self, peer):
        """Return the name of a peer of this size."""
        return peer if self == Size() else f"{peer}-{self.queues}q{self.cpus}c"
