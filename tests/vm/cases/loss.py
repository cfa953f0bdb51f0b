# SPDX-License-Identifier: GPL-2.0
"""Every lost packet is counted: all frames from the wire are accounted for."""

import errno
import glob
import os

from guest import bpf
from guest.counters import DEVICE_DROPS, HANDED_OVER, change, need_reflow, per_queue, read
from guest.frames import LOCAL_EXPERIMENT, ethernet
from guest.harness import case, check, equal, until
from guest.net import DUT, PEER
from guest.pools import device_stats
from guest.traffic import Flood, bulk

# Counters of which exactly one counts each frame from the wire.
FATES = DEVICE_DROPS + (HANDED_OVER,)
DRIVER_DROPS = ("drop_nomem", "drop_bad_completion", "drop_orphan", "xdp_aborted")
# Frames that were not wanted, and so are not lost.
UNWANTED = ("hw_rx_filtered", "hw_rx_rule_drop", "hw_rx_mac_control")


def _quiet(rig):
    """Return the counters once they do not change, those of `ip -s` included."""
    last = {}

    def still():
        now = read(rig)
        now |= {f"ip_{name}": value for name, value in rig.totals(DUT).items()}
        now |= {f"queues_{name}": value for name, value in device_stats(rig).items()}
        same = all(now[name] == last.get(name) for name in now
                   if name.startswith(("hw_rx", "ip_rx")) or name.endswith("_skbs"))
        last.update(now)
        return same
    until("the counters to stand still", still, limit=20)
    return last


def _account(rig, before, after):
    """Check that all frames in between are counted; return the changes."""
    moved = change(before, after)
    left = moved["hw_rx_frames"] - sum(moved[name] for name in FATES)
    # Packets that wait in the packet memory of a queue without buffers are not lost yet.
    equal("frames from the wire without a fate", left, 0)

    def total(name):
        return sum(per_queue(rig, moved, "rx", name))
    equal("packets that the driver took, and those that went down with a queue",
          total("packets") + total("drop_down"), moved["hw_rx_transferred"])
    equal("frames from the wire by `ip -s`",
          sum(moved[f"ip_rx_{name}"] for name in ("packets", "dropped", "errors")),
          moved["hw_rx_frames"] - sum(moved[name] for name in UNWANTED))
    for what in ("packets", "bytes"):
        equal(f"{what} by the queues' statistics", moved[f"queues_rx-{what}"],
              moved[f"ip_rx_{what}"])
    up = total("skbs") - total("hw_gro_packets") + total("hw_gro_wire_packets")
    up += sum(total(f"xdp_{verdict}") for verdict in ("drop", "tx", "tx_full", "redirect"))
    drops = sum(total(name) for name in DRIVER_DROPS)
    equal("packets handed up by `ip -s`", moved["ip_rx_packets"], up)
    equal("packets handed up and packets dropped", up + drops, total("packets"))
    return moved


@case(claims=(8,), limit=30)
def traffic_is_accounted_for(rig):
    """Streams, floods of UDP and frames to others: each frame is counted once."""
    need_reflow(rig)
    before = _quiet(rig)
    bulk(rig, PEER, 4, flows=8, size=1 << 18)
    flood = Flood(rig, PEER)
    bulk(rig, PEER, 6, size=1 << 18)
    check(flood.stop() > 0, "nothing of the flood arrived")
    _account(rig, before, _quiet(rig))


@case(claims=(8,), limit=30)
def dropped_is_not_received(rig):
    """Packets that the driver drops are not counted as received, in packets or bytes."""
    need_reflow(rig)
    program = bpf.Program(bpf.finish(bpf.only(LOCAL_EXPERIMENT).leave(bpf.ABORTED)))
    rig.defer(program.close)
    rig.defer(bpf.detach, rig.device)
    bpf.attach(rig.device, program)
    rig.wait_link()
    rig.echo(PEER, 4)
    before = _quiet(rig)
    with rig.raw(PEER) as wire:
        for _ in range(40):
            wire.send(ethernet(rig.mac, rig.peer_mac, LOCAL_EXPERIMENT, bytes(1000)))
    rig.echo(PEER, 4, count=3)
    moved = _account(rig, before, _quiet(rig))
    equal("packets that the program failed on", sum(per_queue(rig, moved, "rx", "xdp_aborted")), 40)
    equal("bytes that were not received", sum(per_queue(rig, moved, "rx", "bytes"))
          - moved["ip_rx_bytes"], 40 * 1014)
    equal("drops that `ip -s` shows", moved["ip_rx_dropped"], 40)


