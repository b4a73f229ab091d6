"""A model that waits to be let, and a batcher around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.runtime.batching.batch import BatchPolicy, BatchResult, Infer
from splitway.runtime.batching.batcher import Batcher
from splitway.wire.deadline import Deadline

Arrays = Mapping[str, NDArray[Any]]
FOREVER = Deadline.after(1e6)


class GatedModel:
    """Doubles its input, once it is let; remembers the size of each batch."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[int] = []
        self.was_alone: list[bool] = []

    def __call__(self, inputs: Arrays, alone: bool) -> dict[str, NDArray[Any]]:
        self.was_alone.append(alone)
        self.batches.append(len(inputs["x"]))
        assert self.gate.wait(10)
        return {"y": inputs["x"] * 2}


def rows(*values: float) -> dict[str, NDArray[np.float32]]:
    return {"x": np.array(values, np.float32)}


async def submit(batcher: Batcher, inputs: Arrays, deadline: Deadline) -> BatchResult:
    return await batcher.submit(lambda: inputs, len(inputs["x"]), deadline)


@asynccontextmanager
async def running(infer: Infer, policy: BatchPolicy) -> AsyncIterator[Batcher]:
    batcher = Batcher(infer, policy)
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0)


async def until_given_up(work: Awaitable[object]) -> None:
    """Wait for something until this is cancelled; as a request, it keeps nothing of its error then."""
    with suppress(asyncio.CancelledError):
        await work
