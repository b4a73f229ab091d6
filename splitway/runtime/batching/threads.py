"""The threads that compute, and the runs that they are at.

They end with the process, whatever they are at: an engine that hangs must not keep it from ending. They give way to an
event loop that answers in microseconds: without it a full machine lets the cheapest answers, health and refusals, wait
behind the dearest.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from splitway.wire.deadline import Clock

GIVES_WAY_BY = 5
"""Steps of `nice`: about a third of the weight of a thread that has not given way."""
STOPS_WITHIN_S = 5.0
"""So long threads are waited for when their work is no longer wanted."""
_Of = ParamSpec("_Of")
_Result = TypeVar("_Result")
_Work = tuple[Future[Any], Callable[[], Any]]


class DaemonThreads(Executor):
    """So many threads, begun when they are needed, which let the event loop go first.

    The interpreter waits for the threads of a ThreadPoolExecutor when it ends, however long that takes; not for these.

    Args:
        count: how many.
        name: what they are called, with a number behind it.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, work: Callable[_Of, _Result], /, *args: _Of.args, **kwargs: _Of.kwargs) -> Future[_Result]:
        """Have something done by a thread. To be called from one thread alone."""
        if self._closed:
            raise RuntimeError("the threads have been stopped")
        future: Future[_Result] = Future()
        self._queue.put((future, partial(work, *args, **kwargs)))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, name=f"{self._name}_{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; each thread ends when what is queued is done, or with `cancel_futures` what it is at."""
        self._closed = True
        if cancel_futures:
            with contextlib.suppress(Empty):
                while (left := self._queue.get_nowait()) is not None:
                    left[0].cancel()
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            self.join(threading.TIMEOUT_MAX)

    def join(self, within_s: float) -> bool:
        """Wait for the threads to end, so many seconds in all; say whether they have. Blocks."""
        ends_s = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, ends_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # on Linux, where threads have a priority of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GIVES_WAY_BY)
        while (queued := self._queue.get()) is not None:
            _do(*queued)
            del queued  # or it would keep what it was given until the next


def _do(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


@dataclass
class Runs:
    """Which runs of an engine are under way; each thread has one at most."""

    clock: Clock
    paused_s: Callable[[float, float], float] = lambda *_: 0.0
    """How many seconds between two times the process stood still."""
    _under_way: dict[int, tuple[str, float, float]] = field(default_factory=dict)

    def begin(self, model: str, more_s: float = 0.0) -> None:
        """The calling thread begins a run, or the next part of its run; one of many rows may take more."""
        self._under_way[threading.get_ident()] = model, self.clock(), more_s

    def end(self) -> None:
        """The calling thread's run is over."""
        self._under_way.pop(threading.get_ident(), None)

    @property
    def under_way(self) -> list[tuple[str, float, float]]:
        """The model, the begin and the additional time of each run, in no order. May be asked from any thread."""
        return list(self._under_way.values())
