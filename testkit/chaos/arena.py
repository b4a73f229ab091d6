"""Two replicas a stage, real processes, each behind a proxy that can make trouble, and a gateway before the proxies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.chaos.proxy import Proxy
from testkit.support import LogBook, free_port, until

STAGES = ("feature_extractor", "classifier")
_ESTABLISHED, _CLOSE_WAIT = "01", "08"


@dataclass
class Replicas:
    """The stages' processes and the proxies in front of them."""

    pipeline: LocalPipeline
    proxies: dict[str, list[Proxy]]

    @property
    def urls(self) -> dict[str, list[str]]:
        """Where a gateway finds the replicas: behind the proxies."""
        return {stage: [proxy.url for proxy in several] for stage, several in self.proxies.items()}

    def pid(self, stage: str) -> int:
        """The process of a stage's first replica."""
        return self.pipeline.of(stage)[0].popen.pid

    def inferences(self) -> dict[str, int]:
        """Calls that have reached each stage."""
        return {stage: sum(proxy.inferences for proxy in several) for stage, several in self.proxies.items()}


@contextmanager
def replicas(models: Path) -> Iterator[Replicas]:
    """Start two replicas a stage with one engine thread each."""
    plan = LaunchPlan(
        models,
        port=0,
        replicas=dict.fromkeys(STAGES, 2),
        environment={"SPLITWAY_THREADS": "1", "SPLITWAY_DRAIN_S": "1"},
        run_file=None,
    )
    with ExitStack() as stack:
        pipeline = stack.enter_context(LocalPipeline(plan, LogBook().line))
        pipeline.wait_ready()
        made = {s: [stack.enter_context(Proxy(process.url)) for process in pipeline.of(s)] for s in STAGES}
        yield Replicas(pipeline, made)


@dataclass
class Gateway:
    """Splitway's gateway in a process of its own, seen from outside."""

    url: str
    pid: int
    log: Path
    idle: dict[str, int] = field(default_factory=dict)
    """Tasks and sockets before any request."""

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=5, trust_env=False)

    @property
    def stages(self) -> list[dict[str, Any]]:
        stages: list[dict[str, Any]] = self.get("/v1/pipeline").json()["stages"]
        return stages

    def all_ready(self) -> bool:
        try:
            return all(replica["state"] == "ready" for stage in self.stages for replica in stage["replicas"])
        except httpx.TransportError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        samples = (sample for family in families for sample in family.samples)
        return float(sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items()))

    def held(self) -> dict[str, int]:
        """What it holds now: tasks on its loop, sockets, and sockets whose other end has gone."""
        descriptors = []
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                descriptors.append(str(descriptor.readlink()))
            except FileNotFoundError:
                continue
        inodes = {found[1] for link in descriptors if (found := re.fullmatch(r"socket:\[(\d+)\]", link))}
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        states = [row[3] for row in rows if row[9] in inodes]
        return {
            "tasks": int(self.metric("splitway_gateway_tasks")),
            "connected": states.count(_ESTABLISHED),
            "abandoned": states.count(_CLOSE_WAIT),
        }


@contextmanager
def gateway(urls: dict[str, list[str]], log: Path, **settings: str) -> Iterator[Gateway]:
    """Start a gateway in front of these replicas; what it writes goes to `log`."""
    port = free_port()
    addresses = {f"SPLITWAY_{stage.upper()}": ",".join(several) for stage, several in urls.items()}
    patient = {"SPLITWAY_PROBE_INTERVAL_MS": "250", "SPLITWAY_ATTEMPT_TIMEOUT_MS": "1000"}
    environment = {**os.environ, **patient, **addresses, **settings}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "always", "-m", "splitway.cli.main", "serve", "gateway", "--port", str(port)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # as the launcher does it
        )
    try:
        running = Gateway(f"http://127.0.0.1:{port}", process.pid, log)
        until(running.all_ready, 30)
        running.idle = running.held()
        yield running
    finally:
        process.terminate()
        process.wait(40)
