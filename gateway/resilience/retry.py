"""When a failed attempt gets another one. The only file that knows tenacity."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

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
        pay: takes a token from the stage's retry budget; False ends the retries.

    Raises:
        SplitwayError: of the last attempt.
    """

    def stop(state: RetryCallState) -> bool:
        """Asked only after a failure that may be retried, and after `wait`."""
        if state.attempt_number >= most_attempts or state.upcoming_sleep >= deadline.remaining_s:
            return True
        return not pay()

    try:
        return await attempt(1)
    except AttemptFailed as failed:
        if not failed.may_retry:
            raise failed.error from failed
        first = failed
    number = 0

    async def numbered() -> Answer:
        nonlocal number
        number += 1
        if number == 1:  # has been made already: a request that succeeds at once needs no retry machinery
            raise first
        return await attempt(number)

    retrying = AsyncRetrying(  # one per call: its statistics are not to be shared
        retry=retry_if_exception(lambda error: isinstance(error, AttemptFailed) and error.may_retry),
        wait=lambda state: _wait_s(state, chance),
        stop=stop,
        sleep=sleep,
        reraise=True,
    )
    try:
        return await retrying(numbered)
    except AttemptFailed as failed:
        raise failed.error from failed


def _wait_s(state: RetryCallState, chance: Chance) -> float:
    assert state.outcome is not None
    failed, number = state.outcome.exception(), state.attempt_number
    assert isinstance(failed, AttemptFailed)
    if number == 1 and failed.elsewhere:
        return 0.0
    longest_s = min(_BACKOFF_MAX_S, _BACKOFF_BASE_S * 2.0 ** (number - 1))
    return max(chance() * longest_s, failed.not_before_s)
