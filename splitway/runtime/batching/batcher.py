"""Gather what waits, run it as soon as an engine is free, answer everyone.

The worker waits for the first member without a timer and hands a job to a thread; the thread takes what is there when
it begins, so that a batch grows while the engines are busy, and nothing waits when nothing is there to wait for. Each
member carries its own future; nothing is looked up by an id. A model that fails, fails those whose rows it fails on,
and not the loop. The shape of the loop is mosec's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import suppress

from splitway.errors import DeadlineExceeded, EngineFailed, Overloaded, UnfitInput, first_line
from splitway.runtime.batching.batch import BatchPolicy, BatchResult, Infer, Member, Prepare, Run, say_if_dead, stopping
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
        self._waiting_rows = 0
        self._in_line = 0
        self._closed = False
        self._row_s = 0.0
        self._measured_at_s = clock()
        self._failed_at_s = -_NOT_AT_ONCE_S
        self._arrived = asyncio.Event()
        self._slot_free = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._crowded_at_s = -_QUIET_S
        self._threads = DaemonThreads(policy.slots, "engine")
        runs = runs or Runs(clock)
        self._runner = Runner(infer, policy.max_rows, clock, runs, name, self._may_take_s)
        self._paused_s = runs.paused_s
        self._sharing = Sharing(clock)
        self._worker: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether the loop that answers is running."""
        return self._worker is not None and not self._worker.done()

    @property
    def died(self) -> bool:
        """Whether that loop has ended of itself; it never should."""
        return self._worker is not None and self._worker.done() and not self._closed

    @property
    def waiting_rows(self) -> int:
        return self._waiting_rows

    @property
    def shares(self) -> bool:
        """Whether requests of several callers may be in one batch."""
        return self._policy.max_rows > 1

    @property
    def callers_apart(self) -> int:
        """Callers who share no batch for now."""
        return self._sharing.apart

    def start(self) -> None:
        self._worker = asyncio.create_task(self._run(), name="batcher")
        self._worker.add_done_callback(say_if_dead)

    async def close(self, within_s: float = STOPS_WITHIN_S) -> bool:
        """Stop the loop, and tell those who still wait that the stage is gone.

        Returns:
            Whether the threads have ended within so many seconds; one whose engine hangs never does.
        """
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=False)  # first, for this may be cancelled
        tasks = [*self._running, *([self._worker] if self._worker is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for member in self._waiting:
            member.fail(stopping())
        self._waiting.clear()
        self._waiting_rows = 0
        return await asyncio.to_thread(self._threads.join, within_s)  # the loop goes on meanwhile

    def at_once(self, prepare: Prepare, rows: int, deadline: Deadline) -> BatchResult | None:
        """Run a member here and now if that takes next to no time, as one whose `prepare` takes none may.

        Returns:
            None if it is to be submitted, for it takes longer, or others are at work.

        Raises:
            As `submit`.
        """
        if not 0.0 < self._row_s * rows < _AT_ONCE_S or self._running or self._waiting or not self.alive:
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
        """Wait for this member's outputs.

        Args:
            prepare: makes its inputs of `rows` rows.
            rows: how many rows it adds to a batch.
            deadline: after which the caller no longer waits.
            trace: where it is traced; the batch's other members are told.
            caller: the request's caller; callers on whose rows the model keeps failing share no batch.

        Raises:
            Overloaded: too many rows wait already.
            DeadlineExceeded: the time is up, or will be before those who came earlier are done.
            UnfitInput: the model cannot answer these inputs.
            EngineFailed: the model failed.
            SplitwayError: of `prepare`.
        """
        if self._closed:
            raise stopping()
        if not self.alive:
            raise EngineFailed("the batch loop is not running")
        if self._waiting_rows + rows > self._policy.queue_rows and self._waiting:
            raise Overloaded(f"{self._waiting_rows} rows are already waiting for the engine", retry_after_s=1)
        if self._waiting and len(self._running) >= self._policy.slots:
            self._check_wait(rows, deadline)
        member = Member(prepare, rows, deadline, self._clock(), trace)
        if caller:
            member.caller, member.shares = caller, self._sharing.may_share(caller)
        with self._lock:
            self._waiting.append(member)
            self._waiting_rows += rows
        self._arrived.set()
        try:
            return await member.future
        except asyncio.CancelledError:
            self._leave(member)
            raise

    def _leave(self, member: Member) -> None:
        """Take out of the queue requests whose callers have gone: a body would be held until an engine is free."""
        with self._lock, suppress(ValueError):  # a thread has taken it
            self._waiting.remove(member)
            self._waiting_rows -= member.rows

    def _may_take_s(self, rows: int) -> float:
        """What a run of so many rows may take because they are many; of what has never run, a second a row."""
        return rows * (2 * self._row_s or 1.0)

    def _check_wait(self, rows: int, deadline: Deadline) -> None:
        """Refuse a request that cannot finish in time. Later measurements and time correct the estimate."""
        row_s = self._row_s * still_holds(self._clock() - self._measured_at_s)
        if row_s * (self._waiting_rows + rows) / self._policy.slots > deadline.remaining_s:
            raise DeadlineExceeded(
                f"{self._waiting_rows} rows are already waiting, too many for the {deadline.remaining_s * 1000:.0f} ms "
                "left"
            )

    async def _run(self) -> None:
        while True:
            while len(self._running) >= self._policy.most_begun:
                self._slot_free.clear()
                await self._slot_free.wait()
            await self._gather()
            self._begin()

    async def _gather(self) -> None:
        """Wait for a member that no job is in line for, then until a batch is full or the first has waited enough."""
        while len(self._waiting) <= self._in_line:
            self._arrived.clear()
            await self._arrived.wait()
        if self._policy.max_wait_s <= 0:
            return
        with self._lock:  # or a thread takes the first between two looks
            first = self._waiting[0] if self._waiting and not self._in_line else None
        if first is None:
            return
        closes_at_s = first.enqueued_at_s + self._policy.max_wait_s
        while self._waiting_rows < self._policy.max_rows and (left_s := closes_at_s - self._clock()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _begin(self) -> None:
        now_s = self._clock()
        if self._running or len(self._waiting) > 1:
            self._crowded_at_s = now_s
        alone = now_s - self._crowded_at_s >= _QUIET_S
        with self._lock:
            self._in_line += 1
        task = asyncio.create_task(self._answer(alone), name="batch")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slot_free.set()

    async def _answer(self, alone: bool) -> None:
        taken: list[Member] = []
        try:
            runs = await asyncio.get_running_loop().run_in_executor(self._threads, self._work, taken, alone)
        except asyncio.CancelledError:
            for member in taken:
                member.fail(stopping())
            raise
        except Exception as error:  # of this program itself: the model's own are in `runs`
            _log.exception("a batch")
            for member in taken:
                member.fail(EngineFailed("the batch could not be answered", private=first_line(error)))
        else:
            self._finish(runs)

    def _take(self, taken: list[Member]) -> None:
        """Move members from the queue into `taken`. Called in a job's thread."""
        with self._lock:
            self._in_line -= 1
            most = self._policy.rows_to_take(self._waiting_rows)
            rows, longest_s = 0, _LONGEST_GROUP_S
            while not self._closed and self._waiting:
                member = self._waiting[0]
                rows += member.rows
                longest_s = min(longest_s, member.deadline.remaining_s)
                if taken and (rows > most or (rows > self._policy.max_rows and rows * self._row_s > longest_s)):
                    return
                self._waiting.popleft()
                self._waiting_rows -= member.rows
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
