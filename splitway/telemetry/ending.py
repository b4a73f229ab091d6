"""How work ended, in one word."""

from __future__ import annotations

from starlette.requests import ClientDisconnect

from splitway.errors import SplitwayError
from splitway.telemetry.outcome import CANCELLED, OK


def outcome_name(error: BaseException | None) -> str:
    """`ok`, the error's code, or `cancelled` if the caller disconnected."""
    if error is None:
        return OK
    if isinstance(error, SplitwayError):
        return error.code
    if isinstance(error, Exception) and not isinstance(error, ClientDisconnect):
        return SplitwayError.code
    return CANCELLED
