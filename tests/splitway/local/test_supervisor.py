"""What ends is started again, later each time, until it has stayed; only a dead gateway has its callers wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from splitway.errors import SetupError
from splitway.local.launch import LocalPipeline
from splitway.local.processes import Process
from splitway.local.supervisor import Backoff, Supervisor


def test_it_waits_twice_as_long_each_time_up_to_half_a_minute() -> None:
    backoff = Backoff()
    assert [backoff.ended(0.0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_what_was_ready_for_half_a_minute_is_started_again_soon() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.ended(0.0)
    backoff.ready(100.0)
    backoff.ready(120.0)
    assert backoff.ended(129.9) == 16.0, "it had not stayed"
    backoff.ready(200.0)
    assert backoff.ended(230.0) == 0.5
    assert backoff.ended(500.0) == 1.0, "it was never ready in between"


@dataclass
class FakeProcess:
    name: str
    stage: str
    exit_code: int | None = None


@dataclass
class FakePipeline:
    """Writes down what is done with its processes."""

    processes: list[FakeProcess]
    done: list[str] = field(default_factory=list)
    trouble: Exception | None = None
    dies_at_once: bool = False

    def start_again(self, process: FakeProcess) -> None:
        self.done.append(f"start {process.name}")
        if isinstance(self.trouble, OSError):
            raise self.trouble
        process.exit_code = 1 if self.dies_at_once else None
        if self.trouble is not None:
            raise self.trouble

    def refuse_callers_of(self, process: FakeProcess) -> None:
        self.done.append(f"refuse {process.name}")

    def let_callers_wait_for(self, process: FakeProcess) -> None:
        self.done.append(f"wait {process.name}")


class Watching:
    """A supervisor of two processes, and its clock."""

    def __init__(self, *, restart: bool = True) -> None:
        self.now_s = 0.0
        self.said: list[str] = []
        self.ready = True
        self.gateway, self.stage = FakeProcess("gateway", "gateway"), FakeProcess("classifier.1", "classifier")
        self.pipeline = FakePipeline([self.gateway, self.stage])
        self.supervisor = Supervisor(
            cast("LocalPipeline", self.pipeline),
            lambda name, line: self.said.append(f"{name} {line}"),
            self.is_ready,
            restart=restart,
            clock=lambda: self.now_s,
        )

    def is_ready(self, process: Process) -> bool:
        return self.ready

    def look(self, at_s: float) -> list[str]:
        """Look at this time; return what was done."""
        self.now_s = at_s
        self.pipeline.done.clear()
        self.supervisor.look()
        return list(self.pipeline.done)


def test_only_what_has_ended_is_started_again_and_that_is_said() -> None:
    watching = Watching()
    assert watching.look(1.0) == []
    watching.stage.exit_code = -9
    assert watching.look(2.0) == ["refuse classifier.1"]
    assert watching.look(2.4) == []
    watching.ready = False
    assert watching.look(2.5) == ["start classifier.1"]
    assert watching.look(3.0) == []
    watching.ready = True
    assert watching.look(3.5) == []
    assert watching.said == [
        "classifier.1 has ended with -9; it is started again in 0.5 s",
        "classifier.1 is ready again, after 1.5 s",
    ]


def test_callers_of_a_gateway_wait_only_while_it_is_soon_back() -> None:
    watching = Watching()
    watching.pipeline.dies_at_once = True
    watching.gateway.exit_code = 1
    done = [step for tick in range(100) for step in watching.look(tick / 10)]
    first = ["wait gateway", "start gateway"]
    assert done == [*first, *first, *["refuse gateway", "start gateway"] * 2, "refuse gateway"]


def test_what_cannot_be_started_is_tried_again_later() -> None:
    watching = Watching()
    watching.stage.exit_code = -9
    watching.look(0.0)
    watching.pipeline.trouble = OSError(12, "Cannot allocate memory")
    assert watching.look(0.5) == ["start classifier.1", "refuse classifier.1"]
    watching.pipeline.trouble = SetupError("cannot write run.json: No space left on device")
    assert watching.look(1.5) == ["start classifier.1"]
    assert watching.said[1:3] == [
        "classifier.1 cannot be started again: Cannot allocate memory; it is started again in 1 s",
        "classifier.1 runs again, but cannot write run.json: No space left on device",
    ]


@pytest.mark.parametrize("order", [("gateway", "stage"), ("stage", "gateway")])
def test_without_restarts_each_end_is_said_once_and_the_others_go_on(order: tuple[str, str]) -> None:
    watching = Watching(restart=False)
    for ended, name in enumerate(order):
        assert not watching.supervisor.all_have_ended
        getattr(watching, name).exit_code = 1
        assert watching.look(ended) == watching.look(ended + 0.5) == []
    assert watching.supervisor.all_have_ended
    assert [line.partition(" ")[2] for line in watching.said] == ["has ended with 1; with --no-restart it stays so"] * 2
