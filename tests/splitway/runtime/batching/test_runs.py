"""Runs under way, by thread."""

from __future__ import annotations

import threading

from splitway.runtime.batching.runs import Runs, UnderWay
from tests.splitway.runtime.clock import Clock


def test_each_thread_has_one_run_and_its_next_part_begins_anew() -> None:
    clock = Clock()
    runs = Runs(clock)
    runs.begin("a")
    clock.pass_(5)
    other = threading.Thread(target=runs.begin, args=("b",))
    other.start()
    other.join()
    assert sorted(runs.under_way) == [UnderWay("a", 1000), UnderWay("b", 1005)]
    runs.begin("a")
    assert UnderWay("a", 1005) in runs.under_way
    runs.end()
    runs.end()  # nothing was under way
    assert [run.model for run in runs.under_way] == ["b"]
