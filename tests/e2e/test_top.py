"""`splitway top` and `splitway doctor` on a pipeline of real processes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.local.places import RUN_FILE
from testkit.support import LogBook, splitway, until

pytestmark = pytest.mark.alone

JPEG = {"content-type": "image/jpeg"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which a pipeline runs, as it would be with `splitway up`."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture
def running(models: Path, workplace: Path) -> Iterator[LocalPipeline]:
    """Two extractors and a classifier, asked by the gateway ten times a second."""
    plan = LaunchPlan(
        models,
        port=0,
        replicas={"feature_extractor": 2},
        environment={"SPLITWAY_PROBE_INTERVAL_MS": "100"},
        run_file=workplace / RUN_FILE,
    )
    with LocalPipeline(plan, LogBook().line) as pipeline:
        pipeline.wait_ready()
        yield pipeline


def _seen(workplace: Path) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(splitway("top", "--once", "--json", cwd=workplace).stdout)
    return seen


def _send(client: httpx.Client, pictures: list[bytes]) -> Counter[str]:
    """Send each; how many were answered, and how many refused by which code."""
    outcomes: Counter[str] = Counter()
    for picture in pictures:
        reply = client.post("/v1/classify", content=picture, headers=JPEG)
        outcomes["ok" if reply.status_code == 200 else reply.json()["code"]] += 1
    return outcomes


def _results(workplace: Path, models: Path) -> tuple[int, dict[str, list[dict[str, str]]]]:
    run = splitway("doctor", "--json", "--models", models, cwd=workplace)
    by_name: dict[str, list[dict[str, str]]] = {}
    for result in json.loads(run.stdout)["results"]:
        by_name.setdefault(result["name"], []).append(result)
    return run.returncode, by_name


def test_top_counts_exactly_what_a_client_counted_and_says_when_a_replica_is_killed(
    running: LocalPipeline, workplace: Path, models: Path, cat: bytes
) -> None:
    killed = running.of("feature_extractor")[1]
    with httpx.Client(base_url=running.gateway.url, timeout=30, trust_env=False) as client:
        sent = _send(client, [cat] * 9 + [b"no picture"] * 2)
        before = _seen(workplace)
        assert before["ready"] is True
        assert before["url"] == running.gateway.url
        killed.popen.kill()
        killed.popen.wait()
        sent += _send(client, [cat] * 11)
        until(lambda: "1 of 2 ready" in splitway("top", "--once", cwd=workplace).stdout, 10)
    after = _seen(workplace)
    view = splitway("top", "--once", cwd=workplace)
    assert sent == {"ok": 20, "invalid_input": 2}
    assert sum(before["gateway"]["requests"].values()) == 11
    assert {code: count for code, count in after["gateway"]["requests"].items() if count} == sent
    assert view.returncode == 0
    address = killed.url.removeprefix("http://")
    assert "22 since start: 20 ok · 2 invalid_input" in view.stdout
    assert f"✗ feature_extractor cannot be reached ({address})" in view.stdout

    code, found = _results(workplace, models)
    assert code == 1, "a part of what splitway up started here has ended"
    (run_file,) = found["run file"]
    assert (run_file["level"], address in run_file["says"]) == ("problem", True)
    assert [each["level"] for each in found["replicas"]] == ["warning", "ok"]


def test_doctor_finds_a_pipeline_that_runs_in_order(running: LocalPipeline, workplace: Path, models: Path) -> None:
    code, found = _results(workplace, models)
    assert code == 0
    told = {name: found[name][0] for name in ("run file", "gateway", "replicas", "versions")}
    assert {result["level"] for result in told.values()} == {"ok"}, told
    assert told["gateway"]["says"].startswith(f"{running.gateway.url} is ready")
    assert told["run file"]["says"].startswith("all 4 processes")
    assert told["replicas"]["says"] == "3 replicas ready"
    assert told["versions"]["says"].startswith("all 4 that answer")


def test_a_pipeline_that_died_leaves_a_run_file_that_doctor_finds(models: Path, workplace: Path) -> None:
    plan = LaunchPlan(models, port=0, run_file=workplace / RUN_FILE)
    with LocalPipeline(plan, LogBook().line) as pipeline:
        kept = shutil.copy(workplace / RUN_FILE, workplace / "kept.json")
        assert len(pipeline.processes) == 3
    shutil.move(kept, workplace / RUN_FILE)
    code, found = _results(workplace, models)
    (workplace / RUN_FILE).unlink()
    assert code == 0
    assert found["run file"][0]["level"] == "warning"
    assert "is left over" in found["run file"][0]["says"]
    assert found["gateway"][0]["level"] == "ok"
