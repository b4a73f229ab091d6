"""What one run of the engine does: make every member's inputs, run the model on all of them, give each its rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitway.errors import EngineFailed, SplitwayError, first_line
from splitway.runtime.engine import Arrays
from splitway.telemetry.trace import TraceContext
from splitway.wire.deadline import Clock, Deadline

_log = logging.getLogger(__name__)
Infer = Callable[[Arrays, bool], dict[str, NDArray[Any]]]
"""Runs the model; the second argument says whether nothing else is at work."""
Prepare = Callable[[], Arrays]
"""Makes a member's inputs, where the engine runs; raises SplitwayError where they cannot be made."""


class BatchResult(NamedTuple):
    """One member's share of a batch, and the seconds it took."""

    outputs: dict[str, NDArray[Any]]
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


@dataclass
class Member:
    """One request in a batch."""

    prepare: Prepare
    rows: int
    deadline: Deadline
    enqueued_at_s: float
    trace: TraceContext | None = None
    """Where it is traced."""
    future: asyncio.Future[BatchResult] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: Exception) -> None:
        """End it, unless its caller hung up."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True)
class Run:
    """What came of one batch: who was in it, who could not be, and when each part began."""

    members: list[Member]
    refused: list[tuple[Member, Exception]]
    outputs: dict[str, NDArray[Any]]
    rows: int
    began_s: float
    prepared_s: float
    ended_s: float

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


def run_batch(batch: Sequence[Member], infer: Infer, clock: Clock, *, alone: bool) -> Run:
    """Make every member's inputs and run the model on those that could be made; may be called in any thread.

    A member whose caller hung up is left out. Whatever goes wrong is told to whom it concerns: inputs that cannot be
    made to their own member, a model that fails to all of this batch.
    """
    began_s = clock()
    members: list[Member] = []
    parts: list[Arrays] = []
    refused: list[tuple[Member, Exception]] = []
    for member in batch:
        if member.future.done():
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
    prepared_s = clock()
    rows = sum(member.rows for member in members)
    outputs: dict[str, NDArray[Any]] = {}
    try:
        if members:
            outputs = infer(_join(parts), alone)
            _check_rows(outputs, rows)
    except Exception as error:
        failure = _ours(error)
        refused += [(member, failure) for member in members]
        members, outputs, rows = [], {}, 0
    return Run(members, refused, outputs, rows, began_s, prepared_s, clock())


def _ours(error: Exception) -> SplitwayError:
    if isinstance(error, SplitwayError):
        return error
    _log.error("the model failed", exc_info=error)
    return EngineFailed("the model failed", private=f"{type(error).__name__}: {first_line(error)}")


def _join(parts: list[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_rows(outputs: Arrays, rows: int) -> None:
    for name, array in outputs.items():
        if len(array) != rows:
            raise EngineFailed(f"the model was given {rows} rows and gave {len(array)} of {name!r}")
