"""Work on large bodies, beside the event loop and one body after the other.

A thread holds the interpreter's lock as the loop does: what is done here goes in bounded steps, with `give_way` between
them, and the loop waits no longer than one step takes. There is one thread for all bodies of a process, so that what a
body takes while it is parsed is taken once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from typing import TypeVar

LARGE_BYTES = 256 * 1024
"""Bodies and answers above this are parsed, hashed, packed and written aside."""
STEP_BYTES = 256 * 1024
"""What is done between two `give_way`: about half a millisecond of base64."""
_PAUSE_S = 0.0001
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="bodies")
Result = TypeVar("Result")


async def aside(work: Callable[[], Result]) -> Result:
    """Run `work` in the thread for large bodies, and return what it returns or raise what it raises."""
    return await in_thread(_THREAD, work)


async def by_size(size: int, work: Callable[[], Result]) -> Result:
    """The same where so many bytes are many; few are worked on here."""
    return work() if size <= LARGE_BYTES else await aside(work)


async def in_thread(threads: Executor, work: Callable[[], Result]) -> Result:
    """Run `work` in one of these threads. Given up before it has begun, it is forgotten at once, with all that it
    holds; an executor keeps what is cancelled until it would have been its turn."""
    left = [work]
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, _begin, left)
    except asyncio.CancelledError:
        left.clear()
        raise


def _begin(left: list[Callable[[], Result]]) -> Result:
    try:
        work = left.pop()
    except IndexError:
        raise CancelledError from None  # in the very moment in which it was given up
    return work()


def give_way() -> None:
    """Let the event loop run. A pause of no length is not enough: this thread would have the lock again first."""
    time.sleep(_PAUSE_S)
