"""Threads that do what they are given, and let the process end whatever they are at."""

from __future__ import annotations

import threading

import pytest

from splitway.runtime.batching.threads import DaemonThreads, Runs
from tests.splitway.runtime.clock import Clock


def test_work_is_done_by_so_many_threads_and_failures_are_told() -> None:
    threads = DaemonThreads(2, "worker")
    gate = threading.Barrier(2)

    def name() -> str:
        gate.wait(10)
        return threading.current_thread().name

    both = [threads.submit(name) for _ in range(2)]
    assert sorted(each.result(10) for each in both) == ["worker_0", "worker_1"]
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(10)
    assert threads.submit(pow, 2, exp=3).result(10) == 8
    threads.shutdown()
    with pytest.raises(RuntimeError, match="stopped"):
        threads.submit(name)


def test_a_thread_that_hangs_is_not_waited_for_without_end() -> None:
    threads, rest = DaemonThreads(1, "worker"), threading.Event()
    hangs, waits = threads.submit(rest.wait, 10), threads.submit(rest.wait, 10)
    threads.shutdown(wait=False, cancel_futures=True)
    assert waits.cancelled()
    assert not threads.join(0.01)
    assert all(thread.daemon for thread in threads._threads)
    rest.set()
    assert threads.join(10)
    assert hangs.result(10)


def test_what_is_queued_is_done_before_the_end() -> None:
    threads = DaemonThreads(1, "worker")
    done = [threads.submit(int, number) for number in range(10)]
    threads.shutdown()
    assert [each.result(0) for each in done] == list(range(10))


def test_what_was_cancelled_is_not_done() -> None:
    threads, rest, done = DaemonThreads(1, "worker"), threading.Event(), threading.Event()
    threads.submit(rest.wait, 10)
    threads.submit(done.set).cancel()
    rest.set()
    threads.shutdown()
    assert not done.is_set()


def test_each_thread_has_one_run_and_its_next_part_begins_anew() -> None:
    clock = Clock()
    runs = Runs(clock)
    runs.begin("a")
    clock.pass_(5)
    other = threading.Thread(target=runs.begin, args=("b",))
    other.start()
    other.join()
    assert sorted(runs.under_way) == [("a", 1000, 0), ("b", 1005, 0)]
    runs.begin("a")
    assert ("a", 1005, 0) in runs.under_way
    runs.end()
    runs.end()  # nothing was under way
    assert [model for model, *_ in runs.under_way] == ["b"]
