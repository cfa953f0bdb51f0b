# SPDX-License-Identifier: GPL-2.0
"""What is measured: a table."""

import dataclasses
import fnmatch

SEGMENT = 1448


@dataclasses.dataclass(frozen=True)
class Workload:
    """A way of receiving or sending, as tests/bench/sink.c is told about it."""

    name: str
    mode: str
    # Before counting begins, and counted: MiB of a stream, else packets or rounds.
    warm: int
    amount: int
    arguments: str = ""
    # One of these is what a cost is told for.
    unit: str = "packet"
    # Its data is told in MiB, too.
    stream: bool = False
    # The guest sends; what it receives does not reach its stack.
    sends: bool = False
    dropped: bool = False
    # State of the interface while it lasts, as guest.sh knows it: "plain", "pages" for payload
    # in pages of its own, "big" for aggregates beyond 64 KiB.
    setup: str = "plain"

    def order(self, giants=False):
        """Return the setup and the words for the sink; with `giants` bursts come as one frame."""
        mode = "giant" if giants else self.mode
        return f"{self.setup} {mode} {self.warm} {self.amount} {self.arguments}".rstrip()


def _stream(name, mode, warm, amount, arguments, **more):
    return Workload(name, mode, warm, amount, arguments, stream=True, **more)


def _mixes():
    """Connections that take turns strictly: frames under way, and time stamps."""
    for window, of_window in ((4000, ""), (132, "-132")):
        for stamps, of_stamps in (("batch", ""), ("step", "-step")):
            for flows, warm, amount in ((16, 8, 24), (64, 8, 24), (1000, 32, 64)):
                yield _stream(f"mix{flows}{of_window}{of_stamps}", "mix", warm, amount,
                              f"{flows} {window} {stamps}")


# DEVICE becomes the name of the guest's interface.
_ALL = [
    _stream("bulk1", "bulk", 8, 24, "1"),
    _stream("bulk8", "bulk", 8, 24, "8"),
    _stream("bulk1-big", "long", 8, 24, "1", setup="big"),
    *_mixes(),
    _stream("zc-map", "map", 8, 24, "", setup="pages"),
    _stream("zc-uring", "uring", 8, 24, "DEVICE 0", setup="pages"),
    Workload("udp-drop", "udp-drop", 4096, 16384, "tcx DEVICE", dropped=True),
    Workload("udp-xdp", "udp-drop", 4096, 16384, "xdp DEVICE", dropped=True),
    Workload("udp-sink", "udp-read", 4096, 16384),
    _stream("send1", "send", 8, 24, "1", sends=True),
    _stream("send8", "send", 8, 24, "8", sends=True),
    Workload("udp-send", "udp-send", 4096, 16384, sends=True),
    Workload("rr1", "exchange", 256, 1024, "1", unit="round"),
    Workload("rr1k", "exchange", 256, 1024, "1024", unit="round"),
]
WORKLOADS = {workload.name: workload for workload in _ALL}


def chosen(patterns):
    """Return the workloads whose names match one of the shell patterns; ValueError if none does."""
    for pattern in patterns:
        if not fnmatch.filter(WORKLOADS, pattern):
            raise ValueError(f"no workload is named {pattern}; there are {', '.join(WORKLOADS)}")
    return [workload for workload in _ALL
            if not patterns or any(fnmatch.fnmatch(workload.name, p) for p in patterns)]
