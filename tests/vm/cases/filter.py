# SPDX-License-Identifier: GPL-2.0
"""The MAC filter."""

import time

from guest.frames import LOCAL_EXPERIMENT, ethernet
from guest.harness import at_rest, case, check, equal, until
from guest.net import DUT, PEER, modprobe
from guest.traffic import InBackground

OTHER = "02:00:5e:10:00:77"
BROADCAST = "ff:ff:ff:ff:ff:ff"
GROUP, STRANGER = "01:00:5e:00:00:51", "01:00:5e:00:00:52"
MARK = b"frame of the test"
NUMBERED = b"numbered frame"


def _arrives(rig, dst, size=100):
    """Send a frame to `dst`; return whether it passed the filter, unchanged."""
    with rig.raw(DUT, LOCAL_EXPERIMENT) as sniffer, rig.raw(PEER) as wire:
        payload = MARK + bytes(n & 255 for n in range(size - 14 - len(MARK)))
        wire.send(ethernet(dst, rig.peer_mac, LOCAL_EXPERIMENT, payload))
        # Followed by a frame to the station address: once that is here, the other would be.
        wire.send(ethernet(rig.mac, rig.peer_mac, LOCAL_EXPERIMENT, b"last"))
        found = False
        while True:
            got = sniffer.recv(20000)
            if got[14:18] == b"last":
                return found
            if got[14:14 + len(MARK)] == MARK:
                equal("a frame's content", got, ethernet(dst, rig.peer_mac, LOCAL_EXPERIMENT,
                                                         payload))
                found = True


def _comes_to(rig, dst, arrives):
    """Wait until frames to `dst` arrive, or do not: the kernel sets the filter a little later."""
    said = "arrive" if arrives else "be refused"
    until(f"frames to {dst} to {said}", lambda: _arrives(rig, dst) == arrives)


@case(claims=(1, 48), limit=10)
def ours(rig):
    """Frames to the station address arrive unchanged, at all sizes."""
    for size in (60, 61, 64, 65, 127, 128, 255, 256, 257, 511, 512, 1000, 1500, 1514):
        check(_arrives(rig, rig.mac, size), f"a frame of {size} bytes to us did not arrive")


@case(limit=10)
def broadcast(rig):
    """Broadcast frames arrive."""
    check(_arrives(rig, BROADCAST), "a broadcast frame did not arrive")


@case(limit=10)
def other_unicast(rig):
    """Frames to another address arrive in promiscuous mode only."""
    check(not _arrives(rig, OTHER), "a frame to another address was received")
    rig.defer(rig.ip, DUT, f"link set {rig.device} promisc off")
    rig.ip(DUT, f"link set {rig.device} promisc on")
    _comes_to(rig, OTHER, True)
    rig.ip(DUT, f"link set {rig.device} promisc off")
    _comes_to(rig, OTHER, False)


@case(limit=15)
def multicast(rig):
    """Multicast frames arrive for the groups joined, and only while joined."""
    check(not _arrives(rig, STRANGER), "a frame to a group never joined was received")
    with rig.raw(DUT) as member:
        rig.join(member, GROUP)
        _comes_to(rig, GROUP, True)
        # While the table changes, frames of every group may pass.
        _comes_to(rig, STRANGER, False)
    _comes_to(rig, GROUP, False)


@case(limit=60)
def no_group_suffers_from_others(rig):
    """A joined group loses no frame while other groups are joined and left."""
    others = [f"01:00:5e:02:00:{n:02x}" for n in range(40)]
    count = 300

    def come_and_go():
        for turn in range(12):
            with rig.raw(DUT) as member:
                for group in others[turn % 7::2]:
                    rig.join(member, group)
    with rig.raw(DUT) as early:
        for group in others[::3]:
            rig.join(early, group)
        with rig.raw(DUT, LOCAL_EXPERIMENT) as sniffer, rig.raw(PEER) as wire:
            rig.join(sniffer, GROUP)
            _comes_to(rig, GROUP, True)
            early.close()
            job = InBackground(come_and_go)
            for number in range(count):
                wire.send(ethernet(GROUP, rig.peer_mac, LOCAL_EXPERIMENT,
                                   NUMBERED + number.to_bytes(4, "big")))
                # One at a time, so that only the filter can drop it.
                sniffer.settimeout(10)
                while (got := sniffer.recv(2000))[14:14 + len(NUMBERED)] != NUMBERED:
                    pass
                at = 14 + len(NUMBERED)
                equal("the frame received", int.from_bytes(got[at:at + 4], "big"), number)
            job.finish(40)


@case(limit=10)
def all_multicast(rig):
    """With allmulticast frames of every group arrive."""
    rig.defer(rig.ip, DUT, f"link set {rig.device} allmulticast off")
    rig.ip(DUT, f"link set {rig.device} allmulticast on")
    _comes_to(rig, STRANGER, True)


@case(limit=20)
def many_groups(rig):
    """Three hundred groups, more than any filter table holds, all arrive."""
    groups = [f"01:00:5e:01:{n >> 8:02x}:{n & 255:02x}" for n in range(300)]
    with rig.raw(DUT) as member:
        for group in groups:
            rig.join(member, group)
        for group in groups[::50] + groups[-1:]:
            _comes_to(rig, group, True)
    _comes_to(rig, STRANGER, False)


@case(limit=20)
def second_unicast(rig):
    """A macvlan's own address arrives without the device turning promiscuous."""
    modprobe("macvlan")
    rig.defer(rig.ip, DUT, "link del mv0")
    rig.ip(DUT, f"link add link {rig.device} name mv0 address {OTHER} type macvlan mode bridge",
           "link set mv0 up")
    _comes_to(rig, OTHER, True)


@case(limit=20)
def address_change(rig):
    """A new MAC address takes effect at once; frames to the old one are filtered."""
    def assign(address):
        rig.ip(DUT, f"link set {rig.device} address {address}")
        rig.forget_neighbours()
    rig.defer(assign, rig.mac)
    assign(OTHER)
    equal("the address reported", rig.link(DUT)["address"], OTHER)
    rig.echo(PEER, 4, count=2)
    with rig.raw(DUT, LOCAL_EXPERIMENT) as sniffer, rig.raw(PEER) as wire:
        for dst, mark in ((rig.mac, b"old address"), (OTHER, b"new address")):
            wire.send(ethernet(dst, rig.peer_mac, LOCAL_EXPERIMENT, mark))
        equal("the first frame received", sniffer.recv(100)[14:25], b"new address")
    assign(rig.mac)
    rig.echo(PEER, 6, count=2)


@case(limit=10)
def bad_address_is_refused(rig):
    """A multicast or zero address is refused."""
    for address in ("01:00:5e:00:00:01", "00:00:00:00:00:00"):
        done = rig.run(DUT, "ip", "link", "set", rig.device, "address", address, may_fail=True)
        check(done.returncode != 0, f"{address} was accepted as the interface's address")
    equal("the address reported", rig.link(DUT)["address"], rig.mac)


@case(limit=15)
def silence(rig):
    """No frame arrives that was not sent."""
    rig.echo(PEER, 4)

    def counts():
        return rig.totals(DUT)["rx_packets"], rig.totals(PEER)["tx_packets"]
    before = at_rest(counts)
    time.sleep(1.5)
    after = at_rest(counts)
    equal("frames received beyond those sent", after[0] - before[0], after[1] - before[1])
