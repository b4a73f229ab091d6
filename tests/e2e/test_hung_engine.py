"""A process whose engine hangs ends by itself; one that was paused, or is told to stop, ends in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import free_port, until
from tests.e2e.hanging_stage import HANGS, SLOW
from tests.tiny_bundles import SPACE, WIDTH, write_bundle

pytestmark = pytest.mark.alone


class Stage:
    """The process, and what it is asked."""

    def __init__(self, models: Path, limit_s: float) -> None:
        self.port = free_port()
        environment = {"SPLITWAY_MODELS": str(models), "SPLITWAY_MAX_RUN_S": str(limit_s)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.hanging_stage", str(self.port)],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: self.get("/readyz") == 200, 60)

    def get(self, path: str) -> int | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False).status_code
        except httpx.TransportError:
            return None

    def is_busy(self) -> bool:
        said = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5, trust_env=False).text
        return 'splitway_stage_in_flight{stage="classifier"} 1' in said

    def infer(self, first: float, timeout_s: float = 30) -> int | None:
        features = Tensor.of_array("features", np.full((1, WIDTH), first, np.float32), {"feature_space": SPACE})
        body, length = build_request(InferRequest((features,)))
        url = f"http://127.0.0.1:{self.port}/v2/models/classifier/infer"
        try:
            headers = {HEADER_LENGTH: length, "x-request-timeout-ms": str(timeout_s * 1000)}
            return httpx.post(url, content=body, headers=headers, timeout=60, trust_env=False).status_code
        except httpx.TransportError:
            return None

    def said(self) -> str:
        return self.process.communicate(timeout=10)[1]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_bundle(tmp_path, "classifier", 1)
    return tmp_path


@pytest.fixture
def stages() -> Iterator[list[Stage]]:
    begun: list[Stage] = []
    yield begun
    for stage in begun:
        stage.process.kill()
        stage.process.communicate()


def _asked(stage: Stage, first: float, timeout_s: float = 30) -> tuple[threading.Thread, list[int | None]]:
    answers: list[int | None] = []
    thread = threading.Thread(target=lambda: answers.append(stage.infer(first, timeout_s)))
    thread.start()
    until(stage.is_busy, 10)
    return thread, answers


def test_a_process_with_an_engine_that_hangs_ends_and_says_why(models: Path, stages: list[Stage]) -> None:
    stages.append(stage := Stage(models, 1.0))
    asked, answers = _asked(stage, HANGS)
    assert stage.process.wait(20) == 1
    asked.join(10)
    assert answers == [503]  # told, and not left until its own time is up
    lines = [line for line in stage.said().splitlines() if "hangs" in line]
    assert len(lines) == 1
    assert "classifier version 1 hangs: one run has taken" in lines[0]


def test_a_process_that_was_paused_goes_on(models: Path, stages: list[Stage]) -> None:
    stages.append(stage := Stage(models, 2.0))
    asked, answers = _asked(stage, SLOW)
    stage.process.send_signal(signal.SIGSTOP)
    time.sleep(4)  # what is tested is a pause
    stage.process.send_signal(signal.SIGCONT)
    asked.join(20)
    assert answers == [200]
    for _ in range(3):
        assert stage.infer(1.0) == 200
    assert stage.get("/livez") == 200
    stage.process.terminate()
    assert stage.process.wait(20) == 0


def test_a_process_that_is_told_to_stop_does_not_wait_for_an_engine_that_hangs(
    models: Path, stages: list[Stage]
) -> None:
    stages.append(stage := Stage(models, 0))
    asked, _ = _asked(stage, HANGS, 2)
    stage.process.send_signal(signal.SIGTERM)
    assert stage.process.wait(50) == 1
    asked.join(10)
    assert "classifier version 1 could not be stopped and is given up" in stage.said()
