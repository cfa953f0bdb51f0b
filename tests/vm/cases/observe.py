# SPDX-License-Identifier: GPL-2.0
"""sysfs and debugfs, compared with the status of the model."""

import os
import socket
import subprocess

from cases.tcb import Connection
from guest.counters import OPCODES, change, need_reflow, opcodes, per_queue, read
from guest.device import (FIRST_PROGRAM, control, number, set_parameter, status, table, value,
                          with_chaos, with_parameter)
from guest.frames import ACK, IPV4, IPV6, PSH, ethernet, ipv4, ipv6, tcp
from guest.harness import Failed, case, check, equal, settle, until
from guest.hold import ELSEWHERE, fill, held, one_queue
from guest.net import ADDRESS, DUT, FAMILY, PEER, SYS_NET
from guest.traffic import bulk, datagrams

FULL = 1000


def _segment(rig, version, sport, seq, payload, flags=ACK, dport=7000):
    src, dst = ADDRESS[PEER, version], ELSEWHERE[version]
    inner = tcp(src, dst, sport, dport, seq, 1, flags, payload)
    if version == 4:
        return ethernet(rig.mac, rig.peer_mac, IPV4, ipv4(src, dst, 6, inner))
    return ethernet(rig.mac, rig.peer_mac, IPV6, ipv6(src, dst, 6, inner))


