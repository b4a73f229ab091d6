"""The profile `observe`, on a real engine: its configuration as it is committed, against the composed pipeline."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.support import until
from tests.compose.composed import ROOT, Compose, require_docker, run
from tests.deploy.prometheus.server import Prometheus

require_docker()

pytestmark = pytest.mark.docker

STAND_IN = "splitway-test/prometheus"
METRICS_PORT = {"SPLITWAY_METRICS_PORT": "9464"}


def _services(*profiles: str) -> dict[str, Any]:
    """What compose.yaml comes to with these profiles; fails if it is not valid."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    services: dict[str, Any] = json.loads(run("docker", "compose", *chosen, "config", "--format", "json"))["services"]
    return services


def test_without_the_profile_nothing_observes() -> None:
    assert not {"prometheus", "grafana"} & set(_services())


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_what_observes_is_hardened_and_published_on_loopback_alone(name: str) -> None:
    service = _services("observe")[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["mem_limit"]) > 0
    assert service["pids_limit"] > 0
    assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
    assert not service["image"].endswith(":latest")
    assert len(service["image"].split("/")) == 2, "no registry's host"
    for volume in service["volumes"]:
        if volume["type"] == "bind":
            assert volume["read_only"]
            assert Path(volume["source"]).exists()


def test_every_splitway_service_opens_a_port_for_metrics() -> None:
    services = _services("three-stages")
    serving = ("gateway", "feature-extractor", "classifier", "body-1")
    assert all(METRICS_PORT.items() <= services[name]["environment"].items() for name in serving)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.fixture
def image() -> Iterator[None]:
    """Prometheus' image, pulled; where that cannot be, a stand-in from Debian's package, under its name for so long."""
    name = _services("observe")["prometheus"]["image"]
    if _succeeds("docker", "image", "inspect", name) or _succeeds("docker", "pull", name):
        yield
        return
    run("docker", "build", "--tag", STAND_IN, "--file", "tests/compose/prometheus.Dockerfile", "tests/compose")
    run("docker", "tag", STAND_IN, name)
    yield
    run("docker", "image", "rm", name)


@pytest.fixture
def prometheus(compose: Compose, image: None) -> Iterator[Prometheus]:  # noqa: ARG001 - it must be there
    try:
        compose("--profile", "observe", "up", "--detach", "--wait", "--no-deps", "prometheus")
        yield Prometheus(compose.prometheus_url)
    finally:
        compose("--profile", "observe", "rm", "--stop", "--force", "prometheus")


def _scale(compose: Compose, extractors: int) -> None:
    scales = ("--scale", f"feature-extractor={extractors}", "--scale", "classifier=1")
    compose("up", "--detach", "--wait", "--no-recreate", *scales)


def _called(compose: Compose) -> set[str]:
    """The replicas, by the addresses at which the gateway calls them."""
    stages = httpx.get(f"{compose.url}/v1/pipeline", trust_env=False).json()["stages"]
    return {replica["url"] for stage in stages for replica in stage["replicas"]}


def _is_up(prometheus: Prometheus, expected: dict[str, int]) -> bool:
    return prometheus.up() == expected


def _scraped(prometheus: Prometheus) -> set[str]:
    return {f"http://{labels['instance']}" for labels, _ in prometheus.query('up{job!="gateway"}')}


def test_the_committed_configuration_finds_every_replica_as_they_come_and_go(
    compose: Compose, prometheus: Prometheus, cat: bytes
) -> None:
    for extractors in (2, 1):
        _scale(compose, extractors)
        expected = {"gateway": 1, "feature_extractor": extractors, "classifier": 1}
        until(partial(_is_up, prometheus, expected), 40)
    compose.eventually_classifies(cat)
    until(lambda: prometheus.holds('sum(splitway_gateway_requests_total{outcome="ok"}) > 0'), 20)
    until(lambda: _scraped(prometheus) == _called(compose), 20)
    until(lambda: prometheus.holds("job_stage:splitway_gateway_attempts:rate5m >= 0"), 40)
    groups = prometheus.get("rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    assert prometheus.firing() == set()
