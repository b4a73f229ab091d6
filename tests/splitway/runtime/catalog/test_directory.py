"""What callers can address follows what is loaded, and each change is one line of the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitway.services.classifier import app as classifier
from tests.splitway.runtime.stage_app import eventually, serving
from tests.tiny_bundles import SPACE, write_bundle


class Told:
    """The lines that a stage has logged at INFO."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self) -> list[str]:
        return [r.message for r in self._caplog.records if r.levelno == logging.INFO and ".runtime." in r.name]

    async def becomes(self, *lines: str) -> None:
        """Wait for these, look a few times more, and forget them."""
        await eventually(lambda: len(self.lines()) >= len(lines))
        await asyncio.sleep(0.05)
        assert self.lines() == list(lines)
        self._caplog.clear()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    with caplog.at_level(logging.INFO, "splitway"):
        yield Told(caplog)


async def test_each_version_that_comes_is_rewritten_or_goes_is_told_once(tmp_path: Path, told: Told) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path):
        await told.becomes(f"classifier version 1 is served: {SPACE}")
        second = write_bundle(tmp_path, "classifier", 2)
        await told.becomes(
            f"classifier version 2 is served: {SPACE}",
            "classifier version 2 is the default, no longer 1",
            "classifier version 1 is served no longer",
        )
        write_bundle(tmp_path, "classifier", 2, seed=77)
        await told.becomes("classifier version 2 is served as its bundle has been rewritten")
        second.rename(tmp_path / "classifier" / ".2")
        await told.becomes(
            f"classifier version 1 is served: {SPACE}",
            "classifier version 1 is the default, no longer 2",
            "classifier version 2 is served no longer",
        )


async def test_a_head_that_comes_and_goes_is_told_and_a_damaged_one_is_not_served(tmp_path: Path, told: Told) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path):
        await told.becomes(f"classifier version 1 is served: {SPACE}")
        write_bundle(tmp_path, "letters", 1, damaged=True)
        digits = write_bundle(tmp_path, "digits", 4, "detector")
        await told.becomes(f"digits version 4 is served: {SPACE}")
        digits.rename(tmp_path / "digits" / ".4")
        await told.becomes("digits version 4 is served no longer")


async def test_a_stage_that_stops_says_nothing_of_its_versions(tmp_path: Path, told: Told) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path):
        await told.becomes(f"classifier version 1 is served: {SPACE}")
    assert told.lines() == []
