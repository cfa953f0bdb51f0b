# SPDX-License-Identifier: GPL-2.0
"""The command line of the benchmark."""

import argparse
import statistics
import sys

from host import qemu
from host.bench import figures, rig
from host.bench.workloads import SEGMENT, chosen
from host.machine import VmError

DESCRIPTION = """\
Count the instructions that the guest's kernel needs: per packet on the wire (per round where it
answers), and in thousands per MiB of data.

bulkN        N TCP connections, bursts of 44 segments of 1448 bytes
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
"""


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION)
    made.add_argument("--dut", action="append", choices=sorted(qemu.DUTS),
                      help="NIC to measure, can be repeated (default: reflow)")
    made.add_argument("--workload", action="append", default=[], metavar="PATTERN",
                      help="only those that match, as in the shell; can be repeated")
    made.add_argument("--runs", type=int, default=3, help="take the median of so many (default: 3)")
    made.add_argument("--profile", type=int, metavar="N", default=0,
                      help="show the N functions that need most")
    made.add_argument("--set", metavar="COMMANDS", default="",
                      help="shell commands in the guest before it begins; $dev is the interface")
    made.add_argument("--model", metavar="ARGS", default="",
                      help="more arguments for the device model")
    return made


def show_profile(name, windows, count):
    """Print where the instructions of a workload go."""
    window = figures.median(windows)
    print(f"\n{name}: instructions per packet by function")
    for n, symbol in window.symbols[:count]:
        print(f"{n / window.packets:10.1f}  {symbol}")


def show(dut, workloads, found, arguments):
    """Print a NIC's table."""
    print(f"\n{dut:<16} {'per packet':>10} {'k per MiB':>10} {'spread':>7}")
    for workload in workloads:
        windows = found[workload.name]
        cost = statistics.median(window.cost() for window in windows)
        mib = f"{cost * (1 << 20) / SEGMENT / 1000:10.0f}" if workload.stream else " " * 10
        print(f"{workload.name:<16} {cost:10.0f} {mib} {figures.spread(windows):6.1%}")
    for workload in workloads:
        if arguments.profile:
            show_profile(workload.name, found[workload.name], arguments.profile)
    sys.stdout.flush()


def main():
    """Entry point."""
    made = parser()
    arguments = made.parse_args()
    try:
        workloads = chosen(arguments.workload)
    except ValueError as why:
        made.error(str(why))
    rig.build()
    try:
        for dut in arguments.dut or ["reflow"]:
            with rig.Bench(dut, workloads, arguments) as machine:
                show(dut, workloads, machine.measure(), arguments)
    except VmError as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
