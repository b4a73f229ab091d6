"""What a killed `splitway up` left goes away; what runs, starts or is in doubt stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitway.local.places import Place
from splitway.local.run_file import make_run_folder, write_run_file
from splitway.local.runs import only_one, run_path
from splitway.local.stopping import clear_stale

ENDED = Place("gateway", "http://127.0.0.1:4711", os.getpid(), started=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The run file of a pipeline that was killed, and its lock."""
    path = tmp_path / ".splitway" / "run.json"
    make_run_folder(path.parent)
    write_run_file(path, [ENDED])
    path.with_suffix(".lock").touch()
    return path


def _left(file: Path) -> list[str]:
    return sorted(each.name for each in file.parent.iterdir())


def test_what_is_left_of_all_names_goes_away(file: Path) -> None:
    write_run_file(run_path("a", file), [ENDED])
    run_path("b", file).with_suffix(".lock").touch()  # killed before it wrote where it runs
    file.with_suffix(".log").touch()
    clear_stale(file)
    assert _left(file) == ["run.log"]


def test_one_that_starts_now_keeps_its_files(file: Path) -> None:
    with only_one(file):
        clear_stale(file)
        assert _left(file) == ["run.json", "run.lock"]


@pytest.mark.parametrize("why", ["it runs", "others can write it"])
def test_what_runs_or_is_in_doubt_stays(file: Path, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "it runs":
        monkeypatch.setattr(Place, "is_alive", True)
    else:
        file.parent.chmod(0o777)
    clear_stale(file)
    assert "run.json" in _left(file)
