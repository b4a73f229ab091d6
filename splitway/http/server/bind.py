"""Listening on an address, or saying why not and what to do."""

from __future__ import annotations

import errno
import socket

from splitway.errors import SetupError

_BACKLOG = 2048


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
