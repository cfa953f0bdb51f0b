# SPDX-License-Identifier: GPL-2.0
"""Ring sizes and channels, changed under traffic."""

import re

from guest.counters import change, need_reflow, per_queue, read
from guest.harness import case, check, equal
from guest.net import DUT, PEER
from guest.traffic import bulk, streaming

SMALLEST = {"rx": 64, "rx-mini": 128, "rx-jumbo": 16, "tx": 64}
RINGS = {"RX": "rx", "RX Mini": "rx-mini", "RX Jumbo": "rx-jumbo", "TX": "tx"}


def _sizes(rig):
    """Return the largest and the present size of each ring."""
    parts = rig.run(DUT, "ethtool", "-g", rig.device).split("Current hardware settings:")
    return [{key: int(re.search(rf"^{name}:\s+(\d+)", part, re.M)[1])
             for name, key in RINGS.items()} for part in parts]


def _set(rig, **sizes):
    words = [word for key, size in sizes.items() for word in (key.replace("_", "-"), str(size))]
    rig.run(DUT, "ethtool", "-G", rig.device, *words)



def _keep(rig):
    now = _sizes(rig)[1]
    rig.defer(lambda: _set(rig, **{key.replace("-", "_"): size for key, size in now.items()}))


def _channels(rig):
    said = rig.run(DUT, "ethtool", "-l", rig.device).split("Current hardware settings:")[1]
    return int(re.search(r"Combined:\s+(\d+)", said)[1])


def _set_channels(rig, count):
    rig.run(DUT, "ethtool", "-L", rig.device, "combined", str(count))


@case(limit=40)
def every_size_works(rig):
    """The smallest and the largest rings carry streams both ways; odd sizes are rounded up."""
    need_reflow(rig)
    _keep(rig)
    most = _sizes(rig)[0]
    for sizes in (SMALLEST, most):
        _set(rig, **{key.replace("-", "_"): size for key, size in sizes.items()})
        now = _sizes(rig)[1]
        for key, size in sizes.items():
            equal(f"{key} as asked for", now[key], size)
        rig.echo(PEER, 4, count=2)
        bulk(rig, PEER, 4, flows=4, size=1 << 18)
        bulk(rig, DUT, 6, size=1 << 18)
    _set(rig, rx=100, tx=100)
    now = _sizes(rig)[1]
    equal("rings of 100 entries, rounded up", (now["rx"], now["tx"]), (128, 128))


@case(limit=25)
def long_packets_fit_the_smallest(rig):
    """With the smallest rings the longest packets arrive, on any queue."""
    need_reflow(rig)
    _keep(rig)
    rig.set_mtu(9000)
    _set(rig, rx=64, rx_mini=128, rx_jumbo=16, tx=64)
    for version in (4, 6):
        rig.echo(PEER, version, count=20, size=8900)
    bulk(rig, PEER, 4, flows=8, size=1 << 18)


@case(limit=20)
def sizes_survive_going_down(rig):
    """Sizes set while the interface is down are in force when it comes up."""
    need_reflow(rig)
    _keep(rig)
    rig.defer(rig.bring_up)
    rig.ip(DUT, f"link set {rig.device} down")
    _set(rig, rx=256, rx_jumbo=64, tx=128)
    rig.bring_up()
    now = _sizes(rig)[1]
    equal("sizes", (now["rx"], now["rx-jumbo"], now["tx"]), (256, 64, 128))
    bulk(rig, PEER, 4, flows=2, size=1 << 18)


