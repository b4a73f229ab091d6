"""Small pictures that cost much: what each costs the process that decodes it, in time of its threads and in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from splitway.local.launch import LocalPipeline
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import free_port, until
from tests.security import attack_pictures

pytestmark = pytest.mark.alone

MOST_MS, MOST_MIB = 50.0, 20.0


_NO_LIMIT = {
    "SPLITWAY_MAX_PICTURE_PIXELS": str(10**10),
    "SPLITWAY_MAX_PICTURE_SECONDS": "1000",
    "SPLITWAY_DECODE_MEMORY_BYTES": str(10**12),
}


@dataclass(frozen=True)
class Cost:
    """What one request cost a process."""

    status: int
    cpu_ms: float
    peak_mib: float


class Extractor:
    """A real feature extractor, from outside."""

    def __init__(self, url: str, pid: int) -> None:
        self._url = f"{url}/v2/models/feature_extractor/infer"
        self._process = Path(f"/proc/{pid}")

    def send(self, picture: bytes) -> int:
        body, length = build_request(InferRequest((Tensor.of_bytes("image", [picture]),)))
        headers = {HEADER_LENGTH: length}
        return httpx.post(self._url, content=body, headers=headers, timeout=60, trust_env=False).status_code

    def cost(self, picture: bytes, tries: int = 3) -> Cost:
        """The least of some tries: the process does other things too."""
        costs = [self._cost(picture) for _ in range(tries)]
        return Cost(costs[0].status, min(c.cpu_ms for c in costs), min(c.peak_mib for c in costs))

    def _cost(self, picture: bytes) -> Cost:
        (self._process / "clear_refs").write_text("5")
        memory, cpu_ns = self._status("VmRSS"), self._cpu_ns()
        status = self.send(picture)
        return Cost(status, (self._cpu_ns() - cpu_ns) / 1e6, (self._status("VmHWM") - memory) / 1024)

    def _status(self, field: str) -> int:
        lines = (self._process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))

    def _cpu_ns(self) -> int:
        return sum(int(each.read_text().split()[0]) for each in self._process.glob("task/*/schedstat"))


@pytest.fixture(scope="module")
def extractor_process(pipeline: LocalPipeline, cat: bytes) -> Extractor:
    (process,) = pipeline.of("feature_extractor")
    extractor = Extractor(process.url, process.popen.pid)
    for _ in range(5):
        assert extractor.send(cat) == 200
    return extractor


@pytest.mark.parametrize("name", attack_pictures.ATTACKS)
def test_no_small_picture_costs_more_than_a_picture(extractor_process: Extractor, cat: bytes, name: str) -> None:
    """A picture that is decoded after all is one of the engine's too: its run is not the picture's fault."""
    ordinary = extractor_process.cost(cat)
    cost = extractor_process.cost(attack_pictures.ATTACKS[name]())
    assert cost.status in (200, 400, 413)
    if cost.status == 200:
        cost = Cost(200, cost.cpu_ms - ordinary.cpu_ms, cost.peak_mib)
    assert cost.cpu_ms < MOST_MS, cost
    assert cost.peak_mib < MOST_MIB, cost
    assert extractor_process.send(cat) == 200


@contextmanager
def _without_limit(models: Path) -> Iterator[Extractor]:
    """An extractor that was told to take pictures of any size."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "serve", "feature_extractor", "--port", str(port)],
        env={**os.environ, "SPLITWAY_MODELS": str(models), **_NO_LIMIT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(is_ready, 30)
        yield Extractor(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_without_the_limit_the_same_picture_is_a_bomb(extractor_process: Extractor, models: Path) -> None:
    """What is measured here would be seen: the picture of 21 kB, where no limit keeps it out."""
    bomb = attack_pictures.ATTACKS["png 13,000 x 13,000"]()
    assert len(bomb) < 25_000
    refused = extractor_process.cost(bomb)
    with _without_limit(models) as open_to_all:
        taken = open_to_all.cost(bomb, tries=1)
    assert (refused.status, taken.status) == (413, 200)
    assert taken.cpu_ms > 5 * MOST_MS
    assert taken.peak_mib > 5 * MOST_MIB
