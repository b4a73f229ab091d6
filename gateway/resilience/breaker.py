"""A circuit breaker for one replica.

Three questions, three objects: what happened lately (TimeWindow), is it too much (`too_much`, a pure threshold), so
what (CircuitBreaker, the state). After resilience4j and M. Nygard, "Release It!", with generations so that an answer to
an old question can't move a new state.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from splitway.gateway.resilience import Chance
from splitway.gateway.resilience.window import CallCounts, TimeWindow
from splitway.wire.deadline import Clock

WINDOW_S = 10.0
_BUCKETS = 10
_MIN_CALLS = 10
_FAILED_SHARE = 0.5
_SLOW_SHARE = 0.8
_CONNECTION_ERRORS_IN_A_ROW = 5
OPEN_BASE_S = 1.0
_OPEN_MAX_S = 30.0
OPEN_JITTER = 0.2
"""An open time is lengthened by up to this share, so that breakers do not try again in step."""
_HALF_OPEN_PERMITS = 3
"""Trial calls; judged together by `_FAILED_SHARE`, so that one bad call of a replica that mostly answers does not shut
it out for ever longer times."""


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


def too_much(counts: CallCounts) -> str | None:
    """Say which threshold the counts are over: `failed`, `slow` or none. A pure function."""
    if counts.calls < _MIN_CALLS:
        return None
    if counts.failed >= _FAILED_SHARE * counts.calls:
        return "failed"
    return "slow" if counts.slow >= _SLOW_SHARE * counts.calls else None


class Permit:
    """Leave to make one call. Exactly one of `succeeded`, `failed` and `released` ends it."""

    def __init__(self, breaker: CircuitBreaker, generation: int) -> None:
        self._breaker = breaker
        self._generation = generation
        self._ended = False

    def succeeded(self, *, slow: bool = False) -> None:
        """The call was answered; shedding and 429 are answers, and slow ones."""
        if self._end():
            self._breaker._on_success(slow=slow)

    def failed(self, *, connection_error: bool = False) -> None:
        """The replica failed the call."""
        if self._end():
            self._breaker._on_failure(connection_error=connection_error)

    def released(self) -> None:
        """The call says nothing of the replica: it was cancelled, or the caller was at fault."""
        if self._end():
            self._breaker._on_release()

    def _end(self) -> bool:
        """Whether the breaker is still in the state in which it gave the permit."""
        if self._ended:
            raise RuntimeError("this permit has been ended already")
        self._ended = True
        return self._generation == self._breaker._generation


class CircuitBreaker:
    """Closed until too much fails, then open for a while, then half open for a few trial calls.

    Args:
        others_serve: whether another replica takes calls. Where none does, slowness alone does not open this one, and
            it is tried again after the shortest time: there is nothing to spare by waiting longer.
        on_transition: told of every new state.
    """

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        *,
        others_serve: Callable[[], bool] = lambda: True,
        on_transition: Callable[[BreakerState], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._others_serve = others_serve
        self._on_transition = on_transition
        self._window = TimeWindow(WINDOW_S / _BUCKETS, _BUCKETS)
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._errors_in_a_row = 0
        self._opened_in_a_row = 0
        self._open_until_s = 0.0
        self._trials_out = 0
        self._trials_passed = self._trials_failed = 0

    @property
    def state(self) -> BreakerState:
        """The state as of now: an open breaker whose time is over is half open. It moves when it is next called."""
        is_over = self._state is BreakerState.OPEN and self._clock() >= self._open_until_s
        return BreakerState.HALF_OPEN if is_over else self._state

    @property
    def retry_in_s(self) -> float:
        """Seconds until an open breaker takes trial calls; 0 when it is not open."""
        return max(0.0, self._open_until_s - self._clock()) if self.state is BreakerState.OPEN else 0.0

    @property
    def lets_through(self) -> bool:
        """Whether `acquire` would give a permit now."""
        state = self.state
        if state is BreakerState.HALF_OPEN:
            trials = self._trials_out + self._trials_passed + self._trials_failed
            return trials < _HALF_OPEN_PERMITS
        return state in (BreakerState.CLOSED, BreakerState.FORCED_CLOSED)

    def acquire(self) -> Permit | None:
        """Return a permit for one call, or None: refused calls are not queued."""
        if not self.lets_through:
            return None
        if self._state is BreakerState.OPEN:
            self._move(BreakerState.HALF_OPEN)
        if self._state is BreakerState.HALF_OPEN:
            self._trials_out += 1
        return Permit(self, self._generation)

    def force(self, state: BreakerState) -> None:
        """Hold the breaker in a state, whatever becomes of calls: `FORCED_OPEN` or `FORCED_CLOSED`."""
        self._move(state)

    def _on_success(self, *, slow: bool) -> None:
        self._errors_in_a_row = 0
        if self._state is BreakerState.HALF_OPEN:
            self._on_trial(passed=not slow or not self._others_serve())
        elif self._state is BreakerState.CLOSED:
            self._window.add(self._clock(), slow=slow)
            self._open_if_too_much()

    def _on_failure(self, *, connection_error: bool) -> None:
        self._errors_in_a_row = self._errors_in_a_row + 1 if connection_error else 0
        if self._state is BreakerState.HALF_OPEN:
            self._on_trial(passed=False)
        elif self._state is BreakerState.CLOSED:
            self._window.add(self._clock(), failed=True)
            if self._errors_in_a_row >= _CONNECTION_ERRORS_IN_A_ROW:
                self._open()
            else:
                self._open_if_too_much()

    def _on_release(self) -> None:
        if self._state is BreakerState.HALF_OPEN:
            self._trials_out -= 1

    def _on_trial(self, *, passed: bool) -> None:
        """Count one trial's end; decide as soon as the others can no longer change the outcome."""
        self._trials_out -= 1
        self._trials_passed += passed
        self._trials_failed += not passed
        if self._trials_failed >= _FAILED_SHARE * _HALF_OPEN_PERMITS:
            self._open()
        elif self._trials_passed > (1 - _FAILED_SHARE) * _HALF_OPEN_PERMITS:
            self._opened_in_a_row = 0
            self._move(BreakerState.CLOSED)

    def _open_if_too_much(self) -> None:
        reason = too_much(self._window.counts(self._clock()))
        if reason == "failed" or (reason == "slow" and self._others_serve()):
            self._open()

    def _open(self) -> None:
        doublings = self._opened_in_a_row if self._others_serve() else 0
        open_s = min(_OPEN_MAX_S, OPEN_BASE_S * 2**doublings)
        self._open_until_s = self._clock() + open_s * (1 + OPEN_JITTER * self._chance())
        self._opened_in_a_row += 1
        self._move(BreakerState.OPEN)

    def _move(self, state: BreakerState) -> None:
        self._state = state
        self._generation += 1
        self._window.clear()
        self._errors_in_a_row = self._trials_out = self._trials_passed = self._trials_failed = 0
        self._on_transition(state)
