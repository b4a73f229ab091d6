"""Where a pipeline runs is read from what `splitway up` left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from splitway.cli.places import Place, local_url, named_url, read_run_file
from splitway.errors import SetupError
from tests.support import until


def _write(folder: Path, gateway_pid: int) -> Path:
    file = folder / "run.json"
    stages = {"feature_extractor": [{"url": "http://127.0.0.1:8081", "pid": 1}]}
    file.write_text(json.dumps({"gateway": {"url": "http://127.0.0.1:4711", "pid": gateway_pid}, **stages}))
    return file


@pytest.fixture
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_file_is_read_as_places(tmp_path: Path) -> None:
    places = read_run_file(_write(tmp_path, 7))
    assert places == [
        Place("gateway", "http://127.0.0.1:4711", 7),
        Place("feature_extractor", "http://127.0.0.1:8081", 1),
    ]


def test_without_a_run_file_there_are_no_places(tmp_path: Path) -> None:
    assert read_run_file(tmp_path / "run.json") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"gateway": {"url": "http://x"}}', '{"gateway": 1}'])
def test_a_run_file_that_is_none_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(SetupError, match="cannot be read as what splitway up writes"):
        read_run_file(tmp_path / "run.json")


def test_a_process_that_has_ended_or_is_another_program_is_not_alive(dead_pid: int) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd="/")
    ours = subprocess.Popen([sys.executable, "-c", "input('splitway')"], stdin=subprocess.PIPE, cwd="/")
    try:
        until(lambda: Place("gateway", "", ours.pid).is_alive, 5)  # a process has no name while it is being made
        assert not any(Place("gateway", "", pid).is_alive for pid in (dead_pid, other.pid))
    finally:
        for process in (other, ours):
            process.kill()
            process.communicate()


def test_the_gateway_that_runs_here_is_asked_if_no_other_is_named(
    tmp_path: Path, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "is_alive", property(lambda place: place.pid == os.getpid()))
    assert local_url(_write(tmp_path, os.getpid())) == "http://127.0.0.1:4711"
    assert local_url(_write(tmp_path, dead_pid)) == "http://127.0.0.1:8080"
    assert local_url(tmp_path / "none.json") == "http://127.0.0.1:8080"


def test_an_address_is_taken_without_its_last_slash() -> None:
    assert named_url("http://gateway:8080/") == "http://gateway:8080"
    assert named_url(None) is None


@pytest.mark.parametrize("url", ["gateway:8080", "http://", "http://[", "http://127.0.0.1:99999", "ftp://x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="--url takes an address"):
        named_url(url)
