"""Ends a process that can no longer answer, so that whatever supervises it starts it again.

An engine that hangs keeps its thread for ever, while the event loop goes on answering probes. What tells it from a slow
one is the time of a single run: not how many wait for it, not the time in which the whole process stood still, and not
how many rows one request has: a run of many may take twice what they have taken before, beyond the time of any run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from splitway.http.heartbeat import Lookout
from splitway.http.lifecycle import Lifecycle
from splitway.runtime.batching.threads import Runs
from splitway.runtime.catalog.served import ServedBundle
from splitway.wire.deadline import Clock

_log = logging.getLogger(__name__)


class Watchdog(Lookout):
    """Looks at what a process runs: one run may take `limit_s`.

    Args:
        limit_s, lifecycle, clock: as of any Lookout.
        models: those that are served now.
        ends_within_s: how long a process that hangs may take to end in order; its event loop may hang as well.
    """

    def __init__(
        self,
        limit_s: float,
        lifecycle: Lifecycle,
        models: Callable[[], Iterable[ServedBundle]],
        clock: Clock = time.monotonic,
        ends_within_s: float = 15.0,
    ) -> None:
        super().__init__(limit_s, lifecycle, clock)
        self.runs = Runs(clock, self.pauses.within)
        self._models = models
        self._ends_within_s = ends_within_s

    def start(self) -> None:
        """Begin to look. To be called on the event loop."""
        self._loop = asyncio.get_running_loop()
        super().start()

    def stop(self, *, loading: bool = False) -> None:
        """End it, when all that can be stopped has been.

        Args:
            loading: whether a model is still being loaded, which cannot be stopped.
        """
        super().stop()
        self.pauses.forget()
        left = [model for model, *_ in self.runs.under_way]
        if left or loading:
            self._lifecycle.is_stuck = True
            _log.error("%s could not be stopped and is given up", ", ".join(left) or "a model that is being loaded")

    def hangs(self) -> str | None:
        for model, began_s, more_s in self.runs.under_way:
            ran_s = self._worked_s(began_s)
            if 0 < self._limit_s < ran_s - more_s:
                allowed_s = self._limit_s + more_s
                return f"{model} hangs: one run has taken {ran_s:.0f} s, and {allowed_s:g} s are allowed"
        return None

    def _end(self, reason: str) -> None:
        self._lifecycle.hang = reason
        hanging = [each for each in self._models() if reason.startswith(f"{each.label} ")]
        # Those who wait for what will not answer are answered; the tasks live as long as what is kept of them here.
        self._closing = [asyncio.run_coroutine_threadsafe(each.close(), self._loop) for each in hanging]
        if not self._stopped.wait(self._ends_within_s):
            super()._end(reason)
