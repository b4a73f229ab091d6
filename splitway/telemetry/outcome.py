"""How work ended, in one word: the same in metrics, logs, traces and on the page."""

from __future__ import annotations

from starlette.requests import ClientDisconnect

from splitway.errors import RequestError, ServingError, SplitwayError

OK, CANCELLED = "ok", "cancelled"


def _codes_below(kind: type[SplitwayError]) -> list[str]:
    return [kind.code, *(code for each in kind.__subclasses__() for code in _codes_below(each))]


CALLERS = frozenset(_codes_below(RequestError)) - {SplitwayError.code}
"""Codes of failures that are the caller's to mend."""
OURS = frozenset(_codes_below(ServingError)) | {SplitwayError.code}
"""Codes of failures that are the pipeline's."""
OUTCOMES = (OK, CANCELLED, *sorted(CALLERS | OURS))


def outcome_name(error: BaseException | None) -> str:
    """`ok`, the error's code, or `cancelled` where nobody waited any more."""
    if error is None:
        return OK
    if isinstance(error, SplitwayError):
        return error.code
    if isinstance(error, Exception) and not isinstance(error, ClientDisconnect):
        return SplitwayError.code
    return CANCELLED
