# SPDX-License-Identifier: GPL-2.0
"""The sample NIC and its driver, of Documentation/networking/rust-nic-tutorial.rst."""

from guest.harness import case, check, equal
from guest.net import DUT, PEER
from guest.traffic import bulk, streaming

DEVICE = "sample"


@case(limit=30)
def tcp(rig):
    """Echoes of both IP versions, and TCP both ways with its content checked."""
    for version in (4, 6):
        rig.echo(DUT, version, count=2, size=1400, whole=True)
        rig.echo(PEER, version, count=2)
    bulk(rig, PEER, 4, flows=4, size=1 << 17)
    bulk(rig, DUT, 6, flows=4, size=1 << 17)


@case(limit=30)
def up_and_down(rig):
    """Down and up under a stream, whose content stays right."""
    stream = streaming(rig, PEER, 4, flows=2, size=1 << 18, limit=25)
    for _ in range(3):
        rig.ip(DUT, f"link set {rig.device} down")
        rig.bring_up()
    stream.finish(25)


@case(limit=30)
def counts(rig):
    """ethtool -S and the interface count what was received."""
    def received():
        text = rig.run(DUT, "ethtool", "-S", rig.device)
        return int(text.split("rx_packets:")[1].split()[0])
    before = received()
    rig.echo(PEER, 4, count=20)
    check(received() - before >= 20, "echoes are missing in rx_packets")
    equal("packets of the interface", rig.totals(DUT)["rx_packets"] >= before, True)


@case(limit=40)
def reload(rig):
    """The module is unloaded and loaded, and works."""
    rig.unload()
    rig.load()
    rig.bring_up()
    bulk(rig, PEER, 4, size=1 << 17)
