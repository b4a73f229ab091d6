"""Turns at the door."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.fair_queue import FairQueue


def _filled(*places: str) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for place in places:
        queue.put(place[0], place)
    return queue


def _emptied(queue: FairQueue[str]) -> list[str]:
    return [queue.pop() for _ in range(len(queue))]


def test_callers_take_turns_and_each_keeps_their_order() -> None:
    queue = _filled("a1", "a2", "a3", "b1", "c1", "b2")
    assert _emptied(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_comes_last_knows_how_many_are_before_them() -> None:
    queue = _filled("a1", "a2", "a3", "b1")
    assert [queue.ahead(caller) for caller in "abc"] == [4, 3, 2]


def test_who_gives_up_is_not_waited_for() -> None:
    queue = _filled("a1", "b1", "a2")
    for place in ("a1", "b1", "b1", "x1"):
        queue.discard(place[0], place)
    assert _emptied(queue) == ["a2"]


def test_room_is_made_at_the_end_of_the_longest_line_alone() -> None:
    queue = _filled("a1", "a2", "a3", "b1")
    assert queue.pop_last_of_longest(than="a") is None
    assert queue.pop_last_of_longest(than="b") == "a3"
    assert queue.pop_last_of_longest(than="b") is None, "both would then have the same"
    assert queue.pop_last_of_longest(than="c") == "a2"
    assert queue.pop_last_of_longest(than="c") is None


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40))
def test_what_ahead_says_is_what_happens(callers: list[str]) -> None:
    queue: FairQueue[int] = FairQueue()
    for n, caller in enumerate(callers[:-1]):
        queue.put(caller, n)
    before, last = queue.ahead(callers[-1]), len(callers) - 1
    queue.put(callers[-1], last)
    order = deque(queue.pop() for _ in range(len(queue)))
    assert len(order) == len(callers)
    assert order.index(last) <= before


def test_one_caller_alone_queues_as_ever() -> None:
    queue: FairQueue[int] = FairQueue()
    for n in range(5):
        queue.put("", n)
    assert (len(queue), queue.ahead("")) == (5, 5)
    assert [queue.pop() for _ in range(5)] == list(range(5))
