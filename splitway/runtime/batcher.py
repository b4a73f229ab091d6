"""Gather what waits, run it at once, answer everyone.

The worker waits for the first member without a timer, then takes what is there until the batch is full or the first
has waited long enough. Each member carries its own future; nothing is looked up by an id. A model that fails, fails
this batch and not the loop. The shape of the loop is mosec's.
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
Infer = Callable[[Arrays], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class BatchPolicy:
    """When a batch is closed and how much may wait."""

    max_rows: int = 1
    max_wait_s: float = 0.0
    queue_rows: int = 1024


@dataclass(frozen=True)
class BatchResult:
    """One member's share of a batch, and the seconds it took."""

    outputs: dict[str, NDArray[Any]]
    queue_s: float
    compute_s: float
    batch_rows: int


@dataclass
class _Member:
    inputs: Arrays
    rows: int
    deadline: Deadline
    enqueued_at_s: float
    future: asyncio.Future[BatchResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Feeds one engine from many callers; the engine runs in a thread of its own.

    Args:
        infer: runs the model on inputs of n rows; called by one thread at a time.
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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine", initializer=give_way)
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
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._refuse_all(Overloaded("the stage is stopping", retry_after_s=1))
        self._thread.shutdown(wait=True)

    async def submit(self, inputs: Arrays, deadline: Deadline) -> BatchResult:
        """Wait for this member's outputs.

        Raises:
            Overloaded: too many rows wait already.
            DeadlineExceeded: the time is up, or will be before those who came earlier are done.
            EngineFailed: the model failed on this batch.
        """
        rows = len(next(iter(inputs.values())))
        if not self.alive:
            raise EngineFailed("the batch loop is not running")
        if self._waiting_rows + rows > self._policy.queue_rows and self._waiting:
            raise Overloaded(f"{self._waiting_rows} rows wait already for the engine", retry_after_s=1)
        if self._row_s * (self._waiting_rows + rows) > deadline.remaining_s:
            raise DeadlineExceeded(
                f"{self._waiting_rows} rows wait already, too many for the {deadline.remaining_s * 1000:.0f} ms left"
            )
        member = _Member(inputs, rows, deadline, self._clock())
        self._waiting.append(member)
        self._waiting_rows += rows
        self._arrived.set()
        return await member.future

    async def _run(self) -> None:
        while True:
            batch = await self._gather()
            if batch:
                await self._answer(batch)

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

    async def _answer(self, batch: list[_Member]) -> None:
        started_at_s = self._clock()
        try:
            inputs = _join([member.inputs for member in batch])
            outputs = await asyncio.get_running_loop().run_in_executor(self._thread, self._infer, inputs)
            rows = sum(member.rows for member in batch)
            _check_rows(outputs, rows)
        except asyncio.CancelledError:
            _fail(batch, Overloaded("the stage is stopping", retry_after_s=1))
            raise
        except Exception as error:
            _fail(batch, error if isinstance(error, SplitwayError) else EngineFailed(f"the model failed: {error}"))
            return
        compute_s = self._clock() - started_at_s
        self._row_s += _ROW_TIME_WEIGHT * (compute_s / rows - self._row_s)
        start = 0
        for member in batch:
            share = {name: array[start : start + member.rows] for name, array in outputs.items()}
            start += member.rows
            if not member.future.done():
                queue_s = started_at_s - member.enqueued_at_s
                member.future.set_result(BatchResult(share, queue_s, compute_s, rows))

    def _refuse_all(self, error: SplitwayError) -> None:
        _fail(list(self._waiting), error)
        self._waiting.clear()
        self._waiting_rows = 0


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
