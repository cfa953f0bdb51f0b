# SPDX-License-Identifier: GPL-2.0
"""ethtool: information, counters, settings."""

import re
import socket
import time

from guest.counters import change, need_reflow, opcodes, per_queue, read
from guest.harness import Waiting, case, check, equal
from guest.net import ADDRESS, DUT, PEER
from guest.traffic import bulk

# Datagrams that a comparison of interrupts takes.
LONE = 64


def _ask(rig, *words):
    return rig.run(DUT, "ethtool", *words, rig.device)


@case(claims=(31, 48), limit=10)
def driver_info(rig):
    """-i names the driver and the PCI function."""
    said = _ask(rig, "-i")
    equal("driver", re.search(r"^driver: (\S+)", said, re.M)[1], rig.driver)
    check(re.search(r"^bus-info: [0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d$", said, re.M),
          f"no PCI address in: {said}")


@case(limit=10)
def statistics(rig):
    """-S shows counters of every queue and operation code, and they increase."""
    need_reflow(rig)
    before = read(rig)
    for direction in ("rx", "tx"):
        for what in ("packets", "bytes"):
            per_queue(rig, before, direction, what)
    per_queue(rig, before, "rx", "skbs")
    opcodes(rig, before)
    rig.echo(PEER, 4, count=5)
    after = read(rig)
    grown = sum(per_queue(rig, change(before, after), "rx", "packets"))
    check(grown >= 5, f"five echoes moved the queues' counters by {grown}")


@case(claims=(32, 38), limit=10)
def channels(rig):
    """-l shows one combined channel for each queue."""
    need_reflow(rig)
    current = _ask(rig, "-l").split("Current hardware settings:")[1]
    equal("combined channels", int(re.search(r"Combined:\s+(\d+)", current)[1]), rig.queues)


@case(limit=10)
def rings(rig):
    """-g shows rings that are not empty and not above their maximum."""
    said = _ask(rig, "-g").split("Current hardware settings:")
    for name in ("RX", "TX"):
        most, now = (int(re.search(rf"^{name}:\s+(\d+)", part, re.M)[1]) for part in said)
        check(0 < now <= most, f"{name} ring of {now}, maximum {most}")


@case(limit=10)
def features(rig):
    """-k shows the offloads that the device has."""
    said = _ask(rig, "-k")
    wanted = {"rx-checksumming": "on", "tx-checksumming": "on", "scatter-gather": "on"}
    for name, state in wanted.items():
        match = re.search(rf"^{name}: (\w+)", said, re.M)
        check(match and match[1] == state, f"{name} is {match and match[1]}, not {state}")


@case(claims=(27, 40), limit=10)
def coalescing(rig):
    """-c answers with a moderation of at most some hundred microseconds."""
    said = rig.run(DUT, "ethtool", "-c", rig.device, may_fail=True)
    if said.returncode and not rig.is_reflow:
        return
    match = re.search(r"^rx-usecs:\s+(\d+)", said.stdout, re.M)
    check(match and int(match[1]) <= 1000, f"rx-usecs is {match and match[1]}")


def _interrupts_of(rig, *setting):
    """Return how many interrupts lone datagrams take, 5 ms apart at least."""
    rig.run(DUT, "ethtool", "-C", rig.device, *setting)
    sink = rig.socket(DUT, socket.AF_INET, socket.SOCK_DGRAM)
    out = rig.socket(PEER, socket.AF_INET, socket.SOCK_DGRAM)
    with sink, out:
        sink.bind((ADDRESS[DUT, 4], 0))
        sink.settimeout(3 * Waiting.scale)
        out.connect(sink.getsockname())
        before = read(rig)["hw_interrupts"]
        for _ in range(LONE):
            out.send(bytes(64))
            time.sleep(0.005)
        for _ in range(LONE):
            sink.recv(64)
        return read(rig)["hw_interrupts"] - before


@case(claims=(27, 40), limit=30)
def moderation(rig):
    """Moderation lowers the number of interrupts; adaptive moderation delays no lone packet."""
    need_reflow(rig)
    rig.defer(rig.run, DUT, "ethtool", "-C", rig.device, "rx-usecs", "8", "rx-frames", "32",
              "adaptive-rx", "off")
    at_once = _interrupts_of(rig, "rx-usecs", "0", "rx-frames", "1", "adaptive-rx", "off")
    patient = _interrupts_of(rig, "rx-usecs", "65535", "rx-frames", "0")
    check(patient < at_once, f"{patient} interrupts when they may wait, {at_once} when not")
    adaptive = _interrupts_of(rig, "adaptive-rx", "on")
    check(adaptive > patient, f"{adaptive} adaptive interrupts, {patient} that only wait")


