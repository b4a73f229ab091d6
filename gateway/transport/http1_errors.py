"""How a call over HTTP/1.1 ends that has no reply."""

from __future__ import annotations


class ConnectError(Exception):
    """No connection was made: the request provably did not arrive."""


class WrongPeer(ConnectError):
    """Another service answers than the one that was called."""


class BrokenConnection(Exception):
    """The connection ended before a reply began."""


class BrokenReply(Exception):
    """The reply is no HTTP, ends early, or is longer than allowed."""


class CutReply(BrokenReply):
    """The connection ended before the reply did."""
