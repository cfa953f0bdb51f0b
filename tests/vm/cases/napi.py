# SPDX-License-Identifier: GPL-2.0
"""When packets are handed up, and every way in which the kernel may ask for them."""

from cases.geometry import Watch, base, expect, prepare, row
from guest.counters import change, need_reflow, per_queue, read
from guest.harness import case, check, equal
from guest.net import DUT, PEER
from guest.traffic import bulk, datagrams


def _knob(rig, path, value):
    """Set a file of the kernel until the case is over."""
    with open(path, encoding="ascii") as knob:
        before = knob.read().strip()
    rig.defer(_write, path, before)
    _write(path, value)


def _write(path, value):
    with open(path, "w", encoding="ascii") as knob:
        knob.write(value)


def _device_knob(rig, name, value):
    _knob(rig, f"/sys/class/net/{rig.device}/{name}", value)


def _traffic(rig):
    """More packets than the ring has completions, all contents checked."""
    datagrams(rig, PEER, 4, [200, 1400] * 1250, window=16)
    bulk(rig, PEER, 4, flows=2, size=1 << 19)
    rig.echo(PEER, 6, count=3)


@case(claims=(20, 22, 27, 40, 56, 62), limit=40)
def a_burst_is_handed_up_once(rig):
    """Segments that come while the interrupt waits are one packet, with one interrupt."""
    prepare(rig)
    watch = Watch(rig)
    before, fired = read(rig), sum(map(sum, rig.interrupts().values()))
    expect(watch, "a burst", row(base(4), *[1000] * 12), [12000])
    stats = change(before, read(rig))
    fired = sum(map(sum, rig.interrupts().values())) - fired
    sent = sum(per_queue(rig, stats, "rx", "packets"))
    # For the burst, for its end, and for what we answer; again if the window was too short.
    check(fired <= 5 * -(-sent // 13), f"{fired} interrupts for {sent} packets")


@case(claims=(22, 27, 40, 56), limit=40)
def a_lone_packet_waits_for_nothing(rig):
    """Without moderation each segment is handed up as it comes, none is held for another."""
    prepare(rig)
    rig.run(DUT, "ethtool", "-C", rig.device, "rx-usecs", "0", "rx-frames", "0")
    watch = Watch(rig)
    for number in range(5):
        watch.send([base(4, ports=(40000, 8000)).data(100 * number, 100)])
        seen = watch.next_from((40000, 8000))
        equal("bytes that came before the next was sent", len(seen.payload), 100)


@case(limit=60)
def threaded(rig):
    """Polling in a kernel thread."""
    need_reflow(rig)
    _device_knob(rig, "threaded", "1")
    _traffic(rig)


@case(claims=(27, 40), limit=60)
def deferred_interrupts(rig):
    """Interrupts put off by napi_defer_hard_irqs, polls by the timer of gro_flush_timeout."""
    need_reflow(rig)
    _device_knob(rig, "gro_flush_timeout", "200000")
    _device_knob(rig, "napi_defer_hard_irqs", "100")
    _traffic(rig)


@case(limit=60)
def busy_polling(rig):
    """Sockets that poll the device themselves."""
    need_reflow(rig)
    for name in ("busy_read", "busy_poll"):
        _knob(rig, f"/proc/sys/net/core/{name}", "50")
    _traffic(rig)


@case(limit=60)
def busy_polling_preferred(rig):
    """The same with interrupts put off for as long as somebody polls."""
    need_reflow(rig)
    for name in ("busy_read", "busy_poll"):
        _knob(rig, f"/proc/sys/net/core/{name}", "50")
    _device_knob(rig, "gro_flush_timeout", "2000000")
    _device_knob(rig, "napi_defer_hard_irqs", "100")
    _traffic(rig)