@case(limit=40)
def attaching_is_accounted_for(rig):
    """Packets that come while an XDP program is attached or channels change are counted."""
    need_reflow(rig)
    program = bpf.Program(bpf.Code().leave(bpf.PASS))
    rig.defer(program.close)
    rig.defer(bpf.detach, rig.device)
    rig.defer(rig.run, DUT, "ethtool", "-L", rig.device, "combined", str(rig.queues))
    before = _quiet(rig)
    flood = Flood(rig, PEER)
    for queues in (1, rig.queues):
        bpf.attach(rig.device, program)
        rig.run(DUT, "ethtool", "-L", rig.device, "combined", str(queues))
        bpf.detach(rig.device)
    flood.stop()
    moved = _account(rig, before, _quiet(rig))
    check(sum(per_queue(rig, moved, "rx", "packets")) > 0, "nothing arrived in between")


@case(limit=40)
def going_down_is_accounted_for(rig):
    """Packets in flight while queues are replaced are counted."""
    need_reflow(rig)
    before = _quiet(rig)
    flood = Flood(rig, PEER)
    for size in (256, 2048, 256, 2048):
        rig.run(DUT, "ethtool", "-G", rig.device, "rx", str(size))
    flood.stop()
    moved = _account(rig, before, _quiet(rig))
    check(sum(per_queue(rig, moved, "rx", "packets")) > 0, "nothing arrived in between")


def _switch(rig, name, value):
    bus = os.path.basename(os.path.realpath(f"/sys/class/net/{rig.device}/device"))
    if not glob.glob("/sys/kernel/debug/reflow"):
        rig.run(DUT, "mount", "-t", "debugfs", "none", "/sys/kernel/debug", may_fail=True)
    with open(f"/sys/kernel/debug/reflow/{bus}/{name}", "w", encoding="ascii") as knob:
        knob.write(value)


@case(limit=10)
def a_switch_takes_no_nonsense(rig):
    """A switch in debugfs takes the kernel's words for yes and no, and refuses others."""
    need_reflow(rig)
    rig.defer(_switch, rig, "fail_pages", "N")
    for word in ("xxxxxxxxxx", "9999999999", "", "-1"):
        try:
            _switch(rig, "fail_pages", word)
        except OSError as why:
            equal(f"the error for {word!r}", why.errno, errno.EINVAL)
        else:
            # Python does not write what is empty.
            check(not word, f"the switch took {word!r}")
    for word in ("Y", "0", "on", "N"):
        _switch(rig, "fail_pages", word)


def _level(rig):
    """Return the level of the packet memory as a fraction."""
    def value(name):
        with open(f"/sys/class/net/{rig.device}/reflow/{name}", encoding="ascii") as file:
            return int(file.read())
    return value("pm_level") / value("pm_size")


@case(limit=60)
def no_large_pages_cost_no_packet(rig):
    """Without memory for large pages the queues have small ones, and large ones afterwards."""
    need_reflow(rig)
    rig.defer(_switch, rig, "fail_large_pages", "N")
    before = read(rig)
    for word in ("Y", "N"):
        _switch(rig, "fail_large_pages", word)
        for flows in (1, 8):
            bulk(rig, PEER, 4, flows=flows, size=(16 << 20) // flows, limit=50)
    told = change(before, read(rig))
    check(sum(per_queue(rig, told, "rx", "alloc_small")) > 0, "no small page was taken instead")
    equal("packets dropped for want of memory", sum(per_queue(rig, told, "rx", "drop_nomem")), 0)
    equal("completions that made no sense",
          sum(per_queue(rig, told, "rx", "drop_bad_completion")), 0)
    after = read(rig)
    bulk(rig, PEER, 4, size=4 << 20, limit=50)
    told = change(after, read(rig))
    equal("large pages that could not be had", sum(per_queue(rig, told, "rx", "alloc_small")), 0)


@case(claims=(8,), limit=60)
def no_memory_stalls_no_queue(rig):
    """Without pages packets wait in the device; all arrive once there are pages."""
    need_reflow(rig)
    before = _quiet(rig)
    rig.defer(_switch, rig, "fail_pages", "N")
    _switch(rig, "fail_pages", "Y")
    flood = Flood(rig, PEER)
    try:
        until("packets to wait for pages", lambda: _level(rig) > 0.4, limit=40)
        waiting = change(before, read(rig))
        check(sum(per_queue(rig, waiting, "rx", "alloc_fail")) > 0, "no allocation failed")
        check(sum(per_queue(rig, waiting, "rx", "hw_no_buffer")) > 0, "no queue was out of pages")
    finally:
        flood.stop()
    _switch(rig, "fail_pages", "N")
    rig.echo(PEER, 4, count=3)
    bulk(rig, PEER, 4, flows=8, size=1 << 18)
    moved = _account(rig, before, _quiet(rig))
    sent_up = sum(per_queue(rig, moved, "rx", "packets"))
    then_up = sum(per_queue(rig, waiting, "rx", "packets"))
    check(sent_up > then_up, "what waited for pages never came")
    equal("packets waiting in the end", _level(rig), 0)
