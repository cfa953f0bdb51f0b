# SPDX-License-Identifier: GPL-2.0
"""Named test cases: registry, time limits, check of the kernel log.

A case is a function of one argument, the rig. Its name is that of its file and
its own, "tcp.bulk_v4_receive". Cases report to the host in lines of JSON that
begin with "@", so that no other output is mistaken for a report.

Cases run in any order: each takes back all its changes (Rig.defer), and asks for
differences of counters, never for their values.
"""

import faulthandler
import json
import os
import re
import signal
import sys
import time
import traceback

CASES = {}

# Messages of the kernel about a fault. A line that matches fails the case, whatever
# its own result.
TROUBLE = re.compile(
    r"WARNING:|BUG: (?!KCSAN)|KCSAN: .*\[reflow\]|Oops|Kernel panic|general protection|Call Trace|UBSAN|KASAN|"
    r"suspect GRO implementation|page_pool_release_retry|NETDEV WATCHDOG|"
    r"self-detected stall|detected stalls|soft lockup|hard LOCKUP|hung task|"
    r"blocked for more than|refcount_t|DMA-API|possible circular locking|"
    r"inconsistent lock state|suspicious RCU usage|unregister_netdevice: waiting|"
    r"scheduling while atomic|sleeping function called|bad page|list_(add|del) corruption|"
    r"ODEBUG|non-static key|lockdep is turned off|ref_tracker: \S+ has|kmemleak: [0-9]+ new|"
    r"kernel log were lost|panicked at"
)


# The driver's messages about a fault of the device: a false alarm unless the case's file says
# ALARMS.
ALARM = re.compile(r"reflow\d: .*(; restarting it|; resetting it|; polling in its place|"
                   r"could not be mended|has stopped counting|is detached)")
# The kernel logs this for each allocation that a case makes fail.
ASKED = "Call Trace"
# Constants that a file of cases may set to True:
#   ALARMS   the device misbehaves or is reset on purpose, so alarms of the driver are no fault
#   REFUSES  allocations fail on purpose, so call traces are no fault
#   SLEEPS   the machine sleeps, which the guest's shared files do not survive: a machine of its own
# A file that is about another device of ours names it in DEVICE (host.qemu.DUTS): its cases have
# a machine of their own, with that device.
FLAGS = ("ALARMS", "REFUSES", "SLEEPS")

# Data races outside our code or without harm, each with its reason.
ARGUED = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "../../debug/kcsan.argued")


HUNG_TASK = "/proc/sys/kernel/hung_task_timeout_secs"


class Skip(Exception):
    """The case cannot be run on this device, and why."""


class Failed(Exception):
    """The case failed, with a message."""


class Expired(Failed):
    """The time limit of a case is over."""


class Case:
    """One case: its name, the claims it proves, its time limit in s."""

    def __init__(self, func, claims, limit, debug=False, last=False, each_run=False, after=None,
                 bears=()):
        self.subject = func.__module__.rsplit(".", 1)[-1]
        self.name = f"{self.subject}.{func.__name__}"
        self.func = func
        self.claims = sorted(claims)
        self.limit = limit
        self.debug = debug
        self.last = last
        self.each_run = each_run
        self.after = after
        self.bears = [re.compile(each) for each in bears]
        self.flags = {flag for flag in FLAGS if func.__globals__.get(flag)}
        self.device = func.__globals__.get("DEVICE")
        self.about = (func.__doc__ or "").strip().split("\n")[0]


def case(claims=(), limit=20, **which):
    """Register a function as a case that proves `claims` within `limit` s.

    `debug`: only for a debug kernel. `last`: ends the machine or the run, so it comes after all
    others. `each_run`: part of each run on a debug kernel, whatever is chosen. `after`: the second
    half of a case that boots another kernel, called there. `bears`: expressions for lines of the
    kernel log that are not held against the case, which says why.
    """

    def add(func):
        entry = Case(func, claims, limit, **which)
        CASES[entry.name] = entry
        return func

    return add


def emit(**event):
    """Tell the host; one line, at once."""
    sys.stdout.write("@" + json.dumps(event) + "\n")
    sys.stdout.flush()


def check(condition, text):
    """Fail the case with `text` unless `condition` holds."""
    if not condition:
        raise Failed(text)


def equal(what, seen, expected):
    """Fail the case unless what was seen is what was expected."""
    check(seen == expected, f"{what}: expected {expected}, saw {seen}")


class Waiting:
    """Names the awaited event for the report of an expiry."""

    current = []
    scale = 1.0

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        Waiting.current.append(self.what)

    def __exit__(self, kind, *_):
        # On expiry the list is what the report is made of: leave it alone.
        if kind is None or not issubclass(kind, Expired):
            Waiting.current.pop()


def until(what, predicate, limit=5.0, interval=0.02):
    """Poll until the predicate holds; return its value. `what` goes to the report of a failure."""
    limit *= Waiting.scale
    end = time.monotonic() + limit
    with Waiting(what):
        while True:
            value = predicate()
            if value:
                return value
            if time.monotonic() > end:
                raise Failed(f"waited {limit:g} s for {what}; last seen: {value!r}")
            time.sleep(interval)


