"""Restricts a Reverb server to one address: it binds to all, and offers no choice."""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import os
import socket
import struct
from pathlib import Path

SO_ATTACH_FILTER = 26  # From Linux' asm-generic/socket.h; Python has no name for it.
LISTENING = "0A"  # In /proc/net/tcp.
LOAD_WORD, LOAD_BYTE, AND, JUMP_IF_EQUAL, RETURN = 0x20, 0x30, 0x54, 0x15, 0x06
IP_HEADER = -0x100000  # The offset of the IP header to a socket's filter.
ALL_BITS = 2**32 - 1

logger = logging.getLogger(__name__)


def accept_only(port: int, host: str) -> None:
    """Has this process' server accept connections to `host` and to loopback only.

    The kernel drops other packets at the listening socket, by a classic BPF filter on their
    destination. Where it takes no filter, a warning says that the port is open to all.

    Args:
      port: on which a server of this process listens.
      host: name or address of this machine.
    """
    address = ipaddress.ip_address(socket.getaddrinfo(host, port)[0][4][0])
    loopbacks = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    program = b"".join(map(_accept, [*loopbacks, address])) + _instruction(RETURN, 0)
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    try:
        for descriptor in _listening(port):
            with socket.socket(fileno=os.dup(descriptor)) as listening:
                listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)
    except OSError as error:
        logger.warning("port %d is open on all interfaces (%s).", port, error)


def _accept(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    """Instructions that accept a packet to `address`, or fall through."""
    start = 16 if address.version == 4 else 24  # Of the destination in the IP header.
    checks = [(LOAD_BYTE, 0, 0xF0, address.version << 4)]
    words = struct.unpack(f">{len(address.packed) // 4}I", address.packed)
    checks += [
        (LOAD_WORD, start + 4 * index, ALL_BITS, word) for index, word in enumerate(words)
    ]
    program = b""
    for index, (load, offset, mask, value) in enumerate(checks):
        to_next = 3 * (len(checks) - 1 - index) + 1
        program += _instruction(load, IP_HEADER + offset) + _instruction(AND, mask)
        program += _instruction(JUMP_IF_EQUAL, value, to_next)
    return program + _instruction(RETURN, ALL_BITS)


def _instruction(code: int, value: int, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, 0, if_false, value & ALL_BITS)


def _listening(port: int) -> list[int]:
    """The descriptors of this process' sockets that listen on a port."""
    links = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *others = line.split()
            if state == LISTENING and int(local.rpartition(":")[2], 16) == port:
                links.add(f"socket:[{others[5]}]")
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") in links:
                found.append(int(descriptor))
        except OSError:
            continue  # Closed meanwhile.
    return found
