"""Docker is looked for, and never a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.cli.doctor.checks.docker import docker

COMMAND = """#!/bin/sh
case "$1" in
version) {engine} ;;
compose) {compose} ;;
esac
"""


@pytest.mark.parametrize(
    ("engine", "compose", "says"),
    [
        ("echo 29.1", "echo 5.0.1", "engine 29.1, Compose 5.0.1"),
        ("echo 29.1", "exit 1", "engine 29.1, without Compose"),
        ("exit 1", "echo 5.0.1", "installed, but no engine answers; only docker compose up needs it"),
        (None, None, "not installed; only docker compose up needs it"),
    ],
    ids=["both", "no-compose", "no-engine", "nothing"],
)
def test_what_is_there_is_said_and_none_of_it_is_needed(
    engine: str | None, compose: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine is not None:
        command = tmp_path / "docker"
        command.write_text(COMMAND.format(engine=engine, compose=compose))
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = docker()
    assert (result.level, result.says) == ("ok", says)