def _interrupts_of_sent(rig):
    """Return how many interrupts lone datagrams to send take, 5 ms apart at least."""
    with rig.socket(DUT, socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((ADDRESS[PEER, 4], 9999))
        before = read(rig)["hw_interrupts"]
        for _ in range(LONE):
            out.send(bytes(64))
            time.sleep(0.005)
        return read(rig)["hw_interrupts"] - before


@case(claims=(27, 40), limit=40)
def moderation_of_sent(rig):
    """Transmit has a moderation of its own, also after a reset of the device."""
    need_reflow(rig)
    rig.defer(rig.run, DUT, "ethtool", "-C", rig.device, "tx-usecs", "250", "tx-frames", "64")
    sink = rig.socket(PEER, socket.AF_INET, socket.SOCK_DGRAM)
    rig.defer(sink.close)
    sink.bind((ADDRESS[PEER, 4], 9999))
    rig.run(DUT, "ethtool", "-C", rig.device, "tx-usecs", "0", "tx-frames", "1")
    at_once = _interrupts_of_sent(rig)
    rig.run(DUT, "ethtool", "-C", rig.device, "tx-usecs", "65535", "tx-frames", "0")
    patient = _interrupts_of_sent(rig)
    check(patient < at_once, f"{patient} interrupts when they may wait, {at_once} when not")
    rig.run(DUT, "ethtool", "--reset", rig.device, "dedicated")
    rig.echo(PEER, 4, count=1)
    patient = _interrupts_of_sent(rig)
    check(patient < at_once, f"{patient} interrupts after a reset, {at_once} without delay")


def _of_queue(rig, queue):
    """Return the moderation of a queue by name."""
    said = rig.run(DUT, "ethtool", "-Q", rig.device, "queue_mask", hex(1 << queue),
                   "--show-coalesce")
    return dict(re.findall(r"^([rt]x-(?:usecs|frames)):\s+(\d+)", said, re.M))


@case(claims=(27, 40), limit=20)
def moderation_of_a_queue(rig):
    """-Q sets the moderation of one queue, and is refused for one that there is not."""
    need_reflow(rig)
    usual = {"rx-usecs": "8", "rx-frames": "32", "tx-usecs": "250", "tx-frames": "64"}
    restore = [word for pair in usual.items() for word in pair]
    rig.defer(rig.run, DUT, "ethtool", "-C", rig.device, *restore)
    others = [queue for queue in range(rig.queues) if queue != 1]
    rig.run(DUT, "ethtool", "-Q", rig.device, "queue_mask", "0x2", "--coalesce",
            "rx-usecs", "70", "tx-usecs", "90", "tx-frames", "5")
    wanted = {"rx-usecs": "70", "rx-frames": "32", "tx-usecs": "90", "tx-frames": "5"}
    for _ in range(2):
        equal("moderation of queue 1", _of_queue(rig, 1), wanted)
        for queue in others:
            equal(f"moderation of queue {queue}", _of_queue(rig, queue), usual)
        rig.echo(PEER, 4, count=2)
        rig.run(DUT, "ethtool", "--reset", rig.device, "dedicated")
    for words in (("0x2", "--coalesce", "rx-usecs", "0", "rx-frames", "0"),
                  (hex(1 << 40), "--coalesce", "rx-usecs", "1")):
        done = rig.run(DUT, "ethtool", "-Q", rig.device, "queue_mask", *words, may_fail=True)
        # The tool ends with 0 all the same.
        check("Cannot" in done.stderr, f"`ethtool -Q {' '.join(words)}` was accepted")
    equal("moderation after refusals", _of_queue(rig, 1), wanted)


@case(limit=20)
def ranges_are_told(rig):
    """A value that makes no sense is refused with a message that says what does."""
    need_reflow(rig)
    before = _ask(rig, "-c")
    for words, why in ((("-C", "rx-usecs", "65536"), "rx-usecs must be at most 65535"),
                       (("-C", "rx-frames", "256"), "rx-frames must be at most 255"),
                       (("-C", "tx-usecs", "65536"), "tx-usecs must be at most 65535"),
                       (("-C", "tx-frames", "256"), "tx-frames must be at most 255"),
                       (("-C", "rx-usecs", "0", "rx-frames", "0"),
                        "rx-usecs and rx-frames cannot both be 0"),
                       (("-C", "tx-usecs", "0", "tx-frames", "0"),
                        "tx-usecs and tx-frames cannot both be 0"),
                       (("-G", "rx", "16"), "smallest rings"),
                       (("-G", "tx", "16384"), "exceeds maximum"),
                       (("-L", "combined", "33"), "exceeds maximum"),
                       (("-L", "combined", "0"), "no RX or TX channel")):
        done = rig.run(DUT, "ethtool", words[0], rig.device, *words[1:], may_fail=True)
        check(done.returncode and why in done.stderr,
              f"`ethtool {' '.join(words)}` ended with {done.returncode}: {done.stderr}")
    equal("moderation after refusals", _ask(rig, "-c"), before)


@case(limit=10)
def nonsense_is_refused(rig):
    """Invalid settings are refused or corrected, and the link keeps working."""
    for words in (("-L", "combined", "0"), ("-L", "combined", "5000")):
        done = rig.run(DUT, "ethtool", words[0], rig.device, *words[1:], may_fail=True)
        check(done.returncode != 0, f"`ethtool {' '.join(words)}` was accepted")
    usual = re.search(r"^RX:\s+(\d+)", _ask(rig, "-g").split("Current")[1], re.M)[1]
    rig.defer(lambda: rig.run(DUT, "ethtool", "-G", rig.device, "rx", usual,
                              may_fail=True))
    for size in ("0", "1", "4000000"):
        rig.run(DUT, "ethtool", "-G", rig.device, "rx", size, may_fail=True)
        rings(rig)
    rig.echo(PEER, 4, count=2)


@case(limit=20)
def checksum_offload_switch(rig):
    """Receiving and sending work with checksum offload off."""
    rig.defer(rig.run, DUT, "ethtool", "-K", rig.device, "rx", "on", "tx", "on")
    rig.run(DUT, "ethtool", "-K", rig.device, "rx", "off", "tx", "off")
    for side in (DUT, PEER):
        rig.echo(side, 6, count=2, size=1000)
    bulk(rig, PEER, 4, size=1 << 19)
    bulk(rig, DUT, 4, size=1 << 19)
