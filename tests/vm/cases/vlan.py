# SPDX-License-Identifier: GPL-2.0
"""Tagged frames, with the kernel's own 8021q at both ends."""

from guest.counters import change, read
from guest.frames import IPV4, UDP, VLAN, ethernet, ipv4, udp
from guest.harness import case, check, equal
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest import traffic

import socket
import struct

OUTER = dict(ADDRESS)
TAGGED = {(DUT, 4): "198.51.100.1", (PEER, 4): "198.51.100.2",
          (DUT, 6): "2001:db8:100::1", (PEER, 6): "2001:db8:100::2"}


def tag_both_ends(rig, tag=100):
    """Move both ends into a VLAN until the case is over."""
    for side in (DUT, PEER):
        device = f"tag{tag}"
        rig.defer(rig.ip, side, f"link del {device}")
        rig.ip(side, f"link add link {rig.name(side)} name {device} type vlan id {tag}",
               f"link set {device} up", f"addr add {TAGGED[side, 4]}/24 dev {device}",
               f"addr add {TAGGED[side, 6]}/64 dev {device} nodad")
    rig.defer(ADDRESS.update, OUTER)
    ADDRESS.update(TAGGED)


@case(limit=20)
def echo(rig):
    """Echoes of full size through a VLAN, both families and directions."""
    tag_both_ends(rig)
    for side, version, size in ((DUT, 4, 1472), (PEER, 4, 1472), (DUT, 6, 1452), (PEER, 6, 1452)):
        rig.echo(side, version, count=2, size=size, whole=True)


@case(claims=(2,), limit=30)
def bulk(rig):
    """Bulk TCP through a VLAN, both families and directions."""
    tag_both_ends(rig)
    traffic.bulk(rig, PEER, 4, flows=4, size=1 << 19)
    traffic.bulk(rig, DUT, 4, flows=4, size=1 << 19)
    traffic.bulk(rig, PEER, 6, size=1 << 20)


@case(limit=30)
def beside_untagged(rig):
    """Tagged and untagged flows run at once and do not mix."""
    tag_both_ends(rig)
    tagged = traffic.InBackground(traffic.bulk, rig, PEER, 4, flows=4, size=1 << 19,
                                  address=TAGGED)
    traffic.bulk(rig, PEER, 4, flows=4, size=1 << 19, address=OUTER)
    tagged.finish(20)


@case(limit=30)
def in_service_tag(rig):
    """802.1Q in 802.1ad, MTU 1500 everywhere: full frames go both ways, and none is a giant."""
    for side in (DUT, PEER):
        rig.defer(rig.ip, side, "link del service")
        rig.ip(side, f"link add link {rig.name(side)} name service type vlan proto 802.1ad id 20",
               "link add link service name customer type vlan id 30",
               "link set service up", "link set customer up",
               f"addr add {TAGGED[side, 4]}/24 dev customer",
               f"addr add {TAGGED[side, 6]}/64 dev customer nodad")
    rig.defer(ADDRESS.update, OUTER)
    ADDRESS.update(TAGGED)
    before = read(rig)
    for side, version, size in ((DUT, 4, 1472), (PEER, 4, 1472), (DUT, 6, 1452), (PEER, 6, 1452)):
        rig.echo(side, version, count=2, size=size, whole=True)
    for side in (DUT, PEER):
        traffic.bulk(rig, side, 4, flows=2, size=1 << 19)
    if rig.is_reflow:
        seen = change(before, read(rig))
        equal("giants and frames not sent",
              (seen["hw_rx_giants"], seen["hw_tx_errors"]), (0, 0))


@case(limit=15)
def wrong_tag_is_not_ours(rig):
    """A frame with another tag reaches neither the VLAN's nor the plain socket."""
    tag_both_ends(rig)
    with rig.socket(DUT, FAMILY[4], socket.SOCK_DGRAM) as sink, rig.raw(PEER) as wire:
        sink.bind(("", 0))
        sink.settimeout(0.5)
        port = sink.getsockname()[1]
        for tag, arrives in ((100, True), (101, False), (100, True)):
            packet = ipv4(TAGGED[PEER, 4], TAGGED[DUT, 4], UDP,
                          udp(TAGGED[PEER, 4], TAGGED[DUT, 4], 9, port, b"tagged"))
            wire.send(ethernet(rig.mac, rig.peer_mac, VLAN,
                               struct.pack("!HH", tag, IPV4) + packet))
            try:
                got = sink.recv(100) == b"tagged"
            except TimeoutError:
                got = False
            check(got == arrives, f"a datagram tagged {tag} was {'' if got else 'not '}received")
