"""When an attempt gets another one, without waiting for it."""

from __future__ import annotations

import pytest

from splitway.errors import BadStageAnswer, InvalidInput, Unavailable
from splitway.gateway.resilience.retry import MOST_ATTEMPTS, AttemptFailed, with_retries
from splitway.wire.deadline import Deadline
from tests.gateway.resilience.support import Chance, Clock


class Story:
    """A stage that fails as told, and what was done about it."""

    def __init__(self, *failures: AttemptFailed, tokens: int = 10, time_s: float = 10.0, chance: float = 0.5) -> None:
        self.clock = Clock()
        self.failures = list(failures)
        self.tokens = tokens
        self.deadline = Deadline.after(time_s, self.clock)
        self.chance = Chance(chance)
        self.attempts: list[int] = []
        self.sleeps: list[float] = []

    async def run(self) -> str:
        return await with_retries(
            self._attempt, MOST_ATTEMPTS, self.deadline, pay=self._pay, chance=self.chance, sleep=self._sleep
        )

    async def _attempt(self, number: int) -> str:
        self.attempts.append(number)
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    def _pay(self) -> bool:
        self.tokens -= 1
        return self.tokens >= 0

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.clock.now_s += seconds


def failed(*, elsewhere: bool = False, not_before_s: float = 0.0, may_retry: bool = True) -> AttemptFailed:
    return AttemptFailed(Unavailable("no"), may_retry=may_retry, elsewhere=elsewhere, not_before_s=not_before_s)


async def test_an_answer_ends_it() -> None:
    story = Story(failed(), failed())
    assert await story.run() == "answer"
    assert story.attempts == [1, 2, 3]
    assert story.tokens == 8


async def test_three_attempts_and_no_more() -> None:
    story = Story(*[failed() for _ in range(9)])
    with pytest.raises(Unavailable):
        await story.run()
    assert story.attempts == [1, 2, 3]
    assert story.tokens == 8, "the third failure asks for no token"


async def test_the_first_retry_goes_elsewhere_at_once_and_later_ones_wait() -> None:
    story = Story(failed(elsewhere=True), failed(elsewhere=True))
    await story.run()
    assert story.sleeps == [0.0, 0.025]


async def test_full_jitter_up_to_its_limit() -> None:
    assert [await _sleeps(chance) for chance in (0.0, 0.999)] == [[0.0, 0.0], pytest.approx([0.025, 0.05], rel=0.01)]


async def _sleeps(chance: float) -> list[float]:
    story = Story(failed(), failed(), chance=chance)
    await story.run()
    return story.sleeps


async def test_a_replicas_retry_after_is_kept_if_there_is_time() -> None:
    story = Story(failed(not_before_s=1.0))
    assert await story.run() == "answer"
    assert story.sleeps == [1.0]
    hurried = Story(failed(not_before_s=1.0), time_s=0.9)
    with pytest.raises(Unavailable):
        await hurried.run()
    assert (hurried.attempts, hurried.tokens) == ([1], 10), "what there is no time for costs nothing"


async def test_an_empty_budget_ends_it() -> None:
    story = Story(*[failed() for _ in range(3)], tokens=1)
    with pytest.raises(Unavailable):
        await story.run()
    assert story.attempts == [1, 2]


async def test_what_may_not_be_retried_is_not() -> None:
    story = Story(failed(may_retry=False))
    with pytest.raises(Unavailable):
        await story.run()
    assert (story.attempts, story.tokens) == ([1], 10)


async def test_the_last_error_is_the_one_that_is_told() -> None:
    story = Story(failed(), AttemptFailed(BadStageAnswer("garbage"), may_retry=False))
    with pytest.raises(BadStageAnswer, match="garbage"):
        await story.run()


async def test_other_errors_pass_through_at_once() -> None:
    async def attempt(_: int) -> str:
        raise InvalidInput("wrong")

    with pytest.raises(InvalidInput):
        await with_retries(attempt, MOST_ATTEMPTS, Deadline.after(1), pay=lambda: True, chance=Chance())
