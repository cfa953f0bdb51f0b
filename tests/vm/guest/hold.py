# SPDX-License-Identifier: GPL-2.0
"""Keep the driver from polling, so that packets wait in the device's packet memory."""

import contextlib
import time

from guest.device import number
from guest.frames import IPV4, UDP, ethernet, ipv4, udp
from guest.harness import Waiting, check
from guest.net import ADDRESS, DUT, PEER, SYS_NET

# Addresses that the guest does not have: the device takes their frames for
# what they are, and no answer of the stack comes in between.
ELSEWHERE = {4: "192.0.2.77", 6: "2001:db8::77"}


@contextlib.contextmanager
def held(rig, seconds):
    """Keep the driver from looking at its queues for a while, once it has looked again.

    The kernel leaves interrupts off after each poll, and polls by a timer; the
    device fills what buffers it has, and then its packet memory. Whoever leaves
    waits until the timer has fired.
    """
    # Sent packets are not cleaned up meanwhile; the core's watchdog fires after ten seconds.
    seconds = min(seconds * Waiting.scale, 9)
    knobs = {"napi_defer_hard_irqs": "1000000",
             "gro_flush_timeout": str(int(seconds * 1_000_000_000))}

    def write(values):
        for name, text in values.items():
            with open(f"{SYS_NET}/{rig.device}/{name}", "w", encoding="ascii") as knob:
                knob.write(text)

    free = {name: "0" for name in knobs}
    rig.defer(write, free)
    write(knobs)
    begun = time.monotonic()
    yield
    write(free)
    time.sleep(max(0, begun + seconds - time.monotonic()))


def one_queue(rig):
    """Have all packets go to queue 0, so that they wait for the same buffers."""
    rig.defer(rig.run, DUT, "ethtool", "-X", rig.device, "default")
    rig.run(DUT, "ethtool", "-X", rig.device, "equal", "1")


def datagram(rig, size, port=9):
    """Return the frame of a UDP datagram for nobody."""
    src, dst = ADDRESS[PEER, 4], ELSEWHERE[4]
    return ethernet(rig.mac, rig.peer_mac, IPV4,
                    ipv4(src, dst, UDP, udp(src, dst, port, 9, bytes(size))))


def fill(rig, wire, level=20000):
    """Send datagrams until so many bytes wait because the host gives no buffers.

    The first one has the queue polled, and the hold begins.
    """
    wire.send(datagram(rig, 20))
    time.sleep(0.2)
    frame = datagram(rig, 1400)
    for _ in range(100):
        for _ in range(20):
            wire.send(frame)
        time.sleep(0.01)
        if number(rig, "pm_level") > level:
            break
    else:
        check(False, "2000 datagrams without polling, and the device still has buffers")
    before = -1
    while before != (before := number(rig, "pm_level")):
        time.sleep(0.05)
