# SPDX-License-Identifier: GPL-2.0
"""The figures of make bench, and how they are written."""

import io
import unittest

from host.bench import classes, figures, peers, tables, workloads
from host.bench.figures import CounterError, Figures, read_counters, read_windows
from host.bench.workloads import WORKLOADS

WINDOW = """\
window 0 {cost} 5 6 7
registers 3 4
call 20 common_interrupt
call 40 __napi_poll
call 50 tcp_v4_rcv
call 0 udp_rcv
call 10 __dev_queue_xmit
call 13 rust_helper_writel
symbol 700 tcp_v4_rcv
symbol 300 igb_poll [igb]
"""


def windows(*costs):
    """Return windows of 1000 packets with these costs of a packet."""
    text = "".join(WINDOW.format(cost=1000 * cost) for cost in costs)
    found = read_windows(text.splitlines(keepends=True))
    for window in found:
        window.packets = 1000
    return found


class Counts(unittest.TestCase):
    """Counts of the emulator and of the guest."""

    def test_windows_are_read(self):
        """A window has its counts, calls and functions."""
        first, second = windows(700, 900)
        self.assertEqual((first.cost(), second.cost()), (700, 900))
        self.assertEqual(second.registers, 7)
        self.assertEqual(second.symbols, [(700, "tcp_v4_rcv"), (300, "igb_poll [igb]")])
        self.assertEqual(first.called(("tcp_v4_rcv", "udp_rcv")), 50)
        self.assertIsNone(first.called(("no_such",)))

    def test_what_is_no_count_is_an_error(self):
        """The counter's complaints are not taken for counts."""
        for text in ("missing do_idle\n", "window 0 1 2 3 4\nmissing do_idle\n"):
            with self.assertRaisesRegex(CounterError, "missing do_idle"):
                read_windows(text.splitlines(keepends=True))

    def test_only_what_was_lost_meanwhile_is_told(self):
        """Tables of two lines and counters of one are read; their increase counts."""
        text = ("     rx_missed: {0}\nTcpExt: PruneCalled TCPHPHits\nTcpExt: {0} 77\n"
                "Tcp: RetransSegs\nTcp: 4\n     driver_name: igb\n")
        before, after = (read_counters(text.format(count)) for count in (2, 5))
        self.assertEqual(after["TCPHPHits"], 77)
        self.assertEqual(figures.losses(before, after), {"PruneCalled": 3, "rx_missed": 3})


class OfWorkloads(unittest.TestCase):
    """Figures of a workload."""

    def test_medians_and_spread(self):
        """The run in the middle counts, the others make the spread."""
        found = Figures(WORKLOADS["bulk1"], windows(1100, 1000, 1500))
        self.assertEqual(found.per_packet, 1100)
        self.assertAlmostEqual(found.spread, 500 / 1100)
        self.assertAlmostEqual(found.k_per_mib, 1100 * 1048576 / 1448 / 1000)
        self.assertEqual((found.interrupts, found.polls, found.registers), (20, 40, 20))
        self.assertEqual(found.segments_per_skb, 20)

    def test_segments_of_a_buffer_by_direction(self):
        """Sent buffers are counted where they go down, dropped ones nowhere."""
        found = {name: Figures(WORKLOADS[name], windows(1000)).segments_per_skb
                 for name in ("send1", "udp-drop", "rr1")}
        self.assertEqual(found, {"send1": 100, "udp-drop": None, "rr1": None})

    def test_losses_of_all_runs(self):
        """Losses add up; what a program dropped is none."""
        runs = windows(1, 2)
        for window in runs:
            window.losses = {"rx_dropped": 5, "stuck": 1}
        self.assertEqual(Figures(WORKLOADS["bulk1"], runs).losses,
                         {"rx_dropped": 10, "stuck": 2})
        self.assertEqual(Figures(WORKLOADS["udp-xdp"], runs).losses, {"stuck": 2})

    def test_tables(self):
        """A figure that is missing is "-" for people and empty for programs."""
        found = Figures(WORKLOADS["udp-drop"], windows(1000))
        self.assertEqual(tables.row(found).split(),
                         ["udp-drop", "1000", "-", "0.0%", "-", "20.0", "40.0", "20.0", "-"])
        out = io.StringIO()
        tables.write_csv(out, {"igb": [found]})
        head, line = out.getvalue().splitlines()
        self.assertEqual(len(head.split(",")), len(line.split(",")))
        self.assertEqual(line, "igb,udp-drop,packet,1000,,0,,20,40,20,")

    def test_functions_have_a_class(self):
        """The parts of the kernel add up to all that was counted."""
        window = windows(1)[0]
        self.assertEqual(classes.by_class(window), {"tcp": 0.7, "driver": 0.3})
        for function, name in (("page_pool_put_unrefed_netmem", "pools"),
                               ("rep_movs_alternative", "copy"), ("tcp_gro_receive", "gro"),
                               ("kmem_cache_free", "buffers"), ("__schedule", "scheduler"),
                               ("sock_def_readable", "socket"), ("no_idea", classes.OTHER)):
            self.assertEqual(classes.class_of(function), name, function)


class Choices(unittest.TestCase):
    """Workloads, sizes and NICs on the command line."""

    def test_workloads_by_pattern(self):
        """A pattern stands for all workloads that match, in the order of the table."""
        names = [workload.name for workload in workloads.chosen(["mix16*", "bulk1"])]
        self.assertEqual(names, ["bulk1", "mix16", "mix16-step", "mix16-132", "mix16-132-step"])
        self.assertEqual(len(workloads.chosen([])), len(WORKLOADS))
        with self.assertRaisesRegex(ValueError, "no workload is named bulk2; there are bulk1"):
            workloads.chosen(["bulk1", "bulk2"])

    def test_sizes(self):
        """Queues and CPUs are told together, and name what was measured."""
        self.assertEqual(peers.Size.parse("8x4").name("igb"), "igb-8q4c")
        self.assertEqual(peers.Size().name("igb"), "igb")
        for wrong in ("4", "0x1", "9x1", "1x"):
            with self.assertRaises(ValueError):
                peers.Size.parse(wrong)

    def test_peers(self):
        """Commands for queues are given only to who has several; giants are bursts."""
        igb = peers.PEERS["igb"]
        self.assertEqual(igb.commands(1), [peers.LARGE_RING])
        self.assertIn("ethtool -L $dev combined 4", igb.commands(4))
        giant = peers.PEERS["virtio-64k"]
        self.assertTrue(giant.fits(WORKLOADS["bulk8"]))
        self.assertFalse(giant.fits(WORKLOADS["mix16"]))
        self.assertFalse(giant.fits(WORKLOADS["bulk1-big"]))
        self.assertEqual(WORKLOADS["bulk8"].order(giants=True), "plain giant 8 24 8")

    def test_pages_only_of_who_gives_them(self):
        """A NIC whose payload is not in pages of its own has no zero copy."""
        fitting = [name for name, peer in peers.PEERS.items() if peer.fits(WORKLOADS["zc-map"])]
        self.assertEqual(fitting, ["reflow"])


if __name__ == "__main__":
    unittest.main()
