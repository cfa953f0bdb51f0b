# SPDX-License-Identifier: GPL-2.0
"""Parser programs, loaded at run time from files and by name."""

import os
import shutil
import socket
import struct
import zlib

from guest.counters import AGGREGATED, change, need_reflow, opcodes, per_queue, read
from guest.device import (FIRST_PROGRAM, devlink, offer_firmware, parameter, set_parameter,
                          status, value, versions)
from guest.harness import case, check, equal, until
from guest.net import ADDRESS, DUT, FAMILY, PEER, command
from guest.traffic import bulk, streaming

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.dirname(os.path.abspath(__file__)))))
PROGRAMS = f"{PROJECT}/drivers/net/ethernet/reflow/programs"
AT_PROBE = "reflow/parser.rfw"
HEADER, INSTRUCTION = 48, 16

# As the program "noport", for another port.
WITHOUT_PORT = """
program without{port}
include "default.rfp"
const PORT = {port}
replace tcp_seq
          at 0 if == PORT  -> refuse  else -> next
          at 2 if == PORT  -> refuse  else -> tcp_seq
tcp_seq:  do seq at 4
end
"""


def _assemble(name, text=None):
    """Return the image that reflow-asm makes of a parser program."""
    folder = "/tmp/programs"
    if not os.path.exists(folder):
        shutil.copytree(PROGRAMS, folder)
    if text:
        with open(f"{folder}/{name}.rfp", "w", encoding="ascii") as out:
            out.write(text)
    command(f"{PROJECT}/build/bin/reflow-asm", "asm", f"{folder}/{name}.rfp",
            "-o", f"/tmp/{name}.rfw", limit=30)
    with open(f"/tmp/{name}.rfw", "rb") as image:
        return image.read()


def _flash(rig, name, **options):
    return devlink(rig, "dev", "flash", "DEVICE", "file", name, **options)


def _stream(rig, version, port):
    """Send 256 KiB to a port of the device; return the operation codes that they had."""
    before = read(rig)
    with rig.socket(DUT, FAMILY[version], socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS[DUT, version], port))
        listener.listen()
        with rig.socket(PEER, FAMILY[version], socket.SOCK_STREAM) as client:
            client.connect(listener.getsockname()[:2])
            server = listener.accept()[0]
            client.settimeout(10)
            with server:
                data = os.urandom(8192)
                for _ in range(32):
                    client.sendall(data)
                    got = b""
                    while len(got) < len(data):
                        got += server.recv(len(data) - len(got))
                    check(got == data, f"the stream to port {port} arrived changed")
    return opcodes(rig, change(before, read(rig)))


def _assisted(codes):
    return sum(codes[name] for name in AGGREGATED)


def _is_at_work(rig, name):
    """Check that devlink, ethtool, sysfs and the device name this parser program."""
    running, device = versions(rig)["running"], status(rig)["parser"]
    equal("program that devlink shows", running["fw.app"], name)
    equal("program that sysfs shows", value(rig, "parser_program"), name)
    equal("program that the parameter shows", parameter(rig, "parser_program"), name)
    equal("checksum", running["fw.app.crc"], f"{device['crc']:08x}")
    equal("checksum in sysfs", value(rig, "parser_crc"), f"{device['crc']:08x}")
    equal("length", int(value(rig, "parser_length")), device["instructions"])
    return device


def _with_default(rig):
    rig.defer(set_parameter, rig, "parser_program", FIRST_PROGRAM)
    set_parameter(rig, "parser_program", "default")


@case(claims=(2, 3, 34), limit=60)
def program_from_a_file(rig):
    """Another parser program changes the operation codes of traffic, the first one restores them."""
    need_reflow(rig)
    _with_default(rig)
    offer_firmware(rig, {"without5005.rfw": _assemble("without", WITHOUT_PORT.format(port=5005))})
    for port in (5005, 5006):
        check(_assisted(_stream(rig, 4, port)) > 150, f"port {port} has no assistance at first")
    _flash(rig, "without5005.rfw")
    device = _is_at_work(rig, "without5005")
    equal("the device's own name for it", device["name"], None)
    codes = _stream(rig, 4, 5005)
    check(_assisted(codes) == 0 and codes["no_assist"] > 150, f"the port left out: {codes}")
    check(_assisted(_stream(rig, 4, 5006)) > 150, "another port has no assistance any more")
    set_parameter(rig, "parser_program", "default")
    _is_at_work(rig, "default")
    check(_assisted(_stream(rig, 4, 5005)) > 150, "the first program does not assist as before")


