"""The memory for bodies: room for small ones is always left, and all of it comes back."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from starlette.requests import Request

from splitway.errors import Overloaded, SlowBody
from splitway.http.body import read_body
from splitway.http.body_budget import GRACE_S, Arrival, BodyBudget, BodyCharge, Refused
from splitway.wire.deadline import Deadline
from tests.gateway.resilience.support import in_virtual_time, now
from tests.splitway.runtime.clock import Clock

MIB = 1 << 20
TOO_SLOW = "slow_body: the body arrives too slowly while other requests need its memory; send it again in a moment"


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


async def test_an_error_that_is_its_own_cause_holds_nothing_up(bodies: BodyBudget) -> None:
    """One such error kept the event loop for ever."""

    def fail(error: BaseException) -> None:
        with bodies.charge({"caller": "a"}) as charge:
            charge.add(MIB)
            raise error

    first, second = ValueError("first"), ValueError("second")
    first.__cause__ = first
    with pytest.raises(ValueError, match="first"):
        fail(first)
    first.__cause__, second.__cause__ = second, first
    with pytest.raises(ValueError, match="first"):
        fail(first)
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


def test_an_error_that_is_among_its_own_causes_ends_the_charge_all_the_same(bodies: BodyBudget) -> None:
    """As orjson's are: a request with JSON of 100,000 brackets held the loop for ever."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    with suppress(ValueError), bodies.charge({"caller": 1}) as charge:
        charge.add(MIB)
        raise first
    assert bodies.held_bytes == 0


async def _send(bodies: BodyBudget, caller: str, mebibytes: int, *, then_bytes: int = 0) -> str:
    """Send a body at once, and then so many bytes each second for a minute; return what became of it."""
    begun_s, left = now(), mebibytes

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        if left >= 0:
            return {"type": "http.request", "body": bytes(MIB), "more_body": left > 0 or then_bytes > 0}
        await asyncio.sleep(1)
        return {"type": "http.request", "body": bytes(then_bytes), "more_body": now() < begun_s + 60}

    scope = {"type": "http", "headers": [], "caller": caller}
    with bodies.charge(scope) as charge:
        try:
            await read_body(Request(scope, receive), {}, 32 * MIB, Deadline.after(300), charge)
        except (Overloaded, SlowBody) as error:
            return f"{error.code}: {error.detail}"
    return "taken"


@pytest.mark.parametrize("share", [0.5, 1.0], ids=["of thirty callers", "of the same caller"])
def test_slow_senders_make_room_for_others_as_soon_as_it_is_needed(share: float) -> None:
    """Thirty of thirty callers left 3 MiB for all others, as long as each of them has time for its body."""

    async def main() -> tuple[list[str], Counter[str]]:
        bodies = BodyBudget(96 * MIB, share, _caller_of, 64 * 1024, now)
        names = [str(number) if share < 1 else "good" for number in range(30)]
        slow = [asyncio.create_task(_send(bodies, name, 3, then_bytes=1024)) for name in names]
        await asyncio.sleep(5)
        assert bodies.held_bytes > 90 * MIB
        good = []
        for _ in range(40):
            good.append(await _send(bodies, "good", 10))
            await asyncio.sleep(1)
        ends = Counter(await asyncio.gather(*slow))
        assert bodies.held_bytes == 0
        assert not bodies.arriving
        assert bodies.refused[Refused.SLOW] == sum(number for end, number in ends.items() if end == TOO_SLOW)
        return good, ends

    good, ends = in_virtual_time(main())
    assert good == ["taken"] * 40
    assert ends[TOO_SLOW] > 0
    assert ends["taken"] > 15, "only as many end as it takes"


def test_a_body_that_comes_in_well_is_never_ended() -> None:
    async def main() -> tuple[str, str]:
        bodies = BodyBudget(96 * MIB, 1.0, _caller_of, 64 * 1024, now)
        well = [asyncio.create_task(_send(bodies, str(n), 3, then_bytes=70 * 1024)) for n in range(11)]
        await asyncio.sleep(5)
        refused = await _send(bodies, "good", 33)
        return refused, (await asyncio.gather(*well))[0]

    refused, well = in_virtual_time(main())
    assert refused.startswith("overloaded: ")
    assert well == "taken"


def test_a_slow_body_that_finds_no_room_ends_no_other() -> None:
    async def main() -> Counter[str]:
        bodies = BodyBudget(16 * MIB, 1.0, _caller_of, 64 * 1024, now)
        ends = await asyncio.gather(*(_send(bodies, str(n), 3, then_bytes=60 * 1024) for n in range(4)))
        return Counter(end.partition(":")[0] for end in ends)

    assert "slow_body" not in in_virtual_time(main())


async def test_a_body_is_as_fast_as_it_was_of_late() -> None:
    clock = Clock()
    arrival = Arrival(asyncio.timeout(None), clock)
    arrival.came(1000)
    assert arrival.rate == math.inf
    clock.pass_(GRACE_S)
    assert arrival.rate == 1000 / GRACE_S
    arrival.came(10)
    assert arrival.rate == 1000 / GRACE_S
    clock.pass_(2 * GRACE_S)
    assert arrival.rate == 10 / (2 * GRACE_S)
    arrival.came(1_000_000)
    clock.pass_(GRACE_S)
    assert arrival.rate == 1_000_000 / GRACE_S


async def test_what_is_ended_is_read_no_further() -> None:
    timeout = asyncio.timeout(3600)

    async def read() -> None:
        async with timeout:
            Arrival(timeout, Clock()).end()
            await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        await read()
    Arrival(timeout, Clock()).end()
