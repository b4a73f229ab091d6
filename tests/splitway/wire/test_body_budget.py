"""The memory for bodies: room for small ones is always left, and all of it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from splitway.errors import Overloaded
from splitway.wire.body_budget import BodyBudget, BodyCharge, Refused

MIB = 1 << 20


def _caller_of(scope: Mapping[str, Any]) -> str:
    return str(scope["caller"])


@pytest.fixture
def bodies() -> BodyBudget:
    return BodyBudget(96 * MIB, 0.5, _caller_of)


def _fill(charge: BodyCharge, size: int) -> int:
    """Send up to `size` bytes, a MiB at a time; say how many were taken."""
    taken = 0
    with suppress(Overloaded):
        while taken < size:
            charge.add(MIB)
            taken += MIB
    return taken


async def test_sixty_large_bodies_hold_no_more_than_there_is_and_leave_room_for_a_small_one(
    bodies: BodyBudget,
) -> None:
    with ExitStack() as stack:
        charges = [stack.enter_context(bodies.charge({"caller": number})) for number in range(60)]
        taken = [_fill(charge, 10 * MIB) for charge in charges]
        assert taken.count(10 * MIB) >= 5
        assert bodies.held_bytes <= 96 * MIB
        with bodies.charge({"caller": "good"}) as small:
            small.add(MIB // 2)
        assert bodies.refused[Refused.FULL] >= 50
    assert bodies.held_bytes == 0


async def test_thirty_slow_senders_of_one_caller_hold_no_more_than_half(bodies: BodyBudget) -> None:
    with ExitStack() as stack:
        for _ in range(30):
            _fill(stack.enter_context(bodies.charge({"caller": "slow"})), 10 * MIB)
        assert bodies.held_bytes <= 48 * MIB
        with bodies.charge({"caller": "good"}) as another:
            assert _fill(another, 16 * MIB) == 16 * MIB
        with bodies.charge({"caller": "slow"}) as its_own_small_one:
            its_own_small_one.add(MIB // 2)
        assert bodies.refused[Refused.SHARE] > 0


async def test_thirty_slow_senders_of_thirty_callers_leave_room_for_a_small_one(bodies: BodyBudget) -> None:
    with ExitStack() as stack:
        for number in range(30):
            _fill(stack.enter_context(bodies.charge({"caller": number})), 10 * MIB)
        with bodies.charge({"caller": "good"}) as another:
            another.add(MIB // 4)


async def test_a_body_alone_is_taken_however_small_the_memory_is() -> None:
    bodies = BodyBudget(1, 0.1, _caller_of)
    with bodies.charge({"caller": "a"}) as charge:
        assert _fill(charge, 16 * MIB) == 16 * MIB
        with bodies.charge({"caller": "b"}) as second:
            with pytest.raises(Overloaded, match="send the request again") as refused:
                second.add(1)
            assert refused.value.retry_after_s
    with bodies.charge({"caller": "b"}) as charge:
        charge.add(1)


async def test_what_a_body_is_made_into_is_charged_in_its_place(bodies: BodyBudget) -> None:
    with bodies.charge({"caller": "a"}) as charge:
        charge.add(14 * MIB)
        charge.becomes(10 * MIB)
        assert bodies.held_bytes == 10 * MIB
        charge.becomes(12 * MIB)
        assert bodies.held_bytes == 12 * MIB
    assert bodies.held_bytes == 0


async def test_a_failed_request_leaves_no_body_in_its_error(bodies: BodyBudget) -> None:
    def fail() -> None:
        with bodies.charge({"caller": "a"}) as charge:
            charge.add(MIB)
            parse(bytes(MIB))

    def parse(body: bytes) -> None:
        raise ValueError(len(body))

    with pytest.raises(ValueError, match=str(MIB)) as caught:
        fail()
    calls = [frame.frame.f_locals for frame in caught.traceback if frame.name == "parse"]
    assert calls == [{}]
    assert bodies.held_bytes == 0


async def test_errors_whose_causes_lead_in_a_circle_do_not_hold_the_loop_for_ever() -> None:
    budget = BodyBudget(1000, 1.0, lambda _: "caller")
    error, cause = ValueError("one"), ValueError("another")
    error.__cause__, cause.__context__ = cause, error
    charge = budget.charge({})
    charge.add(100)
    charge.__exit__(ValueError, error, None)
    assert budget.held_bytes == 0
