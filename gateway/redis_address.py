"""Validation of a Redis address, when the settings are read, so that a wrong one never serves requests."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

_HIGHEST_PORT = 65535
_NOT_OURS = ("decode_responses", "encoding", "encoding_errors")
"""Options that would change the values the gateway reads; it stores bytes."""


def check_redis_address(url: str) -> None:
    """Look at an address such as `redis://host:6379/0`; nothing is connected to.

    Raises:
        ValueError: no connection could ever be made to it. The message holds nothing of the address but the names of
            its options, for a mistyped one may hold a password in any place.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("the port must be a number from 1 to 65535") from None
    if not host:
        raise ValueError("the host is missing: use an address such as redis://127.0.0.1:6379/0")
    if port is not None and not 0 < port <= _HIGHEST_PORT:
        raise ValueError("the port must be a number from 1 to 65535")
    database = parts.path.removeprefix("/")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("the path must be the number of a database, such as /0")
    if parts.fragment:
        raise ValueError("'#' is not allowed; write %23 for one in a password")
    _check_options(url, tuple(parse_qs(parts.query, keep_blank_values=True)))


def _check_options(url: str, names: tuple[str, ...]) -> None:
    """Make a connection that is not opened: the client looks at its options only then."""
    try:
        from redis.asyncio import ConnectionPool  # noqa: PLC0415 - large, and needed where there is a Redis alone
    except ModuleNotFoundError as error:
        raise ValueError(f"it needs {error.name}: install splitway[gateway]") from error
    named = ", ".join(name[:40] for name in names if name.isidentifier()) or "none that can be named"
    if any(name in _NOT_OURS for name in names):
        raise ValueError(f"the options must not change how values are read: {named}")
    try:
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call] # of redis-py
    except Exception:  # whatever the client, or its reading of certificates, makes of a wrong option
        raise ValueError(f"the client does not support these options or values: {named}") from None
