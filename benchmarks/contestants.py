"""Who is measured: each is started with the same bundles, warmed by one answered picture, and stopped at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from splitway.cli.launch import LaunchPlan, LocalPipeline
from tests.chaos.arena import free_port


@dataclass(frozen=True)
class Running:
    """A contestant that answers pictures."""

    url: str
    pids: tuple[int, ...]
    ready_s: float
    """From the command to the first answer."""

    @property
    def resident_mb(self) -> float:
        """Memory of all its processes, in MB."""
        return sum(_resident_kib(pid) for pid in self.pids) * 1024 / 1e6


def _resident_kib(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    own = next((int(line.split()[1]) for line in status if line.startswith("VmRSS")), 0)
    return own + sum(_resident_kib(int(child)) for child in children)


def wait_for_answer(url: str, picture: Path, started_s: float, media_type: str = "image/jpeg") -> float:
    """Ask until a picture is answered; return the seconds since `started_s`."""
    body = picture.read_bytes()
    while time.perf_counter() - started_s < 120:
        try:
            reply = httpx.post(url, content=body, headers={"content-type": media_type}, timeout=30, trust_env=False)
            if reply.status_code == 200:
                return time.perf_counter() - started_s
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


def _no_log(_: str, __: str) -> None:
    """What the processes print is of no interest here."""


@contextmanager
def splitway(models: Path, picture: Path, **settings: str) -> Iterator[Running]:
    """The pipeline as `splitway up` runs it, with everything switched on."""
    started_s = time.perf_counter()
    plan = LaunchPlan(models, port=0, run_file=None, environment=settings)
    with LocalPipeline(plan, _no_log) as pipeline:
        url = f"{pipeline.gateway.url}/v1/classify"
        ready_s = wait_for_answer(url, picture, started_s)
        yield Running(url, tuple(process.popen.pid for process in pipeline.processes), ready_s)


@contextmanager
def handwritten(models: Path, picture: Path) -> Iterator[Running]:
    """Three FastAPI services, httpx, JSON."""
    started_s = time.perf_counter()
    ports = {name: free_port() for name in ("feature_extractor", "classifier", "gateway")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    with ExitStack() as stack:
        pids = []
        for name, port in ports.items():
            app = "benchmarks.handwritten." + ("gateway" if name == "gateway" else "stages") + ":app"
            environment = {"STAGE": name, "MODELS": str(models)}
            environment |= {"EXTRACTOR": urls["feature_extractor"], "CLASSIFIER": urls["classifier"]}
            pids.append(stack.enter_context(_uvicorn(app, port, environment)))
        url = f"{urls['gateway']}/v1/classify"
        ready_s = wait_for_answer(url, picture, started_s)
        yield Running(url, tuple(pids), ready_s)


@contextmanager
def _uvicorn(app: str, port: int, environment: Mapping[str, str]) -> Iterator[int]:
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)
