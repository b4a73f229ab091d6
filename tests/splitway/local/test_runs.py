"""The pipelines of a folder are found by their names, and no two have one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.local.places import Place
from splitway.local.run_file import Launcher, make_run_folder, write_run_file
from splitway.local.runs import asked_gateway, check_name, damaged_runs, find_run, only_one, run_path, running_gateway

URL = "http://127.0.0.1:4711"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The place of the unnamed pipeline's run file, which is not written."""
    path = tmp_path / ".splitway" / "run.json"
    make_run_folder(path.parent)
    return path


def _runs(path: Path, url: str = URL) -> None:
    """Write a run file that names this process."""
    write_run_file(
        path, [Place.of("gateway", url, os.getpid())], Launcher.of_this_process(Path(), None, None, restarts=True)
    )


def _ended(path: Path) -> None:
    """Write a run file that names a process that began at another time."""
    write_run_file(path, [Place("gateway", URL, os.getpid(), started=1)])


@pytest.fixture(autouse=True)
def called_splitway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process pass for one of Splitway's."""
    monkeypatch.setattr("splitway.local.places.is_splitway", lambda _: True)


def test_the_unnamed_one_is_meant_where_none_is_named_else_the_only_one(file: Path) -> None:
    assert find_run(None, file) is None
    _runs(run_path("a", file), "http://127.0.0.1:1")
    assert asked_gateway(None, file).url == "http://127.0.0.1:1"
    _runs(run_path("b", file), "http://127.0.0.1:2")
    with pytest.raises(SetupError, match=r"a, b.*choose one with --name"):
        asked_gateway(None, file)
    assert asked_gateway(None, file, "b").url == "http://127.0.0.1:2"
    _runs(file)
    assert asked_gateway(None, file).url == URL
    assert asked_gateway("http://gateway", file).url == "http://gateway"


def test_a_run_file_that_cannot_be_read_is_told_of(file: Path) -> None:
    run_path("a", file).write_text("nothing of ours")
    _runs(file)
    assert damaged_runs(file) == [f"{run_path('a', file)} cannot be read as what splitway up writes: remove it"]


def test_the_second_of_a_name_is_told_what_stops_the_first(file: Path) -> None:
    for name, command in ((None, "splitway down,"), ("a-b", "splitway down --name a-b,")):
        with only_one(run_path(name, file)), pytest.raises(SetupError, match=command), only_one(run_path(name, file)):
            pass


def test_what_has_ended_is_not_asked_and_no_other_name_is(file: Path) -> None:
    _ended(run_path("a", file))
    _runs(run_path("b", file))
    (found,) = {running_gateway(file), running_gateway(file, "b")}
    assert found is not None
    assert found.name == "b"
    with pytest.raises(SetupError, match=r"no pipeline 'a' runs from this folder; these run: b"):
        asked_gateway(None, file, "a")


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "-a", "a" * 33, "a.json"])
def test_a_name_is_a_word(name: str) -> None:
    with pytest.raises(SetupError, match="--name takes"):
        check_name(name)


def test_one_name_runs_once_and_what_a_killed_one_left_is_no_hindrance(file: Path) -> None:
    holder = (
        "import sys, time; from pathlib import Path; from splitway.local.runs import only_one\n"
        "with only_one(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", holder, str(file)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(SetupError, match="is starting a pipeline"), only_one(file):
            pytest.fail("two have one name")
        _runs(file)
        with pytest.raises(SetupError, match=rf"{URL}, process {os.getpid()}, since .*splitway down"), only_one(file):
            pytest.fail("two have one name")
        with only_one(run_path("other", file)):
            process.kill()
    with only_one(file):
        assert file.with_suffix(".lock").exists()
    assert not file.with_suffix(".lock").exists()


def test_the_gateway_that_runs_here_is_asked_if_no_other_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run_file(file, [Place("gateway", URL, 7)])
    monkeypatch.setattr(Place, "is_alive", property(lambda place: place.pid == 7))
    monkeypatch.setattr(Place, "doubt", None)
    assert (asked_gateway(None, file).url, asked_gateway(None, file).doubt) == (URL, None)
    file.parent.chmod(0o777)
    assert asked_gateway(None, file).url == URL
    assert "can be written by others" in (asked_gateway(None, file).doubt or "")
    write_run_file(file, [Place("gateway", URL, 8)])
    assert asked_gateway(None, file).url == "http://127.0.0.1:8080"
    assert asked_gateway(None, file.with_name("none.json")).url == "http://127.0.0.1:8080"
