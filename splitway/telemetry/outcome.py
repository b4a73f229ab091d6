"""The words for how work ended: the same in metrics, logs, traces and on the page."""

from __future__ import annotations

from splitway.errors import RequestError, ServingError, SplitwayError

OK, CANCELLED = "ok", "cancelled"
HURRIED = "caller_deadline"
"""The time was up because the caller had allowed less than one attempt may take."""


def _codes_below(kind: type[SplitwayError]) -> list[str]:
    return [kind.code, *(code for each in kind.__subclasses__() for code in _codes_below(each))]


CALLERS = frozenset(_codes_below(RequestError)) - {SplitwayError.code} | {HURRIED}
"""Of failures that are the caller's to mend."""
OURS = frozenset(_codes_below(ServingError)) | {SplitwayError.code}
"""Of failures that are the pipeline's."""
OUTCOMES = (OK, CANCELLED, *sorted(CALLERS | OURS))
