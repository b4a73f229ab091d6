"""Who is measured: each is started with the same bundles, warmed by one answered picture, and stopped at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.processes import family, proportional_mb, resident_mb, signal_all, stop
from testkit.support import free_port

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Running:
    """A contestant that answers pictures."""

    url: str
    pids: Mapping[str, int]
    """What was started, by name; that may have started more."""
    ready_s: float
    """From the command to the first answer."""
    mark: str | None = None
    """What the environment of all its processes contains, where some may leave their parents."""
    key: str | None = None
    """What it asks its callers for."""

    @property
    def processes(self) -> set[int]:
        """All its processes, with those that it has started."""
        return family(self.pids.values(), self.mark)

    @property
    def weight(self) -> dict[str, float]:
        """What it takes: the memory and the count of all its processes, and the time until it was ready."""
        pids = self.processes
        return {
            "resident_mb": resident_mb(pids),
            "proportional_mb": proportional_mb(pids),
            "processes": len(pids),
            "ready_s": self.ready_s,
        }

    def freeze(self) -> None:
        """Stop all its processes where they are, so that they take nothing from who is measured."""
        signal_all(self.processes, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        signal_all(self.processes, signal.SIGCONT)


def wait_for_answer(
    url: str, picture: Path, started_s: float, media_type: str = "image/jpeg", key: str | None = None
) -> float:
    """Ask until a picture is answered; return the seconds since `started_s`."""
    body = picture.read_bytes()
    headers = {"content-type": media_type} | ({} if key is None else {"authorization": f"Bearer {key}"})
    while time.perf_counter() - started_s < 120:
        try:
            reply = httpx.post(url, content=body, headers=headers, timeout=30, trust_env=False)
            if reply.status_code == 200:
                return time.perf_counter() - started_s
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


def _no_log(_: str, __: str) -> None:
    """What the processes print is of no interest here."""


def splitway(models: Path, picture: Path, **settings: str) -> AbstractContextManager[Running]:
    """The pipeline as `splitway up` runs it, with everything switched on."""
    return _splitway(LaunchPlan(models, port=0, run_file=None, environment=settings), picture, None)


def closed_splitway(
    models: Path, picture: Path, settings: Mapping[str, str], key: str, certs: Path | None = None
) -> AbstractContextManager[Running]:
    """The same where callers show a key, and where services show certificates if there is a folder for them."""
    return _splitway(LaunchPlan(models, port=0, run_file=None, environment=settings, certs=certs), picture, key)


@contextmanager
def _splitway(plan: LaunchPlan, picture: Path, key: str | None) -> Iterator[Running]:
    started_s = time.perf_counter()
    with LocalPipeline(plan, _no_log) as pipeline:
        url = f"{pipeline.gateway.url}/v1/classify"
        ready_s = wait_for_answer(url, picture, started_s, key=key)
        pids = {process.stage: process.popen.pid for process in pipeline.processes}
        yield Running(url, pids, ready_s, key=key)


@contextmanager
def handwritten(models: Path, picture: Path) -> Iterator[Running]:
    """Three FastAPI services, httpx, JSON."""
    started_s = time.perf_counter()
    ports = {name: free_port() for name in ("feature_extractor", "classifier", "gateway")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    with ExitStack() as stack:
        pids = {}
        for name, port in ports.items():
            app = "benchmarks.handwritten." + ("gateway" if name == "gateway" else "stages") + ":app"
            environment = {"STAGE": name, "MODELS": str(models)}
            environment |= {"EXTRACTOR": urls["feature_extractor"], "CLASSIFIER": urls["classifier"]}
            pids[name] = stack.enter_context(_uvicorn(app, port, environment))
        url = f"{urls['gateway']}/v1/classify"
        ready_s = wait_for_answer(url, picture, started_s)
        yield Running(url, pids, ready_s)


@contextmanager
def _uvicorn(app: str, port: int, environment: Mapping[str, str]) -> Iterator[int]:
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def bentoml(models: Path, picture: Path) -> Iterator[Running]:
    """Two BentoML services, one worker each; what they write is temporary."""
    port = free_port()
    command = [".peers/bentoml/bin/bentoml", "serve", "benchmarks.peers.bentoml_service:FeatureExtractor"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="bentoml-") as folder:
        environment = {"MODELS": str(models), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": f"{folder}/home"}
        with _peer(command, folder, environment, port, picture) as running:
            yield running


@contextmanager
def ray_serve(models: Path, picture: Path) -> Iterator[Running]:
    """Two Ray Serve deployments, one replica each, behind its HAProxy, in a Ray of their own; folders are temporary.

    HAProxy comes with Ray Serve and leads past its own proxy: it serves 1.4 times as many requests.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        command = [".peers/ray/bin/python", "-m", "benchmarks.peers.ray_service"]
        command += ["--port", str(port), "--folder", folder]
        environment = {"MODELS": str(models), "RAY_USAGE_STATS_ENABLED": "0"}
        environment |= {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", **_haproxy(Path(folder))}
        with _peer(command, folder, environment, port, picture) as running:
            yield running


def _haproxy(folder: Path) -> dict[str, str]:
    """Ray Serve's settings for its HAProxy: everything in this folder, and ports that are free."""
    prefix, own = "RAY_SERVE_HAPROXY_", folder / "haproxy"
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        f"{prefix}CONFIG_FILE_LOC": str(own / "haproxy.cfg"),
        f"{prefix}SOCKET_PATH": str(own / "admin.sock"),
        f"{prefix}METRICS_SOCKET_PATH": str(own / "metrics.sock"),
        f"{prefix}SERVER_STATE_BASE": str(own),
        f"{prefix}SERVER_STATE_FILE": str(own / "server-state"),
        f"{prefix}METRICS_PORT": str(free_port()),
        f"{prefix}STATS_PORT": str(free_port()),
    }


@contextmanager
def _peer(
    command: list[str], folder: str, environment: Mapping[str, str], port: int, picture: Path
) -> Iterator[Running]:
    started_s = time.perf_counter()
    mark = f"PEER_OF_THE_BENCH={folder}"
    everything = {**os.environ, **environment, "PYTHONPATH": str(ROOT), "TMPDIR": folder, "PEER_OF_THE_BENCH": folder}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=everything, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        url = f"http://127.0.0.1:{port}/v1/classify"
        ready_s = wait_for_answer(url, picture, started_s)
        yield Running(url, {Path(command[0]).name: process.pid}, ready_s, mark)
    finally:
        stop(process, mark)