@case(claims=(2, 3, 34), limit=60)
def program_under_traffic(rig):
    """Parser programs change while streams run; their contents stay right."""
    need_reflow(rig)
    _with_default(rig)
    job = streaming(rig, PEER, 4, flows=4, size=1 << 20, limit=40)
    swaps = 0
    while job.thread.is_alive() and swaps < 100:
        set_parameter(rig, "parser_program", ("empty", "tunnels", "session", "default")[swaps % 4])
        swaps += 1
    job.finish(40)
    check(swaps >= 4, f"the stream was over after {swaps} programs")
    set_parameter(rig, "parser_program", "default")
    check(_assisted(_stream(rig, 6, 5007)) > 150, "no assistance after all those programs")


@case(claims=(3, 34), limit=40)
def programs_by_name(rig):
    """Each parser program that comes with the driver can be loaded by its name."""
    need_reflow(rig)
    _with_default(rig)
    for name in ("tunnels", "noport", "session", "empty", "default"):
        set_parameter(rig, "parser_program", name)
        equal("what the device takes it for", _is_at_work(rig, name)["name"], name)
    done = set_parameter(rig, "parser_program", "nosuch", may_fail=True)
    check(done.returncode != 0 and "default tunnels noport session empty" in done.stderr,
          f"a program that there is not: {done.stderr}")
    _is_at_work(rig, "default")


@case(limit=30)
def nothing_recognised(rig):
    """With the empty parser program no packet is assisted; both IP versions work."""
    need_reflow(rig)
    _with_default(rig)
    set_parameter(rig, "parser_program", "empty")
    for version in (4, 6):
        codes = _stream(rig, version, 5008)
        equal("packets with any other code than no assist",
              sum(codes.values()) - codes["no_assist"], 0)
    before = read(rig)
    bulk(rig, PEER, 4, flows=8, size=1 << 16)
    seen = per_queue(rig, change(before, read(rig)), "rx", "packets")
    check(seen[0] > 0 and not any(seen[1:]), f"without keys all is for queue 0, but: {seen}")


def _damaged(good):
    """Return images that must be refused, by the words of the refusal."""
    looped = bytearray(good)
    # Both ways of instruction 0 lead to itself without moving; checksum anew.
    words = list(struct.unpack(f"<{(len(good) - HEADER) // 4}I", good[HEADER:]))
    words[0:4] = [0xFFFF0000, 0x00000005, 0, 0]
    code = struct.pack(f"<{len(words)}I", *words)
    looped[8:12] = struct.pack("<I", zlib.crc32(code))
    looped[HEADER:] = code
    flipped = bytearray(good)
    flipped[HEADER + 100] ^= 4
    return {
        "checksum is wrong": bytes(flipped),
        "goes back without moving": bytes(looped),
        "not a parser image": b"MZ" + good[2:],
        "shorter than the header": good[:HEADER - 1],
        "has not the size": good[:-INSTRUCTION],
        "unknown version": good[:4] + b"\x09\x00" + good[6:],
    }


@case(claims=(3, 34), limit=60)
def damaged_files_are_refused(rig):
    """An invalid image is refused with a message; the old parser program stays."""
    need_reflow(rig)
    _with_default(rig)
    good = _assemble("noport")
    bad = _damaged(good)
    names = {reason: f"bad{n}.rfw" for n, reason in enumerate(bad)}
    offer_firmware(rig, {"good.rfw": good, **{names[why]: bad[why] for why in bad}})
    for reason, name in names.items():
        done = _flash(rig, name, may_fail=True)
        check(done.returncode != 0, f"a file was taken whose fault is: {reason}")
        check(reason in done.stderr, f"fault: {reason}; devlink said: {done.stderr}")
        done = rig.run(DUT, "ethtool", "-f", rig.device, name, may_fail=True)
        check(done.returncode != 0, f"ethtool -f took a file whose fault is: {reason}")
    done = _flash(rig, "absent.rfw", may_fail=True)
    check(done.returncode != 0, "a file that is not there was taken")
    _is_at_work(rig, "default")
    check(_assisted(_stream(rig, 4, 5009)) > 150, "no assistance after all those refusals")
    rig.run(DUT, "ethtool", "-f", rig.device, "good.rfw")
    _is_at_work(rig, "noport")
    check(_assisted(_stream(rig, 4, 80)) == 0, "port 80 is assisted by the program without it")


@case(limit=60)
def program_at_probe(rig):
    """At probe a firmware file replaces the driver's parser program."""
    need_reflow(rig)

    def again():
        rig.unload()
        rig.load()
        rig.bring_up()
    rig.defer(again)
    offer_firmware(rig, {AT_PROBE: _assemble("noport")})
    again()
    _is_at_work(rig, "noport")
    offer_firmware(rig, {AT_PROBE: _assemble("noport")[:-1]})
    again()
    _is_at_work(rig, FIRST_PROGRAM)
    until("the link to answer", lambda: rig.answers(limit=1))
