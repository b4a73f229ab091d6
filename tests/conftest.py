"""Fixtures that everything shares: the default bundles, the samples, and a real pipeline of real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from splitway.bundle import Bundle, load_bundle
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count no branches while Hypothesis drives a state machine: it takes the same ones thousands of times."""
    for item in items:
        if item.name == "runTest":
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def models() -> Path:
    """The default bundles, as `make models` leaves them."""
    folder = ROOT / "models"
    assert (folder / "classifier" / "1" / "stage.json").is_file(), "no bundles: run `make models` first"
    return folder


@pytest.fixture(scope="session")
def samples() -> Path:
    return ROOT / "samples"


@pytest.fixture(scope="session")
def cat(samples: Path) -> bytes:
    return (samples / "cat.jpg").read_bytes()


@pytest.fixture(scope="session")
def extractor_bundle(models: Path) -> Bundle:
    return load_bundle(models / "feature_extractor" / "1", role="extractor")


@pytest.fixture(scope="session")
def head_bundle(models: Path) -> Bundle:
    return load_bundle(models / "classifier" / "1", role="head")


@pytest.fixture(scope="session")
def pipeline(models: Path) -> Iterator[LocalPipeline]:
    """The whole pipeline as processes on free ports."""
    log = LogBook()
    told = {"SPLITWAY_SLOW_LOOP_MS": "5"}  # says in a failing test's log what kept an event loop
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None, environment=told), log.line) as running:
        running.wait_ready()
        yield running
    assert all(process.exit_code == 0 for process in running.processes), log.text


@pytest.fixture
def gateway(pipeline: LocalPipeline) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=pipeline.gateway.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def extractor(pipeline: LocalPipeline) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=pipeline.of("feature_extractor")[0].url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def classifier(pipeline: LocalPipeline) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=pipeline.of("classifier")[0].url, timeout=30, trust_env=False) as client:
        yield client
