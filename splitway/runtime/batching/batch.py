"""A batch: when it is closed, the requests in it, each with its own future, and what came of running it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from splitway.errors import Overloaded
from splitway.telemetry.trace import TraceContext
from splitway.wire.deadline import Deadline
from splitway.wire.tensor import Arrays

Infer = Callable[[Arrays, bool], Arrays]
"""Runs the model; the second argument says whether nothing else is at work."""
Prepare = Callable[[], Arrays]
"""Makes a member's inputs, where the engine runs; raises SplitwayError where they cannot be made."""


@dataclass(frozen=True)
class BatchPolicy:
    """When a batch is closed, how much may wait and how many batches may run at once."""

    max_rows: int = 1
    """Rows of one run of the engine."""
    max_wait_s: float = 0.0
    queue_rows: int = 1024
    slots: int = 1
    batches_at_once: int = 1
    """Batches that a thread does before it tells anyone, if so many wait. Answers that come together wake every
    process of the chain once and not one by one (docs/adr/0009)."""

    @property
    def most_begun(self) -> int:
        """Jobs handed to the threads, at work or next in line: no thread waits for the event loop between two."""
        return 2 * self.slots

    def rows_to_take(self, waiting_rows: int) -> int:
        """Rows for one job: what waits is shared among the slots, and a batch is filled first."""
        share = -(-waiting_rows // self.slots)
        return max(self.max_rows, min(share, self.max_rows * self.batches_at_once))


class BatchResult(NamedTuple):
    """One member's share of a batch, and the seconds it took."""

    outputs: Arrays
    queue_s: float
    decode_s: float
    compute_s: float
    batch_rows: int
    enqueued_at_s: float
    began_s: float
    """When the batch began; with the two below on the batcher's clock."""
    prepared_s: float
    ended_s: float
    members: int
    """Requests in the batch."""
    peers: Sequence[TraceContext]
    """The traces of the batch's other members, of those that are traced."""


@dataclass(eq=False)
class Member:
    """One request in a batch."""

    prepare: Prepare
    rows: int
    deadline: Deadline
    enqueued_at_s: float
    trace: TraceContext | None = None
    """Where it is traced."""
    caller: str = ""
    """The request's caller, if known."""
    shares: bool = True
    """Whether others may be in its batch."""
    future: asyncio.Future[BatchResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: Exception) -> None:
        """End it, unless its caller hung up."""
        if not self.future.done():
            self.future.set_exception(error)


class Run(NamedTuple):
    """Result of one batch: its members, those left out, and the start of each part."""

    members: list[Member]
    refused: list[tuple[Member, Exception]]
    outputs: Arrays
    rows: int
    began_s: float
    prepared_s: float
    ended_s: float
    failed: bool = False
    """Whether the model failed on something of it, so that its time says nothing of a row's."""

    def hand_out(self, told_s: float) -> None:
        """Give each member its rows, or the reason why there are none.

        Args:
            told_s: when the thread had done everything that it had taken with this batch; waiting for that counts as
                waiting in the queue.
        """
        for member, reason in self.refused:
            member.fail(reason)
        start = 0
        traced = [member.trace for member in self.members if member.trace is not None]
        for member in self.members:
            share = {name: array[start : start + member.rows] for name, array in self.outputs.items()}
            start += member.rows
            if not member.future.done():
                queue_s = self.began_s - member.enqueued_at_s + told_s - self.ended_s
                decode_s, compute_s = self.prepared_s - self.began_s, self.ended_s - self.prepared_s
                times = (member.enqueued_at_s, self.began_s, self.prepared_s, self.ended_s)
                peers = [trace for trace in traced if trace is not member.trace] if traced else ()
                member.future.set_result(
                    BatchResult(share, queue_s, decode_s, compute_s, self.rows, *times, len(self.members), peers)
                )


def stopping() -> Overloaded:
    """The error for requests that still wait when a model is closed."""
    return Overloaded("the stage is stopping", retry_after_s=1)
