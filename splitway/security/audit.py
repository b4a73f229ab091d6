"""The audit log: a line for everything an administrator does, or is refused, whatever the level of the log."""

from __future__ import annotations

import logging

_log = logging.getLogger("splitway.audit")
EVENT = "audit"


def audit(action: str, who: str, outcome: str, **what: object) -> None:
    """Log one action.

    Args:
        action: what was to be done, such as `model.load`.
        who: the key's id, or in words where there is none; never a key.
        outcome: `ok`, or the error's code.
        what: to which model, version, key.
    """
    _log.setLevel(logging.INFO)
    _log.info(EVENT, extra={"action": action, "who": who, "outcome": outcome, **what})
