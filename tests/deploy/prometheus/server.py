"""A real Prometheus with the committed configuration, in which only discovery and intervals are replaced."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from splitway.local.launch import LocalPipeline
from testkit.support import free_port, until

COMMITTED = Path(__file__).parent.parent.parent.parent / "deploy" / "prometheus"
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"\[(\d+[smhd])\]")
_COUNTED = re.compile(r"\* (\d+) >")
Sample = tuple[dict[str, str], float]


def needs(*programs: str) -> None:
    """Skip a module's tests where one of these is not installed."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"no {', '.join(missing)} here; `apt-get install prometheus` has it", allow_module_level=True)


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        reply = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10, trust_env=False)
        assert reply.status_code == 200, f"{parameters}: {reply.text}"
        return reply.json()["data"]

    def query(self, expression: str) -> list[Sample]:
        """What an expression gives now, without what is no number."""
        found = [(each["metric"], float(each["value"][1])) for each in self.get("query", query=expression)["result"]]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    def holds(self, comparison: str) -> bool:
        """Whether a comparison leaves anything."""
        return bool(self.query(comparison))

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that fire, each with its job."""
        alerts = self.get("alerts")["alerts"]
        return {(a["labels"]["alertname"], a["labels"]["job"]) for a in alerts if a["state"] == "firing"}

    def up(self) -> dict[str, int]:
        """How many targets of each job can be scraped."""
        return {labels["job"]: int(value) for labels, value in self.query("sum by (job) (up)")}


@contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, Sequence[str]], interval: str, faster: int = 1
) -> Iterator[Prometheus]:
    """Start one on a free port of loopback and wait until it has scraped every target.

    Args:
        folder: for its configuration and data.
        targets: by job, host and port of what it scrapes; jobs that are not named have none.
        interval: of scrapes and evaluations.
        faster: divides the rules' windows and waits: at 60 an hour is a minute.
    """
    _configure(folder, targets, interval, faster)
    address = f"127.0.0.1:{free_port()}"
    flags = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", "--log.level=warn"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", *flags, f"--web.listen-address={address}"], stdout=log, stderr=subprocess.STDOUT
        )
    running = Prometheus(f"http://{address}")
    expected = {job: len(several) for job, several in targets.items()}
    try:
        until(lambda: _is_ready(running.url) and running.up() == expected, 20)
        yield running
    finally:
        process.terminate()
        process.wait(20)


def targets_of(pipeline: LocalPipeline) -> dict[str, list[str]]:
    """Where the processes of a pipeline serve, by job: loopback may read metrics there."""
    stages = ("gateway", *pipeline.stages)
    return {stage: [process.url.removeprefix("http://") for process in pipeline.of(stage)] for stage in stages}


def rules() -> Iterator[dict[str, Any]]:
    """Every committed rule."""
    for path in sorted(COMMITTED.glob("rules/*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    """Every committed alert."""
    return [rule for rule in rules() if "alert" in rule]


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _configure(folder: Path, targets: Mapping[str, Sequence[str]], interval: str, faster: int) -> None:
    config = yaml.safe_load((COMMITTED / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(config["global"], interval)
    for job in config["scrape_configs"]:
        assert job.pop("dns_sd_configs"), "the committed configuration finds replicas by DNS"
        job["static_configs"] = [{"targets": list(targets.get(job["job_name"], ()))}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules").mkdir()
    for path in COMMITTED.glob("rules/*.yml"):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            group["interval"] = interval
            group["rules"] = [_faster(rule, faster) for rule in group["rules"]]
        (folder / "rules" / path.name).write_text(yaml.safe_dump(content))


def _faster(rule: dict[str, Any], factor: int) -> dict[str, Any]:
    """The same rule; divided are its windows, its wait, and the seconds by which rates are made counts."""
    if factor == 1:
        return rule
    expression = _RANGE.sub(lambda found: f"[{_divided(found[1], factor)}]", rule["expr"])
    expression = _COUNTED.sub(lambda found: f"* {int(found[1]) / factor:g} >", expression)
    wait = {"for": _divided(rule["for"], factor)} if "for" in rule else {}
    return {**rule, "expr": expression, **wait}


def _divided(duration: str, factor: int) -> str:
    return f"{int(duration[:-1]) * _UNITS_S[duration[-1]] * 1000 // factor}ms"
