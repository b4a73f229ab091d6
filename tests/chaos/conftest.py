"""The arena of one test: fresh replicas, a fresh gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from splitway.bundle import Bundle
from testkit.chaos import arena
from testkit.chaos.arena import Gateway, Replicas
from testkit.chaos.history import Pictures


@pytest.fixture
def replicas(models: Path) -> Iterator[Replicas]:
    with arena.replicas(models) as running:
        yield running


@pytest.fixture
def gateway(replicas: Replicas, tmp_path: Path) -> Iterator[Gateway]:
    with arena.gateway(replicas.urls, tmp_path / "gateway.log") as running:
        yield running


@pytest.fixture(scope="session")
def pictures(extractor_bundle: Bundle, head_bundle: Bundle) -> Pictures:
    return Pictures(40, extractor_bundle, head_bundle)
