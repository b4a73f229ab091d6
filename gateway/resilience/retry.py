"""When a failed attempt gets another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from splitway.errors import SplitwayError
from splitway.gateway.resilience import Chance
from splitway.wire.deadline import Deadline

Answer = TypeVar("Answer")
MOST_ATTEMPTS = 3
_BACKOFF_BASE_S = 0.025
_BACKOFF_MAX_S = 0.25


class AttemptFailed(Exception):
    """One attempt failed.

    Args:
        error: what the caller is told if there is no further attempt.
        may_retry: whether another attempt could end differently.
        elsewhere: whether a replica that has not been tried is there to take it, at once.
        not_before_s: the seconds that the replica asked to be left alone.
    """

    def __init__(
        self, error: SplitwayError, *, may_retry: bool, elsewhere: bool = False, not_before_s: float = 0.0
    ) -> None:
        super().__init__(error.detail)
        self.error = error
        self.may_retry = may_retry
        self.elsewhere = elsewhere
        self.not_before_s = not_before_s


async def with_retries(
    attempt: Callable[[int], Awaitable[Answer]],
    most_attempts: int,
    deadline: Deadline,
    *,
    pay: Callable[[], bool],
    chance: Chance,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Answer:
    """Call `attempt` with 1, 2, ... until it answers or may not be tried again.

    A first retry that can go to another replica goes at once; others wait with full jitter, and no less than the
    replica's own Retry-After. No attempt starts that the deadline would cut off before it began.

    Args:
        pay: takes a token from the stage's retry budget; False ends the retries. Asked last of all.

    Raises:
        SplitwayError: of the last attempt.
    """
    number = 1
    while True:
        try:
            return await attempt(number)
        except AttemptFailed as failed:
            wait_s = _wait_s(number, failed, chance)
            may_go_on = failed.may_retry and number < most_attempts and wait_s < deadline.remaining_s
            if not may_go_on or not pay():
                raise failed.error from failed
        await sleep(wait_s)
        number += 1


def _wait_s(number: int, failed: AttemptFailed, chance: Chance) -> float:
    """How long to wait after the `number`th attempt."""
    if number == 1 and failed.elsewhere:
        return 0.0
    longest_s = min(_BACKOFF_MAX_S, _BACKOFF_BASE_S * 2.0 ** (number - 1))
    return max(chance() * longest_s, failed.not_before_s)
