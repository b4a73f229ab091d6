from __future__ import annotations

import pytest

from splitway.errors import DeadlineExceeded, InvalidInput
from splitway.wire.deadline import Deadline, read_deadline


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_left_falls_with_time() -> None:
    clock = Clock()
    deadline = Deadline.after(2.0, clock)
    clock.now_s += 0.5
    assert (deadline.header(), deadline.expired) == ("1500", False)
    clock.now_s += 1.6
    assert (deadline.header(), deadline.expired) == ("1", True)
    with pytest.raises(DeadlineExceeded, match="before the work began"):
        deadline.check("the work began")


def test_a_tighter_limit_wins_and_a_looser_one_does_not() -> None:
    deadline = Deadline.after(2.0, Clock())
    assert deadline.sooner(1.0).remaining_s == pytest.approx(1.0)
    assert deadline.sooner(5.0).remaining_s == pytest.approx(2.0)
    assert deadline.sooner(None) is deadline


@pytest.mark.parametrize("name", ["x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"])
def test_both_headers_are_read(name: str) -> None:
    assert read_deadline({name: "250"}, default_s=10, max_s=60).remaining_s == pytest.approx(0.25, abs=0.05)


def test_a_header_is_clamped_and_a_default_applies() -> None:
    assert read_deadline({"x-request-timeout-ms": "1e9"}, default_s=10, max_s=60).remaining_s <= 60
    assert read_deadline({}, default_s=10, max_s=60).remaining_s == pytest.approx(10, abs=0.05)


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "nan", "-inf"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="positive number of milliseconds"):
        read_deadline({"x-request-timeout-ms": text}, default_s=10, max_s=60)
