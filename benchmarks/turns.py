"""Contestants measured in turn: all are ready, and only the one that is measured runs.

The others are frozen (SIGSTOP) with everything they have started, so that none takes a core from another: some
frameworks are never idle. A contestant that goes on is asked for a second by one client before it is measured, and
after it gets a second to finish what is still under way. Seen: Ray Serve and Splitway, frozen for 45 s, go on with the
same processes, BentoML after 25 s; none of them with an error for wrk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import Running
from benchmarks.rows import Figures, Rows
from benchmarks.wrk import wrk

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models"
Measure = Callable[[int], Figures]
"""Takes a count of clients."""
REST_S = 1.0


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    pairs: int
    """How often everybody has a turn."""
    seconds: float
    """Of each turn."""
    peers: bool = False
    """BentoML and Ray Serve too."""


@dataclass(frozen=True)
class Picture:
    """What is sent."""

    path: Path
    media_type: str


JPEG = Picture(ROOT / "benchmarks" / "pictures" / "cat-500x375.jpg", "image/jpeg")
TINY = Picture(ROOT / "benchmarks" / "pictures" / "tiny.png", "image/png")


@contextmanager
def in_turns(rivals: Mapping[str, AbstractContextManager[Running]]) -> Iterator[dict[str, Running]]:
    """Start them one after the other and freeze each as soon as it is ready."""
    with ExitStack() as stack:
        running: dict[str, Running] = {}
        for name, rival in rivals.items():
            running[name] = stack.enter_context(rival)
            stack.callback(running[name].thaw)  # who is frozen can't be asked to stop
            time.sleep(REST_S)
            running[name].freeze()
        yield running


def load(running: Running, picture: Picture, clients: int, seconds: float) -> Figures:
    """Load one contestant as it is."""
    return wrk(
        running.url, picture.path, clients=clients, seconds=seconds, media_type=picture.media_type, key=running.key
    )


def served(running: Running, picture: Picture, seconds: float) -> Measure:
    """Measure a contestant that is frozen before and after."""

    def measure(clients: int) -> Figures:
        running.thaw()
        try:
            load(running, picture, 1, REST_S)
            figures = load(running, picture, clients, seconds)
            time.sleep(REST_S)
        finally:
            running.freeze()
        return figures

    return measure


def in_process(seconds: float) -> Measure:
    """Measure the uncut model without any server."""

    def measure(clients: int) -> Figures:
        command = [sys.executable, "-m", "benchmarks.inprocess", "--picture", str(JPEG.path)]
        command += ["--clients", str(clients), "--seconds", str(seconds)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        figures: Figures = json.loads(result.stdout.splitlines()[-1])
        return figures

    return measure


def alternate(measures: Mapping[str, Measure], clients: Iterable[int], pairs: int) -> Rows:
    """Measure everybody in turn, `pairs` times; one row for each measurement."""
    rows: Rows = []
    for pair in range(pairs):
        for count in clients:
            for name, measure in measures.items():
                figures = measure(count)
                rows.append({"name": name, "clients": count, "pair": pair, **figures})
                print(
                    f"  {pair + 1}/{pairs} {count:3d} clients {name:12s} {figures['rate']:7.1f}/s "
                    f"p50 {figures['p50_ms']:7.1f} ms, {figures['errors']:.0f} errors",
                    file=sys.stderr,
                    flush=True,
                )
    return rows
