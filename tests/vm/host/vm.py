# SPDX-License-Identifier: GPL-2.0
"""scripts/vm: one guest with the device, for one command or for a person."""

import argparse
import json
import shlex
import sys
import time

from host import accel, kernels, qemu
from host.machine import Machine, Options, VmError


def parser():
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="scripts/vm", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Boot a kernel with the device and a link partner, run a command in the "
                    "guest,\nreturn its exit status. Logs are left in build/run/NAME.",
        epilog="The guest sees the toolbox's root and this project read-only; build/run/NAME is "
               "writable.\nThe device is there as <driver>0 (192.0.2.1, 2001:db8::1), the "
               "partner as peer0 in the\nnetwork namespace peer (192.0.2.2, 2001:db8::2).")
    made.add_argument("--name", default="vm", help="folder of the run (default: vm)")
    made.add_argument("--dut", default="reflow", choices=sorted(qemu.DUTS),
                      help="device under test (default: reflow)")
    kernels.add_choice(made)
    made.add_argument("--cpus", type=int, default=4, help="virtual CPUs (default: 4)")
    made.add_argument("--queues", type=int, default=4, help="queues of the device (default: 4)")
    made.add_argument("--memory", type=int, default=1024, help="guest memory in MiB")
    made.add_argument("--chaos", metavar="SPEC", help="hostile mode of the device")
    made.add_argument("--trace", metavar="FILE", help="pcapng of the wire, written by the device")
    made.add_argument("--seed", help="seed of the device's dice")
    made.add_argument("--accel", choices=(accel.KVM, accel.TCG), help="do not probe, use this")
    made.add_argument("--append", action="append", default=[], metavar="ARG",
                      help="one more kernel argument")
    made.add_argument("--qemu", default=[], metavar="ARGS", type=shlex.split,
                      help="more arguments for QEMU, as one word")
    made.add_argument("--timeout", type=float, default=300, metavar="S",
                      help="limit for the whole run (default: 300)")
    made.add_argument("--bare", action="store_true",
                      help="do not load the driver and set up the link")
    made.add_argument("--demo", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--interactive", action="store_true", help="a shell instead of a command")
    made.add_argument("command", nargs=argparse.REMAINDER, help="what to run in the guest")
    return made


def job_of(arguments, run_dir):
    """Return the shell command that the guest runs."""
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if arguments.demo:
        return qemu.guest_python(run_dir, "demo")
    given = words[0] if len(words) == 1 else shlex.join(words)
    given = f"{{ {given}\n}} 2>&1"  # stderr proper belongs to the kernel
    if arguments.bare:
        return given
    return f"{qemu.guest_python(run_dir, 'setup')} && {given}"


def _is_for_host(machine, line):
    """Handle a request of the guest's device.py; return whether the line was one."""
    if not line.startswith('@{"event"'):
        return False
    try:
        return machine.obey(json.loads(line[1:]))
    except (KeyError, json.JSONDecodeError):
        return False


def run(arguments):
    """Run the machine as asked; return the exit status."""
    given = vars(arguments)
    names = ("kernel", "dut", "cpus", "queues", "memory", "chaos", "trace", "seed", "accel",
             "append", "qemu")
    options = Options(arguments.name, **{name: given[name] for name in names})
    with Machine(options) as machine:
        machine.configure(fancy=sys.stdout.isatty(), bare=arguments.bare)
        if arguments.interactive:
            return machine.interact()
        machine.start(job_of(arguments, options.run_dir))
        deadline = time.monotonic() + arguments.timeout * options.kernel.scale
        while (line := machine.line(deadline, "the command in the guest")) is not None:
            if not _is_for_host(machine, line):
                print(line, flush=True)
        return machine.status()


def main():
    """Entry point."""
    made = parser()
    arguments = made.parse_args()
    if not (arguments.command or arguments.interactive or arguments.demo):
        made.error("no command given (or --interactive)")
    try:
        return run(arguments)
    except VmError as why:
        print(f"vm: {why}", file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        print("vm: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
