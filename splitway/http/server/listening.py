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
_TRIES = 5
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
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


def bind_free(host: str) -> socket.socket:
    """The same on a port that is free, bound by its number: only such a socket keeps its port while it refuses."""
    for _ in range(_TRIES):
        with bind(host, 0) as found:
            port = found.getsockname()[1]
        with suppress(SetupError):  # another process was faster
            return bind(host, port)
    return bind(host, 0)


def _instead(error: OSError | UnicodeError) -> str:
    """What to choose where a socket cannot be bound: a name without an address, or another machine's, is no port's."""
    if isinstance(error, (socket.gaierror, UnicodeError)) or error.errno == errno.EADDRNOTAVAIL:
        return "--host takes a name or an address of this machine"
    stop = ", or stop what listens there: splitway down in its folder, if it is a pipeline"
    return f"choose another with --port{stop if error.errno == errno.EADDRINUSE else ''}"


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


def keep_refusing(listener: socket.socket) -> None:
    """Have callers refused at once, and keep the port: no other process can take it. `let_listen` ends the latter.

    Callers that the kernel has let in and no process has accepted are reset. Where the kernel is not Linux's, callers
    wait instead.
    """
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RD)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def let_listen(listener: socket.socket) -> None:
    """Make a socket ready for a process that begins to listen on it, whatever kept callers out before. Raises OSError.

    Callers are refused until then, if they were refused until now.
    """
    with suppress(OSError):  # nothing keeps them out
        listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def have_wait(listener: socket.socket) -> None:
    """Have callers wait for a process that accepts them. Raises OSError."""
    let_listen(listener)
    listener.listen(_BACKLOG)


def waits_to_be_let_in(listeners: Iterable[socket.socket]) -> bool:
    """Whether a connection that the kernel has made is still to be accepted."""
    poll = select.poll()
    for listener in listeners:
        poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
