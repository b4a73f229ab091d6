"""`splitway release` on the file that a running pipeline follows: what the commands say is what the gateway does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, one_line, splitway, until
from tests.e2e.test_rolling_upgrade import QUICK, ask_once, expected, space, write


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for version in (1, 2):
        for stage in ("feature_extractor", "classifier"):
            write(tmp_path / "models", stage, version)
    return tmp_path / "models"


@pytest.fixture
def url(models: Path) -> Iterator[str]:
    plan = LaunchPlan(models, port=0, run_file=None, environment={**QUICK, "SPLITWAY_PROBE_INTERVAL_MS": "100"})
    with LocalPipeline(plan, LogBook().line) as running:
        running.wait_ready()
        yield running.gateway.url


def release(models: Path, *arguments: str) -> str:
    result = splitway("release", *arguments, "--models", models)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_release_is_created_tried_promoted_and_rolled_back(models: Path, url: str) -> None:
    right = expected(models, range(1, 3))
    named = {"summer": 1, "autumn": 2}
    for name, version in named.items():
        release(models, "create", name, "--extractor", str(version))
    release(models, "promote", "summer")
    until(lambda: ask_once(url).release == "summer", 10)
    assert ask_once(url).space == space(1)

    release(models, "canary", "autumn", "--percent", "100")
    until(lambda: ask_once(url).release == "autumn", 10)
    assert ask_once(url, {"x-splitway-canary": "never"}).release == "summer"
    release(models, "promote")
    until(lambda: ask_once(url, {"x-splitway-canary": "never"}).release == "autumn", 10)
    release(models, "rollback")
    until(lambda: ask_once(url).release == "summer", 10)

    for name, version in named.items():
        seen = ask_once(url, {"x-splitway-release": name})
        assert (seen.status, seen.release, seen.space) == (200, name, space(version))
        assert seen.probabilities == right[space(version)]
    assert ask_once(url, {"x-splitway-release": "winter"}).status == 400
    listed = httpx.get(f"{url}/v1/pipeline", trust_env=False).json()["releases"]
    assert listed["current"] == "summer"


def test_versions_that_do_not_belong_together_are_no_release(models: Path) -> None:
    result = splitway("release", "create", "mixed", "--extractor", "1", "--head", "classifier=2", "--models", models)
    line = one_line(result)
    assert space(1) in line
    assert space(2) in line
    assert not (models / "releases.json").exists()
