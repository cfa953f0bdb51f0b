# SPDX-License-Identifier: GPL-2.0
"""Generic netlink, for attributes that the guest's tools do not know."""

import os
import socket
import struct

from guest.harness import Failed, Waiting

NETLINK_GENERIC, SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 16, 270, 10, 11
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_DONE = 3
NLMSG_ERROR, GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 2, 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
NLMSGERR_ATTR_MSG = 1
NESTED = 1 << 15


def attribute(kind, value):
    """Return an attribute: bytes as they are, text, a byte (bool) or a number, or a list."""
    if isinstance(value, (list, tuple)):
        kind, value = kind | NESTED, b"".join(value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, bool):
        value = bytes([value])
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data):
    """Return the attributes of a message as a dictionary of bytes."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & ~NESTED] = data[4:length]
        data = data[(length + 3) & ~3:]
    return found


class Refusal(Failed):
    """The kernel refused: the error number and its message."""

    def __init__(self, code, text):
        super().__init__(f"{os.strerror(code)}{': ' if text else ''}{text}")
        self.code = code
        self.text = text


class Family:
    """A connection to one family."""

    def __init__(self, name, version=1):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
            self.sock.setsockopt(SOL_NETLINK, option, 1)
        self.sock.settimeout(20 * Waiting.scale)
        self.version = 1
        self.id = GENL_ID_CTRL
        about = self.ask(CTRL_CMD_GETFAMILY, attribute(CTRL_ATTR_FAMILY_NAME, name))
        self.id = struct.unpack_from("=H", about[CTRL_ATTR_FAMILY_ID])[0]
        self.version = version

    def ask(self, command, *what):
        """Send a request; return the attributes of the answer, none for a plain ACK."""
        body = struct.pack("=BBH", command, self.version, 0) + b"".join(what)
        self.sock.send(struct.pack("=IHHII", 16 + len(body), self.id,
                                   NLM_F_REQUEST | NLM_F_ACK, 1, 0) + body)
        answer = {}
        while True:
            data = self.sock.recv(1 << 16)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_ERROR:
                    self._check(data[16:length])
                    return answer
                answer = attributes(data[20:length])
                data = data[(length + 3) & ~3:]

    def dump(self, command, *what):
        """Ask for all there is, or all of `what`; return the attributes of each."""
        body = struct.pack("=BBH", command, self.version, 0) + b"".join(what)
        self.sock.send(struct.pack("=IHHII", 16 + len(body), self.id,
                                   NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
        found = []
        while True:
            data = self.sock.recv(1 << 16)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    self._check(data[16:length])
                else:
                    found.append(attributes(data[20:length]))
                data = data[(length + 3) & ~3:]

    @staticmethod
    def _check(error):
        code = -struct.unpack_from("=i", error)[0]
        if code:
            text = attributes(error[20:]).get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode()
            raise Refusal(code, text)

    def close(self):
        """Close; the kernel undoes what was bound to the connection."""
        self.sock.close()