@case(limit=20)
def nothing_is_left_after_a_refusal(rig):
    """A ring that is too small, or too large, is refused with a reason, and nothing changes."""
    need_reflow(rig)
    before = _sizes(rig)[1]
    for words in (*((ring, str(size - 1)) for ring, size in SMALLEST.items()),
                  ("rx", "0"), ("tx", "0"), ("rx-jumbo", "0"), ("rx", "16384")):
        done = rig.run(DUT, "ethtool", "-G", rig.device, *words, may_fail=True)
        check(done.returncode != 0, f"`ethtool -G {' '.join(words)}` was accepted")
    done = rig.run(DUT, "ethtool", "-G", rig.device, "rx", "0", may_fail=True)
    check("too small" in done.stderr, f"no reason is given: {done.stderr}")
    equal("sizes", _sizes(rig)[1], before)
    rig.echo(PEER, 4)


def _page(rig):
    """Return the bytes of a buffer for payload."""
    said = rig.run(DUT, "ethtool", "-g", rig.device).split("Current hardware settings:")[1]
    return int(re.search(r"^RX Buf Len:\s+(\d+)", said, re.M)[1])


@case(limit=90)
def buffers_of_every_length(rig):
    """Payload comes in buffers of 4, 8 and 16 KiB, also after a reset; another length, or more of
    them than a queue may have, is refused with a reason."""
    need_reflow(rig)
    _keep(rig)
    usual = _page(rig)
    equal("usual length", usual, 16384)
    rig.defer(lambda: _set(rig, rx_buf_len=usual))
    for page in (4096, 8192, usual):
        _set(rig, rx_buf_len=page)
        rig.run(DUT, "ethtool", "--reset", rig.device, "all")
        equal("length after a reset", _page(rig), page)
        bulk(rig, PEER, 4, flows=4, size=1 << 18)
        bulk(rig, PEER, 6, size=1 << 20)
    for length in ("1", "2048", "6144", "32768", "4294967295"):
        done = rig.run(DUT, "ethtool", "-G", rig.device, "rx-buf-len", length, may_fail=True)
        check(done.returncode != 0, f"buffers of {length} bytes were accepted")
        check("4096, 8192 or 16384" in done.stderr, f"no reason is given: {done.stderr}")
    equal("length", _page(rig), usual)
    # Whoever asks for more buffers and not for their length has smaller ones.
    _set(rig, rx_jumbo=8192)
    equal("length of many", _page(rig), 4096)
    done = rig.run(DUT, "ethtool", "-G", rig.device, "rx-buf-len", "8192", may_fail=True)
    check("32 MiB" in done.stderr, f"no reason is given: {done.stderr}")
    _set(rig, rx_jumbo=512)
    equal("length", _page(rig), usual)


@case(limit=60)
def resized_under_traffic(rig):
    """Rings are resized while a stream runs; its content stays right."""
    need_reflow(rig)
    _keep(rig)
    stream = streaming(rig, PEER, 4, flows=4, size=1 << 20, limit=50)
    usual = _page(rig)
    rig.defer(lambda: _set(rig, rx_buf_len=usual))
    for rx, jumbo, tx, page in ((64, 32, 64, 4096), (4096, 1024, 1024, 16384),
                                (128, 16, 256, 8192), (2048, 512, 512, 16384)):
        _set(rig, rx=rx, rx_jumbo=jumbo, tx=tx, rx_buf_len=page)
    stream.finish(50)
    rig.echo(PEER, 4)


@case(claims=(32, 38), limit=60)
def channels_change_under_traffic(rig):
    """Channels change while streams run; all flows go to existing queues."""
    need_reflow(rig)
    count = _channels(rig)
    if count < 2:
        return
    rig.defer(_set_channels, rig, count)
    stream = streaming(rig, PEER, 4, flows=8, size=1 << 18, limit=50)
    for now in (1, count, 2, count - 1):
        _set_channels(rig, now)
        equal("channels", _channels(rig), now)
    stream.finish(50)
    _set_channels(rig, 1)
    before = read(rig)
    bulk(rig, PEER, 4, flows=8, size=1 << 16)
    packets = per_queue(rig, change(before, read(rig)), "rx", "packets")
    check(packets[0] > 0, "nothing came on the one queue that is left")
    equal("packets on queues that are off", sum(packets[1:]), 0)
