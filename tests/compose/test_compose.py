"""The real `docker compose up`, on a real engine, with ports and a project name of the test's own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from splitway.cli.ask.classify import classify_files
from splitway.cli.ask.classify_in_process import classify_in_process
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.compose.composed import IMAGES, Compose, require_docker, run

MAX_IMAGE_BYTES = 450_000_000
MAX_RESIDENT_MIB = 250
STAGES = ("feature-extractor", "classifier")


require_docker()
pytestmark = pytest.mark.docker


def test_a_picture_in_its_label_out(compose: Compose, cat: bytes) -> None:
    reply = compose.classify(cat)
    assert reply.status_code == 200
    assert reply.json()["label"] == "Egyptian cat"


def test_serving_images_are_small_and_carry_no_tensorflow(compose: Compose) -> None:
    for image in IMAGES:
        assert int(run("docker", "image", "inspect", "--format", "{{.Size}}", image)) <= MAX_IMAGE_BYTES, image
    found = compose(
        "exec", "feature-extractor", "python", "-c", "import importlib.util as u;print(u.find_spec('tensorflow'))"
    )
    assert found.strip() == "None"


def test_containers_are_hardened(compose: Compose) -> None:
    for service in ("gateway", "feature-extractor", "classifier", "models", "secrets"):
        (container,) = compose.containers(service)
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0, service
        assert host["PidsLimit"] > 0, service
        assert container["Config"]["User"] == "10001:10001", service
    for service in ("feature-extractor", "classifier"):
        mounts = compose.containers(service)[0]["Mounts"]
        read_only = {"/models": False, "/releases": False, "/run/splitway/shared": False}
        assert {mount["Destination"]: mount["RW"] for mount in mounts} == read_only


def test_only_the_gateway_is_published_and_only_on_loopback(compose: Compose) -> None:
    published = {}
    for service in ("gateway", "feature-extractor", "classifier"):
        ports = compose.containers(service)[0]["NetworkSettings"]["Ports"]
        published[service] = [bind["HostIp"] for binds in ports.values() for bind in binds or []]
    assert published == {"gateway": ["127.0.0.1"], "feature-extractor": [], "classifier": []}


def test_the_three_ways_to_run_a_pipeline_give_the_same_bytes(compose: Compose, samples: Path, tmp_path: Path) -> None:
    """In containers, as local processes and without any server, from the bundles that the containers serve."""
    models, files = tmp_path / "models", sorted(samples.glob("*.jpg"))
    compose("cp", "feature-extractor:/models", str(models))
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), LogBook().line) as processes:
        processes.wait_ready()
        over_http = [classify_files(files, url, 100) for url in (compose.url, processes.gateway.url)]
    answers = [*over_http, classify_in_process(files, models, [], 100)]
    said = [[json.dumps((result.reply or {})["predictions"]) for result in results] for results in answers]
    assert said[0] == said[1] == said[2]
    assert len(set(said[0])) == len(files) == 3


def test_memory_stays_within_its_promise(compose: Compose, cat: bytes) -> None:
    for _ in range(20):
        assert compose.classify(cat).status_code == 200
    for service in ("gateway", "feature-extractor", "classifier"):
        pid = compose.containers(service)[0]["State"]["Pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        resident_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert resident_kib < MAX_RESIDENT_MIB * 1024, service


@pytest.mark.parametrize("service", ["classifier", "feature-extractor", "gateway"])
def test_a_killed_container_comes_back(compose: Compose, cat: bytes, service: str) -> None:
    (before,) = compose.containers(service)
    os.kill(before["State"]["Pid"], signal.SIGKILL)

    def is_back() -> bool:
        state = compose.containers(service)[0]
        return bool(state["RestartCount"] > before["RestartCount"] and state["State"]["Status"] == "running")

    until(is_back, 30)
    until(lambda: _ready(compose), 60)
    compose.eventually_classifies(cat)


def _ready(compose: Compose) -> bool:
    try:
        return httpx.get(f"{compose.url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def two_replicas(compose: Compose) -> None:
    """Two replicas a stage, all known to the gateway."""
    for stage in STAGES:
        compose("up", "--detach", "--wait", "--no-recreate", "--scale", f"{stage}=2", stage)
        states = [container["State"]["Health"]["Status"] for container in compose.containers(stage)]
        assert states == ["healthy", "healthy"], stage
    until(lambda: _all_ready(compose), 15)


def _all_ready(compose: Compose) -> bool:
    stages = httpx.get(f"{compose.url}/v1/pipeline", trust_env=False).json()["stages"]
    return [[replica["state"] for replica in stage["replicas"]] for stage in stages] == [["ready", "ready"]] * 2


def _under_load(compose: Compose, picture: bytes, trouble: Callable[[], object]) -> list[int]:
    """Send 20 requests a second for six seconds, make trouble after one; return every status, 0 for no answer."""

    def send(number: int) -> int:
        time.sleep(max(0.0, started_s + number / 20 - time.monotonic()))
        try:
            return compose.classify(picture, timeout_s=15).status_code
        except httpx.TransportError:
            return 0

    with ThreadPoolExecutor(40) as pool:
        started_s = time.monotonic()
        answers = [pool.submit(send, number) for number in range(120)]
        time.sleep(1)
        trouble()
        return [answer.result() for answer in answers]


@pytest.mark.usefixtures("two_replicas")
@pytest.mark.parametrize("stage", STAGES)
def test_a_container_killed_under_load_costs_next_to_nothing(compose: Compose, cat: bytes, stage: str) -> None:
    pid = compose.containers(stage)[0]["State"]["Pid"]
    statuses = _under_load(compose, cat, lambda: os.kill(pid, signal.SIGKILL))
    assert statuses.count(200) >= 0.99 * len(statuses), Counter(statuses)
    until(lambda: _all_ready(compose), 30)


@pytest.mark.usefixtures("two_replicas")
@pytest.mark.parametrize("stage", STAGES)
def test_a_container_paused_under_load_costs_next_to_nothing(compose: Compose, cat: bytes, stage: str) -> None:
    container = compose.containers(stage)[0]["Id"]
    try:
        statuses = _under_load(compose, cat, lambda: run("docker", "pause", container))
    finally:
        run("docker", "unpause", container)
    assert statuses.count(200) >= 0.99 * len(statuses), Counter(statuses)
    until(lambda: _all_ready(compose), 30)


def test_a_stopped_container_was_drained_and_can_be_started_again(compose: Compose) -> None:
    compose("stop", "classifier")
    assert {container["State"]["ExitCode"] for container in compose.containers("classifier")} == {0}
    compose("up", "--detach", "--wait", "--no-deps", "--no-recreate", "classifier")
    until(lambda: compose.containers("gateway")[0]["State"]["Health"]["Status"] == "healthy", 30)
