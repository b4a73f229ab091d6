"""However a request ends, it is counted once, under a name."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest
from starlette.requests import ClientDisconnect

from splitway.errors import Overloaded
from splitway.wire.outcome import outcome_of


def _end_with(error: BaseException | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (Overloaded("too much"), "overloaded"),
        (ValueError("a defect"), "internal"),
        (ClientDisconnect(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_end_has_a_name(error: BaseException | None, outcome: str) -> None:
    counted: list[tuple[str, float]] = []
    with nullcontext() if error is None else pytest.raises(type(error)), outcome_of(lambda *end: counted.append(end)):
        _end_with(error)
    ((name, seconds),) = counted
    assert name == outcome
    assert seconds >= 0
