"""An interrupt while a pipeline is started in the background leaves nothing of it, whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splitway.cli.launched import detach
from splitway.process.child import python

WAITS = "import signal; signal.pause()"
IS_DONE = 'import os, sys; os.write(int(sys.argv[1]), b\'["done", "ready"]\\n\')'


@pytest.fixture(autouse=True)
def _signals_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def test_an_interrupt_before_the_process_is_known_stops_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []

    def start(*args: Any, **more: Any) -> subprocess.Popen[str]:
        started.append(real(*args, **more))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    try:
        with pytest.raises(KeyboardInterrupt, match="the pipeline is stopped"):
            detach.start_detached(lambda _: python("-c", WAITS), tmp_path / "log")
        assert started[0].poll() == -signal.SIGTERM
    finally:
        started[0].kill()
        started[0].wait()


def test_an_interrupt_after_it_is_ready_changes_nothing(tmp_path: Path) -> None:
    assert detach.start_detached(lambda fd: python("-c", IS_DONE, str(fd)), tmp_path / "log") == "ready"
    signal.raise_signal(signal.SIGINT)
