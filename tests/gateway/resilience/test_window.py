from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splitway.gateway.resilience.window import CallCounts, TimeWindow


def test_a_call_is_forgotten_when_its_bucket_leaves_the_window() -> None:
    window = TimeWindow(1.0, 10)
    window.add(5.9, failed=True)
    assert window.counts(14.99) == CallCounts(1, 1, 0)
    assert window.counts(15.0) == CallCounts(0, 0, 0)


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.booleans()), max_size=60))
def test_sums_are_those_of_the_last_buckets(calls: list[tuple[float, bool, bool]]) -> None:
    window, now_s, ends = TimeWindow(1.0, 10), 0.0, []
    for gap_s, failed, slow in calls:
        now_s += gap_s / 10
        window.add(now_s, failed=failed, slow=slow)
        ends.append((int(now_s), failed, slow))
    recent = [end for end in ends if end[0] > int(now_s) - 10]
    expected = CallCounts(len(recent), sum(end[1] for end in recent), sum(end[2] for end in recent))
    assert window.counts(now_s) == expected
