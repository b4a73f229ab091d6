"""Gather what waits, run it as soon as an engine is free, answer everyone.

The worker waits for a free slot and then for the first member, both without a timer; it takes what is there until the
batch is full or the first has waited long enough. So a batch grows while the engines are busy, and nothing waits when
nothing is there to wait for. Each member carries its own future; nothing is looked up by an id. A model that fails,
fails this batch and not the loop. The shape of the loop is mosec's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import DeadlineExceeded, EngineFailed, Overloaded, SplitwayError
from splitway.runtime.engine import Arrays
from splitway.runtime.priority import give_way
from splitway.wire.deadline import Clock, Deadline

_ROW_TIME_WEIGHT = 0.1
_QUIET_S = 0.05
"""Who comes this long after others were at work side by side counts as alone again."""
_AT_ONCE_S = 0.0005
"""Work that is done sooner is done on the event loop: going to a thread and back takes as long."""
Infer = Callable[[Arrays, bool], dict[str, NDArray[Any]]]
"""Runs the model; the second argument says whether nothing else is at work."""
Prepare = Callable[[], Arrays]
"""Makes a member's inputs, in the engine's thread; raises SplitwayError where they cannot be made."""


@dataclass(frozen=True)
class BatchPolicy:
    """When a batch is closed, how much may wait and how many batches may run at once."""

    max_rows: int = 1
    max_wait_s: float = 0.0
    queue_rows: int = 1024
    slots: int = 1

    @property
    def most_begun(self) -> int:
        """Batches handed to the threads, at work or next in line. Where batches do not grow by waiting, the next ones
        stand ready, so that no thread waits for the event loop between two."""
        return self.slots if self.max_rows > 1 else 2 * self.slots


@dataclass(frozen=True)
class BatchResult:
    """One member's share of a batch, and the seconds it took."""

    outputs: dict[str, NDArray[Any]]
    queue_s: float
    decode_s: float
    compute_s: float
    batch_rows: int


