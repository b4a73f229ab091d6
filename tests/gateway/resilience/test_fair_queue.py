"""Turns at the door."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from splitway.gateway.resilience.fair_queue import FairQueue


def _filled(*places: str) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for place in places:
        queue.put(place[0], place)
    return queue


def _emptied(queue: FairQueue[str]) -> list[str | None]:
    return [queue.pop() for _ in range(len(queue))]


def test_callers_take_turns_and_each_keeps_their_order() -> None:
    queue = _filled("a1", "a2", "a3", "b1", "c1", "b2")
    assert _emptied(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_comes_last_knows_how_many_are_before_them() -> None:
    queue = _filled("a1", "a2", "a3", "b1")
    assert [queue.ahead(caller)[0] for caller in "abc"] == [4, 3, 2]


def test_what_is_ahead_is_told_by_number_and_by_cost() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("a", "a1", 64)
    queue.put("a", "a2", 64)
    queue.put("b", "b1")
    assert [queue.ahead(caller) for caller in "abc"] == [(3, 129), (2, 65), (2, 65)]


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
    before, last = queue.ahead(callers[-1])[0], len(callers) - 1
    queue.put(callers[-1], last)
    order = deque(queue.pop() for _ in range(len(queue)))
    assert len(order) == len(callers)
    assert order.index(last) <= before


def test_one_caller_alone_queues_as_ever() -> None:
    queue: FairQueue[int] = FairQueue()
    for n in range(5):
        queue.put("", n)
    assert (len(queue), queue.ahead("")) == (5, (5, 5))
    assert [queue.pop() for _ in range(5)] == list(range(5))


def _let_out(costs: dict[str, int], units: int, *, each_waits: int = 3) -> dict[str, int]:
    """By cost, what is let out of callers who always have some waiting."""
    queue: FairQueue[str] = FairQueue()
    for caller, cost in costs.items():
        for _ in range(each_waits):
            queue.put(caller, caller, cost)
    out = dict.fromkeys(costs, 0)
    while sum(out.values()) < units:
        turn = queue.pop()
        assert turn is not None
        out[turn] += costs[turn]
        queue.put(turn, turn, costs[turn])
    return out


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 64), min_size=2))
def test_turns_are_taken_by_cost(costs: dict[str, int]) -> None:
    out = _let_out(costs, 5000)
    for one, other in zip(list(out), list(out)[1:], strict=False):
        assert abs(out[one] - out[other]) <= costs[one] + costs[other]


def test_one_that_asks_for_much_at_a_time_waits_for_others_even_if_it_has_one_waiting_at_once() -> None:
    out = _let_out({"a": 64, "b": 1}, 2000, each_waits=1)
    assert abs(out["a"] - out["b"]) <= 65


def test_who_was_away_gets_no_credit_for_it() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.put("a", "a")
    assert [queue.pop() for _ in range(50)] == ["a"] * 50
    for _ in range(10):
        queue.put("b", "b")
    assert [queue.pop() for _ in range(8)].count("b") == 4


def test_what_has_cost_less_than_was_thought_is_given_back() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(3):
        queue.put("a", "a", 10)
        queue.put("b", "b", 10)
    assert [queue.pop(), queue.pop()] == ["a", "b"]
    queue.give_back("b", 9)
    assert [queue.pop() for _ in range(4)] == ["b", "a", "b", "a"]
    queue.give_back("c", 1)
    assert len(queue) == 0


def test_one_that_may_not_go_does_not_keep_the_others() -> None:
    queue = _filled("a1", "b1", "a2")
    assert queue.pop(lambda caller, _: caller == "b") == "b1"
    assert queue.pop(lambda caller, _: caller == "b") is None
    assert queue.waits("a")
    assert not queue.waits("b")
    assert _emptied(queue) == ["a1", "a2"]


def test_those_behind_one_that_gives_up_move_up() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put("a", "a1", 50)
    queue.put("a", "a2", 50)
    queue.put("b", "b1", 10)
    queue.put("b", "b2", 10)
    queue.discard("a", "a1")
    assert [queue.pop() for _ in range(3)] == ["a2", "b1", "b2"]


def test_what_is_remembered_of_callers_is_bounded() -> None:
    queue: FairQueue[int] = FairQueue()
    most = 0
    queue.put("always", -1)
    for n in range(5000):  # two wait at any time, and time goes on
        queue.put(f"caller {n}", n)
        queue.pop()
        queue.put("always", -1)
        queue.pop()
        most = max(most, len(queue._ends))
    assert 1000 < most <= 1027
    while len(queue):
        queue.pop()
    assert not queue._ends
