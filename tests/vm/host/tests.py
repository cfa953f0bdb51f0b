# SPDX-License-Identifier: GPL-2.0
"""tests/run: all tests of driver, model and of the runner itself."""

import argparse
import sys

from host import cargo, expected, guests, kernels, own, qemu, selftests
from host.choice import Choice
from host.report import FAIL, PASS, Report


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="tests/run", description="Run the tests. Without a choice of suites, all of them. "
        "Results are also left in build/test-results.jsonl, logs in build/run.")
    made.add_argument("--host", action="store_true",
                      help="the device's unit and property tests, the driver's pure logic, "
                           "the runner's own tests")
    made.add_argument("--wire", action="store_true",
                      help="the device server against a vfio-user client")
    made.add_argument("--vm", action="store_true", help="the driver in a guest")
    made.add_argument("--selftests", action="store_true",
                      help="the kernel's own driver tests, all of them; the quick ones of them "
                           "run without a choice, too")
    made.add_argument("-k", dest="pattern", default="", metavar="PATTERN",
                      help="only tests whose names, as --list prints them, hold PATTERN; A,B: "
                           "either of two; PATTERN:GLOB chooses among the cases of one of the "
                           "kernel's tests")
    made.add_argument("--list", action="store_true",
                      help="list all tests of every kind, or those of -k, and end")
    made.add_argument("--shuffle", type=int, metavar="SEED",
                      help="run the cases of the guest in another order")
    made.add_argument("--again", action="store_true",
                      help="run a case of the guest that fails without a report of the kernel once "
                           "more, in a fresh guest; what passes there is listed as unsteady")
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


def all_tests(choice):
    """Yield (name, claims, about) of each chosen test, of every kind."""
    for name, about in own.names().items():
        yield name, (), about
    for suite in ("host", "wire"):
        if choice.may_be_in(suite):
            for name in cargo.names(suite):
                yield name, cargo.claims_of(name), ""
    for name, case in guests.all_cases().items():
        yield f"vm.{name}", case.claims, case.about
    for name, entry in expected.load().items():
        yield name, (), f"{entry.file}{', quick' if entry.quick else ''}"


def list_tests(choice):
    """Print the chosen tests: name, claims it proves, what it is about."""
    for name, claims, about in all_tests(choice):
        if choice(name):
            print(f"{name}\t{','.join(map(str, claims)) or '-'}\t{about}".rstrip())


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
    choice = Choice(arguments.pattern)
    if arguments.list:
        try:
            list_tests(choice)
        except cargo.ListError as why:
            print(f"tests/run: {why}", file=sys.stderr)
            return 1
        return 0
    everything = not (arguments.host or arguments.wire or arguments.vm or arguments.selftests)
    report = Report()
    built = _add_build(report, arguments)
    guests.precompile()
    if everything or arguments.host:
        cargo.run(report, "host", choice)
        own.run(report, choice)
    if everything or arguments.wire:
        cargo.run(report, "wire", choice)
    if everything or arguments.vm:
        if not any(choice(f"vm.{name}") for name in guests.all_cases()):
            pass
        elif built:
            guests.run(report, arguments, choice)
        else:
            report.add("vm.boot", FAIL, reason="not run: the build failed")
    if built and (arguments.selftests or everything and arguments.dut == "reflow"):
        selftests.run(report, arguments, choice, quick=not arguments.selftests)
    return report.finish()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted\n0 passed, 1 failed")
        sys.exit(130)
