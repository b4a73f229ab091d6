"""Keeps a pipeline's processes up: one that ends is started again, sooner or later, until it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from splitway.errors import SplitwayError, reason_of
from splitway.local.launch import LocalPipeline
from splitway.local.processes import Process
from splitway.names import GATEWAY

_FIRST_S, _MOST_S = 0.5, 30.0
_STAYS_S = 30.0
"""A process that was ready for so long has nothing to do with its earlier ends."""
_ASK_S = 0.5
"""Between two questions whether a process that was started again is ready."""
_PATIENCE_S = 1.0
"""Callers of a dead gateway wait for it if it is started again so soon; else they are refused until then."""
Say = Callable[[str, str], None]
"""Given a process's name and a sentence about it."""


@dataclass
class Backoff:
    """How long to wait before a process is started again: twice as long each time, until it has stayed ready."""

    ends: int = 0
    """How often it has ended since it last stayed."""
    ready_since_s: float | None = None

    def ready(self, now_s: float) -> None:
        """Note that the process is ready; it counts from the first time on."""
        if self.ready_since_s is None:
            self.ready_since_s = now_s

    def ended(self, now_s: float) -> float:
        """Note that the process has ended; return the seconds to wait."""
        stayed = self.ready_since_s is not None and now_s - self.ready_since_s >= _STAYS_S
        self.ends = 0 if stayed else self.ends
        self.ready_since_s = None
        self.ends += 1
        return min(_FIRST_S * 2.0 ** min(self.ends - 1, 10), _MOST_S)


@dataclass
class _Watched:
    """A process, and what is to be done about it next."""

    process: Process
    backoff: Backoff
    start_at_s: float | None = None
    """None while it runs, or stays ended."""
    ask_at_s: float | None = None
    """When to ask whether it is ready; None where that is known."""
    since_s: float = 0.0
    """When it ended last."""
    is_given_up: bool = False


class Supervisor:
    """Looks after the processes of a pipeline that was ready.

    All is done in `look`, which the thread that started the processes calls again and again: on Linux they end with the
    thread that started them, and nothing is started beside a stop.

    Args:
        pipeline: started with `restart`, if processes are to be started again.
        restart: whether they are.
        say: told of each end, each start and each return.
        is_ready: asks a process whether it is ready.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        pipeline: LocalPipeline,
        say: Say,
        is_ready: Callable[[Process], bool],
        *,
        restart: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._say = say
        self._is_ready = is_ready
        self._restart = restart
        self._clock = clock
        now_s = clock()
        self._watched = [_Watched(process, Backoff(0, now_s)) for process in pipeline.processes]

    @property
    def all_have_ended(self) -> bool:
        """Whether no process runs, and none is to be started again."""
        return all(each.is_given_up for each in self._watched)

    def look(self) -> None:
        """Do what is due: note processes that have ended, start those whose time has come, ask those that were."""
        for each in self._watched:
            if each.is_given_up:
                continue
            if each.start_at_s is not None:
                if self._clock() >= each.start_at_s:
                    self._start(each)
            elif each.process.exit_code is not None:
                self._note_end(each)
            elif each.ask_at_s is not None and self._clock() >= each.ask_at_s:
                self._ask(each)

    def _note_end(self, each: _Watched) -> None:
        process, each.since_s, each.ask_at_s = each.process, self._clock(), None
        how = f"has ended with {process.exit_code}"
        if not self._restart:
            each.is_given_up = True
            self._say(process.name, f"{how}; with --no-restart it stays so")
            return
        self._wait(each, how)

    def _wait(self, each: _Watched, how: str) -> None:
        delay_s = each.backoff.ended(self._clock())
        each.start_at_s = self._clock() + delay_s
        if each.process.stage == GATEWAY and delay_s <= _PATIENCE_S:
            self._pipeline.let_callers_wait_for(each.process)
        else:
            self._pipeline.refuse_callers_of(each.process)
        self._say(each.process.name, f"{how}; it is started again in {delay_s:g} s")

    def _start(self, each: _Watched) -> None:
        each.start_at_s = None
        try:
            self._pipeline.start_again(each.process)
        except (OSError, SplitwayError) as error:
            self._say_trouble(each, error)
        each.ask_at_s = self._clock()

    def _say_trouble(self, each: _Watched, error: OSError | SplitwayError) -> None:
        if each.process.exit_code is None:
            self._say(each.process.name, f"runs again, but {reason_of(error)}")
        else:
            self._wait(each, f"cannot be started again: {reason_of(error)}")

    def _ask(self, each: _Watched) -> None:
        each.ask_at_s = self._clock() + _ASK_S
        if self._is_ready(each.process):
            each.ask_at_s = None
            each.backoff.ready(self._clock())
            self._say(each.process.name, f"is ready again, after {self._clock() - each.since_s:.1f} s")
