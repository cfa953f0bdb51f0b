# SPDX-License-Identifier: GPL-2.0
"""devlink information and parameters."""

from cases.observe import learn
from guest.counters import change, need_reflow, opcodes, read
from guest.device import (devlink, number, parameter, set_parameter, status, table, versions,
                          with_parameter)
from guest.harness import case, check, equal, until
from guest.net import DUT, PEER
from guest.traffic import bulk, streaming

MIB = 1 << 20


def _stream(rig, size=MIB, flows=1):
    """Send a stream; return the device's counters and the operation codes of it."""
    before, device = read(rig), status(rig)["counters"]
    bulk(rig, PEER, 4, size=size, flows=flows)
    return change(device, status(rig)["counters"]), opcodes(rig, change(before, read(rig)))


@case(claims=(31, 48), limit=10)
def information(rig):
    """devlink names the driver, the interface's version and the parser program."""
    need_reflow(rig)
    found = versions(rig)
    equal("fixed versions", list(found["fixed"]), ["interface"])
    check("fw.app" in found["running"] and "fw.app.crc" in found["running"],
          f"running versions: {found}")
    said = devlink(rig, "port", "show")
    check(f"netdev {rig.device}" in said, f"the port is not the interface: {said}")


@case(claims=(57,), limit=40)
def header_suppression(rig):
    """Without suppression the headers of each packet cross the bus, with it one per aggregate."""
    need_reflow(rig)
    with_parameter(rig, "header_suppression", "true")
    less, codes = _stream(rig)
    check(codes["append"] > codes["start"] > 0, f"little was put together: {codes}")
    set_parameter(rig, "header_suppression", "false")
    more, codes = _stream(rig)
    packets = sum(codes[name] for name in ("start", "append", "append_close", "close_start"))
    check(packets > MIB // 1448 * 0.9, f"data that took part: {codes}")
    check(more["hw_dma_header_bytes"] >= 54 * packets,
          f"{more['hw_dma_header_bytes']} bytes of headers for {packets} packets")
    check(less["hw_dma_header_bytes"] < more["hw_dma_header_bytes"] / 2,
          f"{less['hw_dma_header_bytes']} bytes of headers with suppression, "
          f"{more['hw_dma_header_bytes']} without")


@case(claims=(15,), limit=30)
def data_threshold(rig):
    """Data below the threshold is counted as small and not merged."""
    need_reflow(rig)
    with_parameter(rig, "data_threshold", 1449)
    _, codes = _stream(rig)
    equal("aggregates of packets below the threshold", codes["start"] + codes["append"], 0)
    check(codes["small"] > MIB // 1448 * 0.9, f"codes: {codes}")
    set_parameter(rig, "data_threshold", 1000)
    _, codes = _stream(rig)
    check(codes["append"] > codes["small"], f"codes above the threshold: {codes}")


@case(limit=30)
def aggregate_max(rig):
    """No aggregate is longer than the limit, here three segments of 1448 bytes."""
    need_reflow(rig)
    with_parameter(rig, "aggregate_max", 52 + 3 * 1448)
    _, codes = _stream(rig)
    begun = codes["start"] + codes["close_start"]
    added = codes["append"] + codes["append_close"]
    check(begun > 0 and added <= 2 * begun, f"codes: {codes}")
    done = set_parameter(rig, "aggregate_max", 70000, may_fail=True)
    check(done.returncode != 0 and "576 to 65535" in done.stderr, f"70000: {done.stderr}")


@case(limit=30)
def fresh_pages(rig):
    """Aggregates on fresh pages take more pages than packed ones; contents are right."""
    need_reflow(rig)
    with_parameter(rig, "fresh_pages", "true")
    _, codes = _stream(rig)
    check(codes["append"] > 0, f"codes: {codes}")
    bulk(rig, PEER, 6, flows=4, size=1 << 18)


@case(claims=(9,), limit=30)
def flow_ageing(rig):
    """A flow that is idle for longer than the limit is forgotten, one below is not."""
    need_reflow(rig)
    with_parameter(rig, "flow_age_us", 0)
    with rig.raw(PEER) as wire:
        flow, _ = learn(rig, wire, 6301)
        before = status(rig)["counters"]["hw_fdb_aged"]
        set_parameter(rig, "flow_age_us", 500_000)
        until("the flow to be forgotten",
              lambda: flow not in [row["flow"] for row in table(rig, "flows")
                                   if row["source"].endswith(":6301")], 10)
    check(status(rig)["counters"]["hw_fdb_aged"] > before, "no flow was ended by age")


@case(claims=(9, 10), limit=60)
def flow_entries(rig):
    """More flows than entries of the database lose no data."""
    need_reflow(rig)

    def resize(entries):
        rig.ip(DUT, f"link set {rig.device} down")
        try:
            set_parameter(rig, "flow_entries", entries)
        finally:
            rig.bring_up()
    most = parameter(rig, "flow_entries")
    done = set_parameter(rig, "flow_entries", 16, may_fail=True)
    check(done.returncode != 0 and "down" in done.stderr, f"while up: {done.stderr}")
    rig.defer(resize, most)
    resize(16)
    equal("the device's own size", status(rig)["flow_database"]["size"], 16)
    equal("size in sysfs", number(rig, "flow_entries"), 16)
    device, _ = _stream(rig, size=1 << 16, flows=48)
    check(device["hw_fdb_full"] + device["hw_fdb_evict"] > 0,
          "48 flows found room in a database of 16")
    for wrong in (0, 24, most * 2):
        done = set_parameter(rig, "flow_entries", wrong, may_fail=True)
        check(done.returncode != 0 and "power of two" in done.stderr, f"{wrong}: {done.stderr}")


@case(limit=60)
def switches_under_traffic(rig):
    """Parameters change while streams run; their contents stay right."""
    need_reflow(rig)
    names = ("header_suppression", "fresh_pages", "pdu_align")
    for name in names:
        with_parameter(rig, name, str(parameter(rig, name)).lower())
    job = None
    for turn in range(9):
        if not job or not job.thread.is_alive():
            job and job.finish(1)
            job = streaming(rig, PEER, 4, flows=4, size=MIB, limit=40)
        set_parameter(rig, names[turn % 3], ("true", "false")[turn // 3 % 2])
    job.finish(40)