def settle(what, difference, limit=4.0):
    """Poll until `difference` returns nothing; report the rest."""
    end = time.monotonic() + limit * Waiting.scale
    with Waiting(what):
        while left := difference():
            if time.monotonic() > end:
                raise Failed(f"{what}: not so, {left}")
            time.sleep(0.1)


def at_rest(reading, limit=5.0):
    """Return `reading()` once it is twice the same: then no frame is under way.

    Counters of both ends of a link, read one after the other, can be compared only from there.
    """
    last = []

    def rests():
        last.append(reading())
        return last[-2:-1] == last[-1:]
    until("the link to be quiet", rests, limit, interval=0.05)
    return last[-1]


def be_patient():
    """Scale how long a task may be blocked before the kernel reports it, where that is short.

    A debug kernel takes long to make the largest rings, with locks held that others wait for.
    """
    with open(HUNG_TASK, "r+", encoding="ascii") as knob:
        limit = max(int(knob.read()), int(10 * Waiting.scale))
        knob.seek(0)
        knob.write(str(limit))


class KernelLog:
    """New lines of the kernel log since the last look."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)
        with open(ARGUED, encoding="utf-8") as text:
            lines = [line.strip() for line in text]
        self.argued = [re.compile(line) for line in lines if line and line[0] != "#"]

    def new_lines(self):
        """Return the lines since the last call."""
        lines = []
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return lines
            except BrokenPipeError:
                lines.append("(lines of the kernel log were lost)")
                continue
            lines.append(record.partition(";")[2].split("\n")[0])

    def trouble(self, faulty=False):
        """Return the new lines that report a fault; `faulty` leaves out alarms of the driver."""
        return [line for line in self.new_lines()
                if TROUBLE.search(line) and not any(each.search(line) for each in self.argued)
                or not faulty and ALARM.search(line)]

    def complaint(self, flags=(), bears=()):
        """Return a sentence of such lines, or nothing.

        `flags` are those of the case's file, `bears` the case's own exceptions.
        """
        found = [line for line in self.trouble("ALARMS" in flags)
                 if ("REFUSES" not in flags or ASKED not in line)
                 and not any(each.search(line) for each in bears)]
        return f"kernel log: {' | '.join(found[:3])}" if found else ""


def _expired(_signal, _frame):
    what = " / ".join(Waiting.current) or "the case to end"
    raise Expired(f"time limit; it was waiting for {what}")


def _attempt(entry, rig):
    """Run one case with its limit; return the result and the reason."""
    Waiting.current.clear()
    limit = entry.limit * Waiting.scale
    # If even the limit does not end the case, the console shows where it hangs.
    faulthandler.dump_traceback_later(limit + 15, file=sys.stderr)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit)
        entry.func(rig)
    except Skip as why:
        return "skip", str(why)
    except Failed as why:
        return "fail", str(why)
    except Exception as why:  # a bug of the case fails the case only
        where = traceback.extract_tb(why.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}:{where.lineno}"
        return "fail", f"{type(why).__name__}: {why} ({place})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        rig.come_home()
    return "pass", ""


def _undo(rig, limit=30):
    """Take back what the case changed; return what went wrong, if anything."""
    try:
        signal.setitimer(signal.ITIMER_REAL, limit * Waiting.scale)
        rig.undo()
    except Exception as why:
        return f"the state before the case could not be restored: {why}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def run_case(entry, rig, log):
    """Run one case, report it to the host, return whether the rig is still fit."""
    emit(event="start", test=entry.name, claims=entry.claims,
         limit=entry.limit * Waiting.scale)
    start = time.monotonic()
    result, reason = _attempt(entry, rig)
    if result == "fail":
        rig.describe(entry.name, reason)
    undone = _undo(rig)
    complaints = list(filter(None, [log.complaint(entry.flags, entry.bears), undone]))
    if complaints:
        result = "fail"
        reason = "; ".join(filter(None, [reason, *complaints]))
    # A report of the kernel is not a matter of time: only other failures may be tried again.
    emit(event="end", test=entry.name, result=result, reason=reason, final=bool(complaints),
         claims=entry.claims, seconds=round(time.monotonic() - start, 2))
    return result != "fail"


def end_case(name, rig, log):
    """End a case that began in another kernel: its second half is its entry's `after`."""
    start = time.monotonic()
    try:
        CASES[name].after(rig)
        reason = log.complaint()
    except (Failed, OSError) as why:
        reason = str(why)
    emit(event="end", test=name, result="fail" if reason else "pass", reason=reason,
         seconds=round(time.monotonic() - start, 2))


def run_cases(names, rig, log):
    """Run the named cases in order; rebuild the rig behind each failure."""
    signal.signal(signal.SIGALRM, _expired)
    for name in names:
        if run_case(CASES[name], rig, log):
            continue
        try:
            signal.setitimer(signal.ITIMER_REAL, 60 * Waiting.scale)
            rig.rebuild()
        except Exception as why:
            # The host boots a fresh machine for the cases that are left.
            emit(event="lost", reason=f"the rig could not be rebuilt after {name}: {why}")
            return
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        log.new_lines()
    emit(event="done")
