# SPDX-License-Identifier: GPL-2.0
"""Session protocols: the data of each long PDU begin on a page of their own."""

import socket

from guest.counters import change, need_reflow, per_queue, read
from guest.device import with_parameter
from guest.harness import Waiting, case, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import InBackground, gather
from guest.zerocopy import PAGE, Window

# The ports that the parser program "session" knows: SMB, and NetBIOS sessions.
SMB, NETBIOS = 445, 139
HEADER, DATA = 4, 1 << 16
PDU = HEADER + DATA
WINDOW = 1 << 20
# With 12 bytes of timestamps, segments of 1447 bytes.
ODD_MSS = 1459


def _align(rig):
    """Align PDUs for the rest of the case, and let segments gather: pages that two
    aggregates share cannot be mapped."""
    gather(rig)
    rig.defer(rig.run, DUT, "ethtool", "-G", rig.device, "rx-buf-len", "16384")
    rig.run(DUT, "ethtool", "-G", rig.device, "rx-buf-len", "4096")
    # The flow's entry is to outlive the pause before its first PDU, however slow the machine is.
    with_parameter(rig, "flow_age_us", 0)
    with_parameter(rig, "parser_program", "session")
    with_parameter(rig, "pdu_align", "true")


def _connect(rig, port):
    """Return both ends of a connection from the partner to one of our ports."""
    with rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS[DUT, 4], port))
        listener.listen(1)
        out = rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM)
        out.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ODD_MSS)
        out.connect((ADDRESS[DUT, 4], port))
        sink = listener.accept()[0]
    for end in (out, sink):
        end.settimeout(20 * Waiting.scale)
        rig.defer(end.close)
    return out, sink


def _body(number, size=DATA):
    """Return the data of a PDU: each page holds its number."""
    pages = (b"".join((number.to_bytes(4, "big") + page.to_bytes(4, "big")) * (PAGE // 8)
                      for page in range(-(-size // PAGE))))
    return pages[:size]


def _pdu(number, size=DATA):
    return size.to_bytes(HEADER, "big") + _body(number, size)


def _received(sink, total):
    """Read a stream of PDUs by mapping; return it, and the places of pages that were mapped."""
    window = Window(sink, WINDOW)
    got, mapped = bytearray(), []
    try:
        while len(got) < total:
            data, whole = window.take(min(PDU, total - len(got)))
            check(data, "the stream ended before its time")
            if whole:
                mapped += range(len(got), len(got) + len(data), PAGE)
            got += data
    finally:
        window.close()
    return bytes(got), mapped


def _transfer(rig, out, sink, stream):
    """Send a stream; return the mapped pages and the changes of the counters.

    A busy host may be late with ACKs, so that data is sent twice. Then it lies on other pages,
    and the stream is sent again.
    """
    for _ in range(4):
        before = read(rig)
        reader = InBackground(_received, sink, len(stream))
        out.sendall(stream)
        got, mapped = reader.finish(60)
        check(got == stream, "the stream arrived changed")
        stats = change(before, read(rig))
        if not stats["hw_rx_out_of_order"]:
            break
    return mapped, stats


def _off_pages(mapped):
    """Return the mapped pages that do not start at a page of a PDU's data."""
    return [at for at in mapped if at % PDU < HEADER or (at % PDU - HEADER) % PAGE]


@case(claims=(29, 41), limit=90)
def pdus_lie_on_pages(rig):
    """64 KiB PDUs at odd segment size: pages of the socket are pages of the PDUs' data.

    The receiver maps whole pages as the device filled them.
    Each begins at a multiple of the page size from the beginning of its PDU's
    data: the data begin at offset 0 of a page and go on without gaps.
    """
    need_reflow(rig)
    _align(rig)
    for port in (SMB, NETBIOS):
        out, sink = _connect(rig, port)
        count = 48
        mapped, stats = _transfer(rig, out, sink, b"".join(_pdu(n) for n in range(count)))
        equal("mapped pages that straddle pages of the data", _off_pages(mapped)[:5], [])
        equal("PDUs that the device aligned", stats["hw_session_pdus"], count)
        pages = count * DATA // PAGE
        # On a debug kernel few segments wait for others, and aggregates share pages.
        check(len(mapped) > pages / 3 or Waiting.scale > 1,
              f"only {len(mapped)} of {pages} pages were mapped")


@case(claims=(24, 29, 41), limit=60)
def with_a_control_block(rig):
    """The same for a connection with a control block, which applies to all packets."""
    need_reflow(rig)
    _align(rig)
    out, sink = _connect(rig, SMB)
    before = read(rig)
    rig.run(DUT, "ethtool", "-N", rig.device, "flow-type", "tcp4",
            "src-ip", ADDRESS[PEER, 4], "dst-ip", ADDRESS[DUT, 4],
            "src-port", str(out.getsockname()[1]), "dst-port", str(SMB),
            "action", str(rig.queues - 1), "loc", "5")
    rig.defer(rig.run, DUT, "ethtool", "-N", rig.device, "delete", "5")
    until("the connection to have a block",
          lambda: read(rig)["tcb_set"] > before["tcb_set"], limit=8)
    count = 24
    mapped, stats = _transfer(rig, out, sink, b"".join(_pdu(n) for n in range(count)))
    equal("mapped pages that straddle pages of the data", _off_pages(mapped)[:5], [])
    equal("PDUs that the device aligned", stats["hw_session_pdus"], count)
    check(mapped or Waiting.scale > 1, "no page was mapped")
    applied = per_queue(rig, stats, "rx", "tcb_applied")
    equal("packets of the block elsewhere", sum(applied[:-1]), 0)
    check(applied[-1] > count * DATA // 1448 // 2, f"the block applied to {applied}, by queue")


@case(claims=(29, 41), limit=60)
def mad_lengths(rig):
    """An impossible length and short PDUs are received without alignment; data are right."""
    need_reflow(rig)
    _align(rig)
    out, sink = _connect(rig, SMB)
    short = b"".join(_pdu(n, size) for n, size in enumerate((0, 1, 100, PAGE - 1, 3000)))
    mad = b"\x00\xff\xff\xff" + _body(99, 3 * DATA)
    for stream, counter in ((short, None), (mad, "hw_session_insane")):
        _, stats = _transfer(rig, out, sink, stream)
        equal("PDUs that the device aligned", stats["hw_session_pdus"], 0)
        if counter:
            equal(counter, stats[counter], 1)
