"""Listening on an address, or saying why not and what to do; and how a process stops without cutting anybody off.

A connection that the kernel has made and the process has not accepted is reset when the listening socket is closed,
and its caller cannot tell whether the request was seen.
"""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from splitway.errors import SetupError

_BACKLOG = 2048
_SO_ATTACH_FILTER = 26
_FLAGS, _SYN_ACK, _SYN = 13, 0x12, 0x02
"""Of a TCP header: where its flags are, and two of them."""
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_PROGRAM = (
    (_LOAD_BYTE, 0, 0, _FLAGS),
    (_AND, 0, 0, _SYN_ACK),
    (_JUMP_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFF_FFFF),
)
"""Drops the packets that ask for a connection, and no others."""


def bind(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket. Raises SetupError if the port is taken, or the host is none of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else "it is no name"
        raise SetupError(f"cannot listen on {host}:{port}: {why}; {_instead(error)}") from error
    return listener


def _instead(error: OSError | UnicodeError) -> str:
    """What to choose where a socket cannot be bound: a name without an address, or another machine's, is no port's."""
    if isinstance(error, (socket.gaierror, UnicodeError)) or error.errno == errno.EADDRNOTAVAIL:
        return "--host takes a name or an address of this machine"
    return "choose another with --port"


def let_no_more_in(listener: socket.socket) -> None:
    """Have the kernel refuse new connections; those it has made already can still be accepted.

    Callers ask again after a second, and are refused then if the socket is closed. Does nothing where the kernel is not
    Linux's.
    """
    program = b"".join(struct.pack("HBBI", *step) for step in _PROGRAM)
    buffer = ctypes.create_string_buffer(program)
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_PROGRAM), ctypes.addressof(buffer))
        )


def waits_to_be_let_in(listeners: Iterable[socket.socket]) -> bool:
    """Whether a connection that the kernel has made is still to be accepted."""
    poll = select.poll()
    for listener in listeners:
        poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
