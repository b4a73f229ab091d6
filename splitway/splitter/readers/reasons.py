"""The reason of a library's failure, in one sentence."""

from __future__ import annotations

import re

from splitway.errors import in_one_line, printable

_MOST = 400


def reason_of(error: BaseException) -> str:
    """The innermost reason that Keras gives in its message, where it wraps several, in one line."""
    said = in_one_line(error if isinstance(error, Exception) else Exception(str(error)))
    said = said.rsplit("Exception encountered: ", 1)[-1]
    said = re.sub(r"^Exception encountered when calling (\S+?)(?:\.call\(\))?\.? ", r"in \1: ", said)
    said = re.split(r" ?Arguments received by | ?Call arguments received by ", said)[0]
    said = printable(said).strip() or type(error).__name__
    return said if len(said) <= _MOST else f"{said[:_MOST]}…"
