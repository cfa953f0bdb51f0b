# SPDX-License-Identifier: GPL-2.0
"""tests/run: everything that can be found out about driver and model, counted."""

import argparse
import sys

from host import cargo, expected, guests, kernels, qemu, selftests
from host.report import FAIL, PASS, Report


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="tests/run", description="Run the tests. Without a choice of suites, all of them. "
        "Results are also left in build/test-results.jsonl, logs in build/run.")
    made.add_argument("--host", action="store_true",
                      help="the device's unit and property tests, the driver's pure logic")
    made.add_argument("--wire", action="store_true",
                      help="the device server against a vfio-user client")
    made.add_argument("--vm", action="store_true", help="the driver in a guest")
    made.add_argument("--selftests", action="store_true",
                      help="the kernel's own driver tests, all of them; the quick ones of them "
                           "run without a choice, too")
    made.add_argument("-k", dest="pattern", default="", metavar="PATTERN",
                      help="only tests whose names hold PATTERN; PATTERN:GLOB chooses among the "
                           "cases of one of the kernel's tests")
    made.add_argument("--list", action="store_true", help="list the cases for the guest, and end")
    made.add_argument("--dut", default="reflow", choices=sorted(qemu.DUTS),
                      help="another device in place of ours, to compare with")
    kernels.add_choice(made)
    made.add_argument("--queues", type=int, default=4, help="queues of the device (default: 4)")
    made.add_argument("--rounds", type=int, default=10,
                      help="how often cases that kill and begin anew do so (default: 10)")
    made.add_argument("--selftests-place", help=argparse.SUPPRESS)
    made.add_argument("--build-status", type=int, help=argparse.SUPPRESS)
    made.add_argument("--build-log", help=argparse.SUPPRESS)
    made.add_argument("--build-seconds", type=float, help=argparse.SUPPRESS)
    return made


def list_cases():
    """Print the cases with the claims they prove."""
    for name, case in guests.all_cases().items():
        claims = ",".join(map(str, case.claims)) or "-"
        print(f"vm.{name}\t{claims}\t{case.about}")
    for name, entry in expected.load().items():
        print(f"{name}\t-\t{entry.file}{', quick' if entry.quick else ''}")


def _add_build(report, arguments):
    if arguments.build_status is None:
        return True
    good = arguments.build_status == 0
    report.add("build.module_and_model", PASS if good else FAIL, arguments.build_seconds,
               "" if good else f"make ended with status {arguments.build_status}",
               log=arguments.build_log)
    return good


def main():
    """Entry point."""
    arguments = parser().parse_args()
    if arguments.list:
        list_cases()
        return 0
    everything = not (arguments.host or arguments.wire or arguments.vm or arguments.selftests)
    report = Report()
    built = _add_build(report, arguments)
    guests.precompile()
    if everything or arguments.host:
        cargo.host(report, arguments.pattern)
    if everything or arguments.wire:
        cargo.wire(report, arguments.pattern)
    if everything or arguments.vm:
        if built:
            guests.run(report, arguments)
        else:
            report.add("vm.boot", FAIL, reason="not run: there is nothing to run")
    if built and (arguments.selftests or everything and arguments.dut == "reflow"):
        selftests.run(report, arguments, quick=not arguments.selftests)
    return report.finish()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted\n0 passed, 1 failed")
        sys.exit(130)
