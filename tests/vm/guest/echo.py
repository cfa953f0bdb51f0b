# SPDX-License-Identifier: GPL-2.0
"""Echo requests with a verdict.

ping(8) gives up on the last answers after two round trips, which on a busy
host looks like loss. Here an answer has a fixed time to come, and one that
does not is said to be missing.
"""

import errno
import socket
import time

from guest.harness import Failed, Waiting, check

KIND = {4: (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0),
        6: (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129)}
DONT_FRAGMENT = {4: (socket.IPPROTO_IP, 10, 2), 6: (socket.IPPROTO_IPV6, 23, 2)}


def _request(version, sequence, size):
    payload = bytes((sequence + n) & 255 for n in range(min(size, 256)))
    payload = (payload * (size // 256 + 1))[:size]
    return bytes((KIND[version][2], 0, 0, 0, 0, 0)) + sequence.to_bytes(2, "big") + payload


def _answer(sock, version, sequence, request):
    """Wait for the answer to a request; older answers may still come in between."""
    while True:
        got = sock.recv(70000)
        if got[0] == KIND[version][3] and got[6:8] == sequence.to_bytes(2, "big"):
            check(got[8:] == request[8:], f"the echo of {len(request) - 8} bytes over "
                                          f"IPv{version} came back changed")
            return


def echoes(make, target, version, size=56, count=1, gap=0.0, whole=False, limit=3.0):
    """Send `count` requests, each once the last is answered; return the round trips.

    `make` makes a socket at the asking end. `whole` forbids fragmenting.
    """
    family, protocol = KIND[version][:2]
    took = []
    with make(family, socket.SOCK_DGRAM, protocol) as sock:
        sock.settimeout(limit * Waiting.scale)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        if whole:
            sock.setsockopt(*DONT_FRAGMENT[version])
        sock.connect((target, 0))
        for sequence in range(count):
            request = _request(version, sequence & 0xFFFF, size)
            begun = time.monotonic()
            with Waiting(f"the answer to echo {sequence + 1} of {count}, {size} bytes, "
                         f"from {target}"):
                try:
                    sock.send(request)
                    _answer(sock, version, sequence & 0xFFFF, request)
                except TimeoutError:
                    raise Failed(f"echo {sequence + 1} of {count}, {size} bytes, to {target} was "
                                 f"not answered within {limit * Waiting.scale:g} s") from None
                except OSError as why:
                    raise Failed(f"an echo of {size} bytes to {target}: "
                                 f"{errno.errorcode.get(why.errno, why)}") from None
            took.append(time.monotonic() - begun)
            if gap:
                time.sleep(gap)
    return took