@dataclass
class _Member:
    prepare: Prepare
    rows: int
    deadline: Deadline
    enqueued_at_s: float
    future: asyncio.Future[BatchResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(frozen=True)
class _Run:
    """What came of one batch: who was in it, who could not be, and when each part began."""

    members: list[_Member]
    refused: list[tuple[_Member, Exception]]
    outputs: dict[str, NDArray[Any]]
    rows: int
    began_s: float
    prepared_s: float
    ended_s: float


class Batcher:
    """Feeds engines from many callers; each batch runs in a thread.

    Args:
        infer: runs the model on inputs of n rows; called by up to `policy.slots` threads at once.
        policy: when a batch is closed.
        clock: monotonic seconds.
    """

    def __init__(self, infer: Infer, policy: BatchPolicy, clock: Clock = time.monotonic) -> None:
        self._infer = infer
        self._policy = policy
        self._clock = clock
        self._waiting: deque[_Member] = deque()
        self._waiting_rows = 0
        self._row_s = 0.0
        self._arrived = asyncio.Event()
        self._slot_free = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._crowded_at_s = -_QUIET_S
        self._threads = ThreadPoolExecutor(policy.slots, thread_name_prefix="engine", initializer=give_way)
        self._worker: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether the loop that answers is running."""
        return self._worker is not None and not self._worker.done()

    @property
    def waiting_rows(self) -> int:
        return self._waiting_rows

    def start(self) -> None:
        self._worker = asyncio.create_task(self._run(), name="batcher")

    async def close(self) -> None:
        """Stop the loop; who still waits is told that the stage is gone."""
        tasks = [*self._running, *([self._worker] if self._worker is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _fail(list(self._waiting), Overloaded("the stage is stopping", retry_after_s=1))
        self._waiting.clear()
        self._waiting_rows = 0
        self._threads.shutdown(wait=True)

    async def submit(self, prepare: Prepare, rows: int, deadline: Deadline, *, quick: bool = False) -> BatchResult:
        """Wait for this member's outputs.

        Args:
            prepare: makes its inputs of `rows` rows.
            rows: how many rows it adds to a batch.
            deadline: after which nobody waits for it.
            quick: whether `prepare` takes next to no time, whatever was sent.

        Raises:
            Overloaded: too many rows wait already.
            DeadlineExceeded: the time is up, or will be before those who came earlier are done.
            EngineFailed: the model failed on this batch.
            SplitwayError: of `prepare`.
        """
        if not self.alive:
            raise EngineFailed("the batch loop is not running")
        if self._waiting_rows + rows > self._policy.queue_rows and self._waiting:
            raise Overloaded(f"{self._waiting_rows} rows wait already for the engine", retry_after_s=1)
        if self._row_s * (self._waiting_rows + rows) / self._policy.slots > deadline.remaining_s:
            raise DeadlineExceeded(
                f"{self._waiting_rows} rows wait already, too many for the {deadline.remaining_s * 1000:.0f} ms left"
            )
        member = _Member(prepare, rows, deadline, self._clock())
        if quick and 0.0 < self._row_s * rows < _AT_ONCE_S and not self._running and not self._waiting:
            return self._at_once(member)
        self._waiting.append(member)
        self._waiting_rows += rows
        self._arrived.set()
        return await member.future

    def _at_once(self, member: _Member) -> BatchResult:
        try:
            self._finish(self._work([member], alone=True))
        except SplitwayError:
            raise
        except Exception as error:
            raise EngineFailed(f"the model failed: {error}") from error
        return member.future.result()

    async def _run(self) -> None:
        while True:
            while len(self._running) >= self._policy.most_begun:
                self._slot_free.clear()
                await self._slot_free.wait()
            batch = await self._gather()
            if batch:
                self._begin(batch)

    def _begin(self, batch: list[_Member]) -> None:
        now_s = self._clock()
        if self._running or self._waiting:
            self._crowded_at_s = now_s
        alone = now_s - self._crowded_at_s >= _QUIET_S
        task = asyncio.create_task(self._answer(batch, alone), name="batch")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slot_free.set()

    async def _gather(self) -> list[_Member]:
        """Wait for the first member, then take others until the batch is full or the first has waited enough."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        closes_at_s = self._waiting[0].enqueued_at_s + self._policy.max_wait_s
        while self._waiting_rows < self._policy.max_rows and (left_s := closes_at_s - self._clock()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._arrived.wait()
            except TimeoutError:
                break
        return self._take()

    def _take(self) -> list[_Member]:
        batch: list[_Member] = []
        rows = 0
        while self._waiting and (not batch or rows + self._waiting[0].rows <= self._policy.max_rows):
            member = self._waiting.popleft()
            self._waiting_rows -= member.rows
            if member.future.done():  # its caller hung up
                continue
            if member.deadline.expired:
                member.future.set_exception(DeadlineExceeded("the time was up while the request waited for the engine"))
                continue
            batch.append(member)
            rows += member.rows
        return batch

    async def _answer(self, batch: list[_Member], alone: bool) -> None:
        try:
            run = await asyncio.get_running_loop().run_in_executor(self._threads, self._work, batch, alone)
        except asyncio.CancelledError:
            _fail(batch, Overloaded("the stage is stopping", retry_after_s=1))
            raise
        except Exception as error:
            _fail(batch, error if isinstance(error, SplitwayError) else EngineFailed(f"the model failed: {error}"))
            return
        self._finish(run)

    def _finish(self, run: _Run) -> None:
        """Tell everyone in a batch what came of it, and learn how long a row takes."""
        for member, reason in run.refused:
            if not member.future.done():
                member.future.set_exception(reason)
        if run.members:
            row_s = (run.ended_s - run.began_s) / run.rows
            self._row_s += (_ROW_TIME_WEIGHT if self._row_s else 1.0) * (row_s - self._row_s)
            _hand_out(run)

    def _work(self, batch: list[_Member], alone: bool) -> _Run:
        """Make every member's inputs and run the model on those that could be made."""
        began_s = self._clock()
        members: list[_Member] = []
        parts: list[Arrays] = []
        refused: list[tuple[_Member, Exception]] = []
        for member in batch:
            if member.future.done():  # its caller hung up while it stood in line
                continue
            try:
                member.deadline.check("the engine was free")
                inputs = member.prepare()
                _check_rows(inputs, member.rows)
            except Exception as error:  # its own trouble, not the batch's
                refused.append((member, error))
            else:
                members.append(member)
                parts.append(inputs)
        prepared_s = self._clock()
        rows = sum(member.rows for member in members)
        outputs = self._infer(_join(parts), alone) if members else {}
        _check_rows(outputs, rows)
        return _Run(members, refused, outputs, rows, began_s, prepared_s, self._clock())


def _hand_out(run: _Run) -> None:
    """Give each member its rows."""
    start = 0
    for member in run.members:
        share = {name: array[start : start + member.rows] for name, array in run.outputs.items()}
        start += member.rows
        if not member.future.done():
            queue_s = run.began_s - member.enqueued_at_s
            decode_s, compute_s = run.prepared_s - run.began_s, run.ended_s - run.prepared_s
            member.future.set_result(BatchResult(share, queue_s, decode_s, compute_s, run.rows))


def _join(parts: list[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_rows(outputs: Arrays, rows: int) -> None:
    for name, array in outputs.items():
        if len(array) != rows:
            raise EngineFailed(f"the model was given {rows} rows and gave {len(array)} of {name!r}")


def _fail(members: list[_Member], error: SplitwayError) -> None:
    for member in members:
        if not member.future.done():
            member.future.set_exception(error)
