"""The composed pipeline: built and started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compose.composed import MTLS, PROJECT, Compose, left_of


@pytest.fixture(scope="session")
def compose() -> Iterator[Compose]:
    running = Compose()
    try:
        running("build")
        running("up", "--detach", "--wait")
        yield running
    finally:
        running(*MTLS, "--profile", "observe", "down", "--volumes", "--remove-orphans", "--timeout", "40")
    assert left_of(PROJECT) == ""
