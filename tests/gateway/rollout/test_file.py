"""The releases file, good, broken, gone and not to be written."""

from __future__ import annotations

import fcntl
import json
import logging
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.gateway.rollout.file import ReleaseFile
from splitway.releases import Trial
from tests.gateway.versioned import release, trial, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "releases.json"


def test_there_need_not_be_one(path: Path) -> None:
    file = ReleaseFile(path)
    file.read()
    assert (file.releases.current, file.problem) == (None, None)


def test_it_is_read_again_only_when_it_has_changed(path: Path) -> None:
    file = ReleaseFile(path)
    write(path, {"one": release("1")}, current="one")
    file.read()
    first = file.releases
    file.read()
    assert file.releases is first
    write(path, {"one": release("1"), "two": release("2")}, current="two")
    file.read()
    assert file.releases.current == "two"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "releases": {}, "current": "nosuch"}'], ids=repr
)
def test_a_broken_one_leaves_the_last_good_state_and_is_logged_once(
    path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = ReleaseFile(path)
    write(path, {"one": release("1")}, current="one")
    file.read()
    path.write_text(content)
    with caplog.at_level(logging.ERROR):
        file.read()
        file.read()
    assert file.releases.current == "one"
    assert file.problem
    assert len(caplog.records) == 1
    write(path, {"two": release("2")}, current="two")
    file.read()
    assert file.releases.current == "two"
    assert not file.problem


def test_a_trial_that_ends_is_written_with_the_reason(path: Path) -> None:
    write(path, {"one": release("1"), "two": release("2")}, current="one", canary=trial("two"))
    ReleaseFile(path).withdraw(Trial.model_validate(trial("two")), "too many errors")
    content = json.loads(path.read_text())
    assert (content["current"], content["canary"]) == ("one", None)
    (event,) = content["history"]
    assert (event["event"], event["release"], event["reason"]) == ("rollback", "two", "too many errors")


def test_a_trial_that_has_been_replaced_meanwhile_is_left_alone(path: Path) -> None:
    write(path, {"one": release("1"), "two": release("2")}, current="one", canary=trial("two", 50.0))
    before = path.read_text()
    ReleaseFile(path).withdraw(Trial.model_validate(trial("two", 5.0)), "too many errors")
    assert path.read_text() == before


def test_what_cannot_be_written_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, {"one": release("1"), "two": release("2")}, current="one", canary=trial("two"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SetupError, match="No space left"):
        ReleaseFile(path).withdraw(Trial.model_validate(trial("two")), "too many errors")
    assert sorted(found.name for found in path.parent.iterdir()) == ["releases.json", "releases.json.lock"]


def test_one_that_vanishes_leaves_the_last_good_state(path: Path) -> None:
    file = ReleaseFile(path)
    write(path, {"one": release("1")}, current="one")
    file.read()
    path.rename(path.with_suffix(".away"))
    file.read()
    assert (file.releases.current, "is gone" in str(file.problem)) == ("one", True)
    path.with_suffix(".away").rename(path)
    file.read()
    assert file.problem is None


def test_one_that_cannot_be_opened_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(_: Path) -> bytes:
        raise OSError(24, "Too many open files")

    file = ReleaseFile(path)
    write(path, {"one": release("1")}, current="one")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", too_many)
        file.read()
    file.read()
    assert (file.releases.current, file.problem) == ("one", None)


def test_a_lock_that_is_kept_is_said(path: Path) -> None:
    write(path, {"one": release("1"), "two": release("2")}, current="one", canary=trial("two"))
    with path.with_name("releases.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SetupError, match="another process holds"):
            ReleaseFile(path, patience_s=0.04).withdraw(Trial.model_validate(trial("two")), "too many errors")
