# SPDX-License-Identifier: GPL-2.0
"""Random early discard."""

import socket

from guest.counters import change, need_reflow
from guest.device import number, parameter, set_parameter, status, value, with_parameter
from guest.frames import ACK, IPV4, SYN, TCP, ethernet, ipv4, tcp
from guest.harness import case, check, equal, settle, until
from guest.hold import ELSEWHERE, datagram, fill, held, one_queue
from guest.net import ADDRESS, DUT, FAMILY, PEER
from guest.traffic import bulk, datagrams

EVERYTHING = "0-4194240"


def _tcp(rig, sport, flags, payload=b""):
    src, dst = ADDRESS[PEER, 4], ELSEWHERE[4]
    return ethernet(rig.mac, rig.peer_mac, IPV4,
                    ipv4(src, dst, TCP, tcp(src, dst, sport, 7, 1, 1, flags, payload)))


def _counters(rig):
    return status(rig)["counters"]


@case(claims=(28,), limit=60)
def by_level(rig):
    """In a band packets are discarded with its probability, SYNs never.

    The level is below the band first and nothing is lost, then in it. Discards are counted
    for its band, and all that came is either lost so or transferred.
    """
    need_reflow(rig)
    one_queue(rig)
    for band, text in enumerate(("0-64:0%", "131072-524288:50%")):
        with_parameter(rig, f"red_band{band}", text)
    data, syns = 300, 40
    with rig.raw(PEER) as wire, held(rig, 8):
        start, drops = _counters(rig), number(rig, "red_band1_drops")
        fill(rig, wire)
        below = number(rig, "pm_level")
        check(below < 131072, f"the level is {below} already, in the band")
        equal("lost below the band", change(start, _counters(rig))["hw_rx_red"], 0)
        while number(rig, "pm_level") < 140000:
            wire.send(datagram(rig, 1400))
        before = settled(rig)
        for at in range(data):
            wire.send(datagram(rig, 100))
            if at < syns:
                wire.send(_tcp(rig, 2000 + at, SYN))
                wire.send(_tcp(rig, 2000 + at, ACK))
        until("the frames to be in the device",
              lambda: change(before, _counters(rig))["hw_rx_frames"] >= data + 2 * syns)
        now = change(before, settled(rig))
        check(number(rig, "pm_level") < 524288, "the level is above the band")
    until("the packets to be transferred", lambda: number(rig, "pm_level") == 0, 10)
    # Six standard deviations of a fair coin.
    check(abs(now["hw_rx_red"] - data / 2) < 3 * data ** 0.5,
          f"of {data} packets {now['hw_rx_red']} were lost")
    equal("lost in band 1", now["hw_rx_red_band1"], now["hw_rx_red"])
    done = change(start, _counters(rig))
    # The device counts from its last reset, the driver goes on.
    equal("what sysfs says of it", number(rig, "red_band1_drops") - drops,
          done["hw_rx_red_band1"])
    equal("SYNs", done["hw_op_control"], syns)
    equal("acknowledgements", done["hw_op_no_data"], syns)
    equal("frames that came", done["hw_rx_frames"],
          done["hw_rx_red"] + done["hw_rx_transferred"] + done["hw_rx_filtered"])
    equal("lost for want of room", done["hw_rx_pm_overflow"], 0)


def settled(rig):
    """Return the device's counters when no frame comes any more."""
    last, now = None, _counters(rig)
    while last != now["hw_rx_frames"]:
        last, now = now["hw_rx_frames"], _counters(rig)
    return now


@case(claims=(28,), limit=40)
def certain(rig):
    """At 100 % all data is discarded but connections are set up; without bands all arrives."""
    need_reflow(rig)
    rig.echo(PEER, 4)
    with_parameter(rig, "red_band3", f"{EVERYTHING}:100%")
    totals = rig.totals(DUT)["rx_dropped"]
    before = _counters(rig)
    with rig.socket(DUT, FAMILY[4], socket.SOCK_STREAM) as listener:
        listener.bind((ADDRESS[DUT, 4], 0))
        listener.listen()
        with rig.socket(PEER, FAMILY[4], socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(listener.getsockname())
            with listener.accept()[0] as server:
                server.settimeout(0.5)
                client.sendall(b"lost")
                try:
                    check(False, f"data came through: {server.recv(10)}")
                except TimeoutError:
                    pass
                lost = change(before, _counters(rig))
                check(lost["hw_rx_red_band3"] > 0, "nothing was counted as lost")
                equal("lost in other bands", lost["hw_rx_red"], lost["hw_rx_red_band3"])
                set_parameter(rig, "red_band3", "off")
                server.settimeout(10)
                equal("data sent anew", server.recv(10), b"lost")
    before = _counters(rig)
    bulk(rig, PEER, 4, size=1 << 18)
    datagrams(rig, PEER, 4, [1000] * 50)
    equal("lost when it is off", change(before, _counters(rig))["hw_rx_red"], 0)

    def difference():
        counted = rig.totals(DUT)["rx_dropped"] - totals
        return counted < lost["hw_rx_red"] and (counted, lost["hw_rx_red"])
    settle("what is lost so is in the interface's rx_dropped", difference)


@case(limit=30)
def bands(rig):
    """devlink, sysfs and the device show a band as it was set."""
    need_reflow(rig)
    with_parameter(rig, "red_band2", "65536-131072:12.5%")
    equal("the parameter", parameter(rig, "red_band2"), "65536-131072:12.5%")
    equal("the device's band", status(rig)["red"][2],
          {"low": 65536, "high": 131072, "probability": 8192})
    for name, wanted in (("low", 65536), ("high", 131072), ("probability", 8192)):
        equal(f"red_band2_{name}", number(rig, f"red_band2_{name}"), wanted)
    for text, why in (("5", "a band is off"), ("1-64:5%", "multiples of 64"),
                      ("64-64:5%", "above its lower"), ("0-64:101%", "0 to 100")):
        done = set_parameter(rig, "red_band2", text, may_fail=True)
        check(done.returncode != 0 and why in done.stderr, f"{text}: {done.stderr}")
    equal("the parameter after refusals", parameter(rig, "red_band2"), "65536-131072:12.5%")
    set_parameter(rig, "red_band2", "off")
    equal("the probability when it is off", value(rig, "red_band2_probability"), "0")
