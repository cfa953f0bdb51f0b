# SPDX-License-Identifier: GPL-2.0
"""The command line of the benchmark."""

import argparse
import sys

from host.bench import classes, rig, tables
from host.bench.figures import Figures
from host.bench.peers import PEERS, Size
from host.bench.workloads import chosen
from host.machine import VmError

DESCRIPTION = """\
Count the instructions that the guest's kernel needs: per packet on the wire (per round where it
answers), and in thousands per MiB of data.

bulkN        N TCP connections, bursts of 44 segments of 1448 bytes
bulk1-big    bursts of 127 segments, aggregates beyond 64 KiB allowed (BIG TCP)
zc-map       bulk1, read by mapping the pages (TCP_ZEROCOPY_RECEIVE)
zc-uring     bulk1, received to memory of the process (io_uring zcrx)
mixN         N connections, one segment of each strictly in turn, 4000 frames under way,
             44 segments of a connection with equal time stamps
mixN-132     the same with 132 frames under way
mixN...-step     the same, each segment of a connection with another time stamp
udp-drop     frames of 60 bytes, dropped by a program at the device's ingress (tcx)
udp-xdp      the same, dropped by XDP
udp-sink     the same, read by a process
sendN        the guest sends on N connections
udp-send     the guest sends frames of 60 bytes
rr1, rr1k    1 byte or 1 KiB to the guest and back, over and over

Printed are medians, the distance between the cheapest and the dearest run, packets of a socket
buffer, and per thousand packets (or rounds) interrupts, polls and accesses to device registers;
then counters of the guest that say that packets or memory were lost. These, and "stuck" for
connections that had to begin again, count all that was sent, the rest only what was measured.
"""


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION)
    made.add_argument("--dut", action="append", choices=list(PEERS),
                      help="NIC to measure, can be repeated (default: reflow); virtio-64k is sent "
                           "frames of 64 KiB instead of bursts")
    made.add_argument("--size", action="append", type=Size.parse, metavar="QUEUESxCPUS",
                      help="queues of the NIC and CPUs of the guest, can be repeated (default: "
                           "1x1)")
    made.add_argument("--workload", action="append", default=[], metavar="PATTERN",
                      help="only those that match, as in the shell; can be repeated")
    made.add_argument("--runs", type=int, default=3, help="take the median of so many (default: 3)")
    made.add_argument("--profile", type=int, metavar="N", default=0,
                      help="show the parts of the kernel, and the N functions that need most")
    made.add_argument("--csv", metavar="FILE", default=f"{rig.BUILT}/bench.csv",
                      help="where the table is written for other programs (default: %(default)s)")
    made.add_argument("--set", metavar="COMMANDS", default="",
                      help="shell commands in the guest before it begins; $dev is the interface")
    made.add_argument("--model", metavar="ARGS", default="",
                      help="more arguments for the device model")
    return made


def show_profile(window, count):
    """Print in which parts of the kernel and in which functions instructions are spent."""
    for name, cost in classes.by_class(window).items():
        print(f"{cost:10.1f}  {name}")
    print()
    largest = window.symbols[:count]
    for (n, _), name in zip(largest, classes.readable([name for _, name in largest])):
        print(f"{n / window.packets:10.1f}  {name}")


def show(dut, all_figures, arguments):
    """Print a NIC's table."""
    print(f"\n{tables.heading(dut)}")
    for figures in all_figures:
        print(tables.row(figures))
    if arguments.profile:
        for figures in all_figures:
            workload = figures.workload
            print(f"\n{workload.name}: instructions per {workload.unit} by class and function")
            show_profile(figures.window, arguments.profile)
    sys.stdout.flush()


def measure(name, size, workloads, arguments, found):
    """Measure a NIC: print its table, and write all that was `found` so far."""
    peer, label = PEERS[name], size.name(name)
    if peer.single and size.queues > 1:
        print(f"\n{label}: not measured, it has one queue")
        return
    workloads = [workload for workload in workloads if peer.fits(workload)]
    with rig.Bench(name, size, workloads, arguments) as machine:
        windows = machine.measure()
    found[label] = [Figures(workload, windows[workload.name]) for workload in workloads]
    show(label, found[label], arguments)
    with open(arguments.csv, "w", encoding="ascii") as out:
        tables.write_csv(out, found)


def main():
    """Entry point."""
    made = parser()
    arguments = made.parse_args()
    try:
        workloads = chosen(arguments.workload)
    except ValueError as why:
        made.error(str(why))
    rig.build()
    found = {}
    try:
        for name in arguments.dut or ["reflow"]:
            for size in arguments.size or [Size()]:
                measure(name, size, workloads, arguments, found)
    except VmError as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
