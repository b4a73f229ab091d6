"""A line in the log for each request; under load for a share of them, judged alike in every process."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from typing import Any

from splitway.errors import NotFound, ServingError, SplitwayError
from splitway.telemetry.outcome import OURS
from splitway.telemetry.watch import Facts, RequestEnded

Clock = Callable[[], float]
"""Monotonic seconds."""
_ALL = 1 << 32
_REMEMBERED_S = 10
"""How long a pause may be after which as many are expected as before it."""


class LoggedShare:
    """Which of many requests are logged: about as many a second as are wanted.

    What to expect is learnt from the last busy second; where more come than that, the share is halved on the way.

    A request is judged by its id, so that processes that see as many log the same ones, and where one sees more, its
    are among those of the others.
    """

    def __init__(self, per_second: int, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._second = 0
        self._came = 0
        self._logged = 0
        self._most = per_second
        self.share = 1.0

    def takes(self, request_id: str) -> bool:
        """Count a request and say whether it is logged."""
        second = int(self._clock())
        if second != self._second:
            self._begin(second)
        self._came += 1
        if self._logged >= self._most:  # more come than was thought
            self.share /= 2
            self._most += self._per_second
        taken = zlib.crc32(request_id.encode()) < self.share * _ALL
        self._logged += taken
        return taken

    def _begin(self, second: int) -> None:
        expected = self._came if second - self._second <= _REMEMBERED_S else 0
        self._second, self._came, self._logged, self._most = second, 0, 0, self._per_second
        self.share = min(1.0, self._per_second / expected) if expected else 1.0


class RequestLog:
    """Logs requests: never what was sent or a key, only how it went.

    Args:
        event: what a line is called.
        subject: what a request's name is: `route` or `stage`.
        per_second: of requests that went well, and of those that did not; 0 for none.
        more: what the app adds to a line.
    """

    def __init__(
        self,
        event: str,
        subject: str,
        per_second: int,
        clock: Clock,
        more: Callable[[Any], dict[str, Any]],
    ) -> None:
        self._log = logging.getLogger(f"splitway.{event}")
        self._event = event
        self._subject = subject
        self._more = more
        self._shares = (
            {False: LoggedShare(per_second, clock), True: LoggedShare(per_second, clock)} if per_second else None
        )

    def on_request(self, ended: RequestEnded[Facts]) -> None:
        """Log a request that has ended, or leave it out."""
        failed = ended.outcome in OURS
        if self._shares is None:
            return
        logged = self._shares[failed]
        if not logged.takes(ended.request_id or ended.trace_id):
            return
        share = logged.share
        line: dict[str, Any] = {
            self._subject: ended.name,
            "request_id": ended.request_id,
            "trace_id": ended.trace_id,
            "outcome": ended.outcome,
            **({"caller": ended.caller} if ended.caller else {}),
            "ms": round(ended.seconds * 1000, 3),
            "received_bytes": ended.received_bytes,
            "sent_bytes": ended.sent_bytes,
            **_blame(ended.error),
            **({} if ended.facts is None else self._more(ended.facts)),
            **({} if share == 1.0 else {"share": round(share, 4)}),
        }
        level = logging.WARNING if failed else logging.INFO
        if self._log.isEnabledFor(level):
            record = self._log.makeRecord(self._log.name, level, __file__, 0, self._event, (), None, extra=line)
            record.created = ended.at_s
            self._log.handle(record)


def _blame(error: BaseException | None) -> dict[str, Any]:
    """Where it went wrong and, if that was our doing, how; a caller's mistake may quote what they sent."""
    if isinstance(error, NotFound) or not isinstance(error, SplitwayError):  # the stage may be a name that was made up
        return {}
    blamed = {} if error.stage is None else {"blamed": error.stage}
    return blamed | ({"detail": error.in_full} if isinstance(error, ServingError) else {})