def _end(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _rows(rig, version, sport, dport=7000):
    ends = (_end(ADDRESS[PEER, version], sport), _end(ELSEWHERE[version], dport))
    return [row for row in table(rig, "flows") if (row["source"], row["destination"]) == ends]


def _flow(rig, version, sport, dport=7000):
    rows = until(f"the flow from port {sport} in the flow database",
                 lambda: _rows(rig, version, sport, dport))
    equal(f"entries of the flow from port {sport}", len(rows), 1)
    return rows[0]


def learn(rig, wire, sport):
    """Make the device learn a flow without an open aggregate; return its number and sequence."""
    wire.send(_segment(rig, 4, sport, 1000, bytes(FULL)))
    wire.send(_segment(rig, 4, sport, 1000 + FULL, bytes(FULL), ACK | PSH))
    after = 1000 + 2 * FULL
    until("the flow to be known",
          lambda: [row for row in _rows(rig, 4, sport) if int(row["expected"]) == after])
    return _flow(rig, 4, sport)["flow"], after


def _connections(rig):
    """Open one connection of each IP version, with data on its way to the device."""
    pairs = []
    for version in (4, 6):
        with rig.socket(DUT, FAMILY[version], socket.SOCK_STREAM) as listener:
            listener.bind((ADDRESS[DUT, version], 0))
            listener.listen()
            client = rig.socket(PEER, FAMILY[version], socket.SOCK_STREAM)
            client.connect(listener.getsockname()[:2])
            server = listener.accept()[0]
        for end in (client, server):
            rig.defer(end.close)
        client.sendall(bytes(20000))
        pairs.append((client, server))
    return pairs


@case(claims=(8,), limit=40)
def values(rig):
    """Each file of sysfs shows the value of the device."""
    need_reflow(rig)
    pairs = _connections(rig)
    bulk(rig, PEER, 4, size=1 << 18)
    datagrams(rig, PEER, 6, [500] * 10)

    def difference():
        device = status(rig)
        memory, flows, parser = (device[name] for name in
                                 ("packet_memory", "flow_database", "parser"))
        wanted = {
            "pm_size": memory["size"], "pm_level": memory["level"], "pm_high": memory["high"],
            "flow_entries": flows["size"], "flows_used": flows["used"],
            "parser_program": parser["name"], "parser_crc": f"{parser['crc']:08x}",
            "parser_length": parser["instructions"],
        }
        for code in OPCODES:
            wanted[f"op_{code}"] = device["counters"][f"hw_op_{code}"]
        for band, state in enumerate(device["red"]):
            for name in ("low", "high", "probability"):
                wanted[f"red_band{band}_{name}"] = state[name]
            wanted[f"red_band{band}_drops"] = device["counters"][f"hw_rx_red_band{band}"]
        return {name: (value(rig, name), text) for name, text in wanted.items()
                if value(rig, name) != str(text)}
    settle("what sysfs says is what the device says", difference, 10)

    def used():
        # The device forgets flows that have been quiet for a while.
        for client, _ in pairs:
            client.sendall(bytes(100))
        return number(rig, "flows_used") >= 2
    until("two flows of two open connections to be in use", used)
    check(number(rig, "pm_high") > 0, "packets came, but the packet memory was never in use")


@case(claims=(8,), limit=20)
def high_watermark(rig):
    """A write restarts the high watermark of the packet memory."""
    need_reflow(rig)
    bulk(rig, PEER, 4, size=1 << 18)
    path = f"/sys/class/net/{rig.device}/reflow/pm_high"
    with open(path, "w", encoding="ascii") as knob:
        knob.write("0\n")
    low = number(rig, "pm_high")
    # Other frames may come in between, but no stream of them.
    check(low < 1400, f"the highest level is {low} just after it began anew")
    bulk(rig, PEER, 4, size=1 << 18)
    check(number(rig, "pm_high") > 1400, f"after a stream it is {number(rig, 'pm_high')}")


@case(claims=(5, 6, 7, 9, 10, 43, 49), limit=40)
def flow_keys(rig):
    """The flow database holds both ends of each connection, under a number of its own."""
    need_reflow(rig)
    pairs = _connections(rig)
    rows = table(rig, "flows")
    numbers = set()
    for client, server in pairs:
        source, destination = client.getsockname()[:2], server.getsockname()[:2]
        found = [row for row in rows if row["source"] == _end(*source)
                 and row["destination"] == _end(*destination)]
        equal(f"flows from {source} to {destination}", len(found), 1)
        numbers.add(found[0]["flow"])
    equal("different flow numbers", len(numbers), len(pairs))

    def difference():
        shown = {(row["flow"], row["queue"], row["expected"], row["source"], row["destination"])
                 for row in table(rig, "flows")}
        real = {tuple(str(flow[name]) for name in
                      ("flow", "queue", "expected", "source", "destination"))
                for flow in status(rig)["flow_database"]["entries"]}
        return shown ^ real
    settle("the table is the device's flow database", difference, 10)


@case(claims=(2, 4, 5, 6, 12, 14, 50), limit=25)
def header_fields(rig):
    """Addresses, ports and sequence number are copied out of the headers of a packet."""
    need_reflow(rig)
    with rig.raw(PEER) as wire:
        for version in (4, 6):
            wire.send(_segment(rig, version, 6001, 5000, bytes(FULL)))
            first = _flow(rig, version, 6001)
            equal("the sequence number expected next", int(first["expected"]), 5000 + FULL)
            wire.send(_segment(rig, version, 6001, 5000 + FULL, bytes(300), ACK | PSH))
            until("the next packet to move it on",
                  lambda v=version: int(_flow(rig, v, 6001)["expected"]) == 5000 + FULL + 300)
            equal("the flow's number", _flow(rig, version, 6001)["flow"], first["flow"])
            # The other direction has another key.
            wire.send(_segment(rig, version, 7000, 9000, bytes(FULL), dport=6001))
            other = _flow(rig, version, 7000, 6001)
            check(other["flow"] != first["flow"],
                  f"ports the other way round, but the same flow number {other['flow']}")


@case(claims=(8, 11, 20, 21, 22, 23, 36, 37), limit=60)
def waiting_packets(rig):
    """Packets behind which others of their flow wait have the hint: A1 and A2 of A1 A2 B1 A3.

    While the host gives no buffers the packets wait; the flow database shows whose packets do.
    When they are transferred, exactly those that another packet of the same key stands behind
    carry the hint.
    """
    need_reflow(rig)
    one_queue(rig)
    with rig.raw(PEER) as wire:
        flows, seqs = zip(*(learn(rig, wire, port) for port in (6101, 6102)))
        with held(rig, 4):
            fill(rig, wire)
            before = status(rig)
            for port, at in ((6101, 0), (6101, 1), (6102, 0), (6101, 2)):
                seq = seqs[port - 6101] + at * FULL
                wire.send(_segment(rig, 4, port, seq, bytes(FULL)))
            level = before["packet_memory"]["level"]
            until("the packets to be in the packet memory",
                  lambda: number(rig, "pm_level") >= level + 4 * FULL)
            equal("flow numbers of packets that wait",
                  {row["flow"] for row in table(rig, "flows") if "waiting" in row["state"]},
                  set(flows))
            seen = status(rig)
            equal("packets with the hint so far",
                  seen["counters"]["hw_hint_more"], before["counters"]["hw_hint_more"])
        until("the packets to be transferred", lambda: number(rig, "pm_level") == 0, 10)
        until("no packet of theirs to wait",
              lambda: all("waiting" not in _flow(rig, 4, port)["state"] for port in (6101, 6102)))
    after = status(rig)
    equal("packets with the hint",
          after["counters"]["hw_hint_more"] - before["counters"]["hw_hint_more"], 2)


@case(claims=(17, 35, 47, 52), limit=60)
def codes_wait_with_their_packets(rig):
    """A packet keeps the operation code of its arrival.

    Packets wait while the host gives no buffers. Then a parser program is loaded that recognises
    nothing: packets received before keep their code, later ones are not assisted.
    """
    need_reflow(rig)
    with_parameter(rig, "parser_program", "default")
    one_queue(rig)
    with rig.raw(PEER) as wire:
        _, seq = learn(rig, wire, 6201)
        with held(rig, 4):
            fill(rig, wire)
            level = number(rig, "pm_level")
            before = status(rig)["counters"]
            for at in range(4):
                wire.send(_segment(rig, 4, 6201, seq + FULL * at, bytes(FULL),
                                   ACK | (PSH if at == 3 else 0)))
            until("the packets to wait", lambda: number(rig, "pm_level") >= level + 4 * FULL)
            set_parameter(rig, "parser_program", "empty")
            for at in range(3):
                wire.send(_segment(rig, 4, 6201, seq + FULL * (at + 4), bytes(FULL)))
            until("more to wait", lambda: number(rig, "pm_level") >= level + 7 * FULL)
        until("the packets to be transferred", lambda: number(rig, "pm_level") == 0, 10)
    done = change(before, status(rig)["counters"])
    equal("starts", done["hw_op_start"], 1)
    equal("appended", done["hw_op_append"], 2)
    equal("appended and closed", done["hw_op_append_close"], 1)


@case(limit=20)
def opcodes_of_the_driver(rig):
    """The driver's counters of operation codes agree with the device's.

    Of packets that a completion stands for together, the driver cannot tell which closed it.
    """
    need_reflow(rig)

    def joined(codes):
        return {**codes, "append": codes["append"] + codes["append_close"], "append_close": 0}
    before, device = read(rig), status(rig)["counters"]
    bulk(rig, PEER, 4, flows=2, size=1 << 17)

    def difference():
        stats = change(before, read(rig))
        wire = change(device, status(rig)["counters"])
        ours = joined(opcodes(rig, stats))
        theirs = joined({name: wire[f"hw_op_{name}"] for name in OPCODES})
        packets = sum(per_queue(rig, stats, "rx", "packets"))
        return ours != theirs and (ours, theirs) or packets != sum(ours.values()) and packets
    settle("driver and device count alike", difference, 6)


@case(claims=(24, 25), limit=40)
def control_blocks(rig):
    """The table of control blocks shows those of the device, and who asked for them."""
    need_reflow(rig)
    equal("blocks at first", table(rig, "tcbs"), [])
    connection = Connection(rig, 1)
    rule = connection.rule(2)
    until("the rule's block", lambda: table(rig, "tcbs"))
    connection.move(1 << 18)

    def difference():
        (row,) = table(rig, "tcbs")
        shown = {name: row[name] for name in ("flow", "source", "destination", "applied",
                                              "not_applied", "placed", "expected")}
        shown["stale"] = row["state"] == "stale"
        for flow in status(rig)["flow_database"]["entries"]:
            if block := flow["control_block"]:
                real = {name: str(flow[name]) for name in
                        ("flow", "source", "destination", "expected")}
                real |= {name: str(block[name]) for name in ("applied", "not_applied", "placed")}
                real["stale"] = block["stale"]
                return shown != real and (shown, real)
        return "the device has no block"
    settle("the table is the device's", difference, 10)
    (row,) = table(rig, "tcbs")
    check(int(row["applied"]) > 100, f"256 KiB came, and it applied to {row['applied']} packets")
    equal("who wants it", row["owner"], f"rule:{rule}")
    equal("what it does", (row["queue"], row["mode"]), ("2", "steer"))
    ends = (_end(*connection.out.getsockname()[:2]), _end(*connection.sink.getsockname()[:2]))
    equal("its ends", (row["source"], row["destination"]), ends)
    pinned = [row["flow"] for row in table(rig, "flows") if "pinned" in row["state"]]
    equal("flows that are pinned", pinned, [row["flow"]])


@case(limit=40)
def control_of_the_model(rig):
    """The control socket of the model unplugs the wire and sets faults while it runs."""
    need_reflow(rig)
    rig.defer(control, rig, "link up")
    control(rig, "link down")
    rig.wait_carrier(DUT, up=False, limit=5)
    control(rig, "link up")
    rig.wait_carrier(DUT, up=True, limit=5)
    rig.echo(PEER, 4)
    with_chaos(rig, "irq-spurious=1,count=5")
    until("the fault to strike",
          lambda: status(rig)["chaos"]["irq-spurious"]["strikes"] == 5, 10)
    control(rig, "chaos off")
    equal("the faults after the end", status(rig)["chaos"], {})
    try:
        control(rig, "chaos nonsense")
    except Failed as why:
        check("no fault 'nonsense'" in str(why), f"a wrong command is answered so: {why}")
    else:
        raise Failed("a wrong command is taken")
    bulk(rig, PEER, 4, size=1 << 16)


# Readers must neither block the removal nor see a partly removed device.
LOOK_ON = """
while :; do
    cat /sys/class/net/{name}/reflow/* /sys/kernel/debug/reflow/*/*
    devlink dev info
    devlink dev param show
done
"""


@case(limit=60)
def readers_while_it_goes(rig):
    """The device is unbound and bound while all files are being read."""
    need_reflow(rig)
    device = os.path.realpath(f"{SYS_NET}/{rig.device}/device")
    driver, address = os.path.realpath(f"{device}/driver"), os.path.basename(device)
    readers = [subprocess.Popen(["sh", "-c", LOOK_ON.format(name=rig.device)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for _ in range(3)]

    def end():
        for reader in readers:
            reader.kill()
            reader.wait()
    rig.defer(end)
    for _ in range(5):
        bulk(rig, PEER, 4, size=1 << 16)
        for what in ("unbind", "bind"):
            with open(f"{driver}/{what}", "w", encoding="ascii") as knob:
                knob.write(address)
        rig.adopt()
        rig.bring_up()
    check(all(reader.poll() is None for reader in readers), "a reader has ended by itself")
    equal("the parser program of the fresh device", value(rig, "parser_program"), FIRST_PROGRAM)
