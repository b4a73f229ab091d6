"""Gather what waits, run it as soon as an engine is free, answer everyone.

A job is handed to a thread when a member arrives; the thread takes what is there when it begins, so that a batch grows
while the engines are busy, and nothing waits when nothing is there to wait for. Each member carries its own future;
nothing is looked up by an id. A model that fails, fails those whose rows it fails on, and no other.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial

from splitway.errors import DeadlineExceeded, EngineFailed, Overloaded, UnfitInput, first_line
from splitway.runtime.batching.batch import BatchPolicy, BatchResult, Infer, Member, Prepare, Run, stopping
from splitway.runtime.batching.learned import Sharing, corrected, still_holds
from splitway.runtime.batching.run import Runner
from splitway.runtime.batching.threads import STOPS_WITHIN_S, DaemonThreads, Runs
from splitway.telemetry.trace import TraceContext
from splitway.wire.deadline import Clock, Deadline

_log = logging.getLogger(__name__)
_NOT_AT_ONCE_S = 1.0
"""After a failure, so long nothing is done on the event loop."""
_QUIET_S = 0.05
"""A request this long after the last parallel work is treated as alone."""
_LONGEST_GROUP_S = 0.06
"""Batches that a thread does before it tells anyone take no longer together than this."""
_AT_ONCE_S = 0.0005
"""Work that is done sooner is done on the event loop: going to a thread and back takes as long."""


class Batcher:
    """Feeds engines from many callers; batches run in threads, what takes next to no time at once.

    Args:
        infer: runs the model on inputs of n rows; called by up to `policy.slots` threads at once.
        policy: when a batch is closed.
        clock: monotonic seconds.
        name: what it runs, for `runs`.
        runs: told of each run's begin and end.
    """

    def __init__(
        self,
        infer: Infer,
        policy: BatchPolicy,
        clock: Clock = time.monotonic,
        *,
        name: str = "model",
        runs: Runs | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[Member] = deque()
        self.waiting_rows = 0
        self._in_line = 0
        self._closed = False
        self._row_s = 0.0
        self._measured_at_s = clock()
        self._failed_at_s = -_NOT_AT_ONCE_S
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Future[list[Run]]] = set()
        self._crowded_at_s = -_QUIET_S
        self._threads = DaemonThreads(policy.slots, "engine")
        runs = runs or Runs(clock)
        self._runner = Runner(infer, policy.max_rows, clock, runs, name, self._may_take_s)
        self._paused_s = runs.paused_s
        self._sharing = Sharing(clock)

    @property
    def shares(self) -> bool:
        """Whether requests of several callers may be in one batch."""
        return self._policy.max_rows > 1

    @property
    def callers_apart(self) -> int:
        """Callers who share no batch for now."""
        return self._sharing.apart

    def start(self) -> None:
        """Take requests from now on. To be called on the event loop."""
        self._loop = asyncio.get_running_loop()

    async def close(self, within_s: float = STOPS_WITHIN_S) -> bool:
        """Begin no more, and tell those who still wait that the stage is gone.

        Returns:
            Whether the threads have ended within so many seconds; one whose engine hangs never does.
        """
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=False)
        for job in self._running:
            job.cancel()
        for member in self._waiting:
            member.fail(stopping())
        self._waiting.clear()
        self.waiting_rows = 0
        return await asyncio.to_thread(self._threads.join, within_s)  # the loop goes on meanwhile

    def at_once(self, prepare: Prepare, rows: int, deadline: Deadline) -> BatchResult | None:
        """Run a member here and now if that takes next to no time, as one whose `prepare` takes none may.

        Returns:
            None if it is to be submitted, for it takes longer, or others are at work.

        Raises:
            As `submit`.
        """
        if not 0.0 < self._row_s * rows < _AT_ONCE_S or self._running or self._waiting or self._closed:
            return None
        now_s = self._clock()
        if now_s - self._failed_at_s < _NOT_AT_ONCE_S:
            return None
        member = Member(prepare, rows, deadline, now_s)
        self._finish(self._runner([member], alone=True))
        return member.future.result()

    async def submit(
        self, prepare: Prepare, rows: int, deadline: Deadline, trace: TraceContext | None = None, caller: str = ""
    ) -> BatchResult:
        """Wait for the outputs of a Member; callers on whose rows the model keeps failing share no batch.

        Raises:
            Overloaded: too many rows wait already.
            DeadlineExceeded: the time is up, or will be before those who came earlier are done.
            UnfitInput: the model cannot answer these inputs.
            EngineFailed: the model failed.
            SplitwayError: of `prepare`.
        """
        if self._closed:
            raise stopping()
        if self.waiting_rows + rows > self._policy.queue_rows and self._waiting:
            raise Overloaded(f"{self.waiting_rows} rows are already waiting for the engine", retry_after_s=1)
        if self._waiting and len(self._running) >= self._policy.slots:
            self._check_wait(rows, deadline)
        member = Member(prepare, rows, deadline, self._clock(), trace)
        if caller:
            member.caller, member.shares = caller, self._sharing.may_share(caller)
        with self._lock:
            self._waiting.append(member)
            self.waiting_rows += rows
        self._loop.call_soon(self._look)
        try:
            return await member.future
        except asyncio.CancelledError:
            self._leave(member)
            raise

    def _leave(self, member: Member) -> None:
        """Take out of the queue requests whose callers have gone: a body would be held until an engine is free."""
        with self._lock, suppress(ValueError):  # a thread has taken it
            self._waiting.remove(member)
            self.waiting_rows -= member.rows

    def _may_take_s(self, rows: int) -> float:
        """What a run of so many rows may take because they are many; of what has never run, a second a row."""
        return rows * (2 * self._row_s or 1.0)

    def _check_wait(self, rows: int, deadline: Deadline) -> None:
        """Refuse a request that cannot finish in time. Later measurements and time correct the estimate."""
        row_s = self._row_s * still_holds(self._clock() - self._measured_at_s)
        if row_s * (self.waiting_rows + rows) / self._policy.slots > deadline.remaining_s:
            raise DeadlineExceeded(
                f"{self.waiting_rows} rows are already waiting, too many for the {deadline.remaining_s * 1000:.0f} ms "
                "left"
            )

    def _look(self) -> None:
        """Begin a job where a member is there that none is in line for, and a batch is full or has waited enough."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while len(self._running) < self._policy.most_begun and len(self._waiting) > self._in_line:
            if (left_s := self._may_wait_s()) > 0:
                self._timer = self._loop.call_later(left_s, self._look)
                return
            self._begin()

    def _may_wait_s(self) -> float:
        """How long the first may still wait for others to fill its batch."""
        if self._policy.max_wait_s <= 0 or self.waiting_rows >= self._policy.max_rows:
            return 0.0
        with self._lock:  # or a thread takes the first between two looks
            first = self._waiting[0] if self._waiting and not self._in_line else None
        return 0.0 if first is None else first.enqueued_at_s + self._policy.max_wait_s - self._clock()

    def _begin(self) -> None:
        now_s = self._clock()
        if self._running or len(self._waiting) > 1:
            self._crowded_at_s = now_s
        alone = now_s - self._crowded_at_s >= _QUIET_S
        with self._lock:
            self._in_line += 1
        taken: list[Member] = []
        job = self._loop.run_in_executor(self._threads, self._work, taken, alone)
        self._running.add(job)
        job.add_done_callback(partial(self._ended, taken))

    def _ended(self, taken: list[Member], job: asyncio.Future[list[Run]]) -> None:
        self._running.discard(job)
        try:
            self._finish(job.result())
        except asyncio.CancelledError:
            for member in taken:
                member.fail(stopping())
        except Exception as error:  # of this program itself: the model's own are in `runs`
            _log.exception("a batch")
            for member in taken:
                member.fail(EngineFailed("the batch could not be answered", private=first_line(error)))
        self._look()

    def _take(self, taken: list[Member]) -> None:
        """Move members from the queue into `taken`. Called in a job's thread."""
        with self._lock:
            self._in_line -= 1
            most = self._policy.rows_to_take(self.waiting_rows)
            rows, longest_s = 0, _LONGEST_GROUP_S
            while not self._closed and self._waiting:
                member = self._waiting[0]
                rows += member.rows
                longest_s = min(longest_s, member.deadline.remaining_s)
                if taken and (rows > most or (rows > self._policy.max_rows and rows * self._row_s > longest_s)):
                    return
                self._waiting.popleft()
                self.waiting_rows -= member.rows
                if member.future.done():  # its caller hung up
                    rows -= member.rows
                else:
                    taken.append(member)

    def _work(self, taken: list[Member], alone: bool) -> list[Run]:
        """Take what waits and run it, batch by batch."""
        self._take(taken)
        return self._runner(taken, alone=alone and len(taken) == 1)

    def _finish(self, runs: list[Run]) -> None:
        """Tell everyone what came of it, and learn how long a row takes and whose rows fail."""
        for run in runs:
            run.hand_out(runs[-1].ended_s)
            if run.failed:
                self._failed_at_s = self._clock()
                for member, reason in run.refused:
                    if member.caller and isinstance(reason, UnfitInput):
                        self._sharing.failed(member.caller)
            elif run.rows:
                worked_s = run.ended_s - run.began_s - self._paused_s(run.began_s, run.ended_s)
                now_s = self._clock()
                self._row_s = corrected(self._row_s, worked_s / run.rows, now_s - self._measured_at_s)
                self._measured_at_s = now_s
