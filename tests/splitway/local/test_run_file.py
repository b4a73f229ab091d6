"""What `splitway up` leaves is read, and believed only where nobody else can have written it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.local.places import Place
from splitway.local.run_file import make_run_folder, read_run, write_run_file

URL = "http://127.0.0.1:4711"
PLACES = [Place("gateway", URL, 7), Place("feature_extractor", "http://127.0.0.1:8081", 1)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A run file as `splitway up` leaves it."""
    path = tmp_path / ".splitway" / "run.json"
    make_run_folder(path.parent)
    write_run_file(path, PLACES)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    run = read_run(file)
    assert run is not None
    assert run.places == PLACES
    assert run.doubt is None
    assert json.loads(file.read_text())["gateway"] == {"url": URL, "pid": 7}


def test_without_a_run_file_there_are_no_places(tmp_path: Path) -> None:
    assert read_run(tmp_path / "run.json") is None
    assert read_run(tmp_path / "none" / "run.json") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"gateway": {"url": "http://x"}}',
        '{"gateway": 1}',
        '{"gateway": {"url": "http://x\\u001b[2J", "pid": 1}}',
        '{"gateway": {"url": "http://x", "pid": -1}}',
    ],
    ids=["empty", "a list", "nothing", "deep", "no process", "a number", "control characters", "a group"],
)
def test_a_run_file_that_is_none_is_one_line(content: str, file: Path) -> None:
    file.write_text(content)
    with pytest.raises(SetupError, match="cannot be read as what splitway up writes"):
        read_run(file)


def _linked(file: Path) -> None:
    file.rename(file.with_name("elsewhere.json"))
    file.symlink_to("elsewhere.json")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("become", [_linked, _pipe])
def test_a_run_file_that_is_a_link_or_a_pipe_is_not_read(file: Path, become: Callable[[Path], None]) -> None:
    become(file)
    with pytest.raises(SetupError, match="remove it"):
        read_run(file)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_what_others_can_write_is_not_believed(file: Path, mode: int) -> None:
    file.parent.chmod(mode)
    run = read_run(file)
    assert run is not None
    assert f"{file.parent} can be written by others" in (run.doubt or "")
    assert run.why_not(run.places[0]) == run.doubt


def test_nor_a_file_that_others_can_write_in_a_folder_that_is_safe(file: Path) -> None:
    file.chmod(0o666)
    run = read_run(file)
    assert run is not None
    assert f"{file} can be written by others" in (run.doubt or "")


def test_what_belongs_to_another_user_is_not_believed(file: Path) -> None:
    run = read_run(file, trusted=())
    assert run is not None
    assert f"belongs to user {file.stat().st_uid}" in (run.doubt or "")


def test_another_users_link_is_not_believed_and_not_written_through(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file.parent)
    make_run_folder(link)  # one's own may point elsewhere
    run = read_run(link / "run.json", trusted=())
    assert run is not None
    assert f"{link} is a link that user" in (run.doubt or "")
    with pytest.raises(SetupError, match="is a link that user"):
        make_run_folder(link, trusted=())


def test_nothing_is_written_into_another_users_folder(file: Path) -> None:
    with pytest.raises(SetupError, match=r"\.splitway belongs to user"):
        make_run_folder(file.parent, trusted=())


def test_a_folder_that_others_could_write_is_closed_to_them_at_the_start(file: Path) -> None:
    file.parent.chmod(0o777)
    make_run_folder(file.parent)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["run.json", "run.tmp", ".run.json.tmp"])
def test_nothing_is_written_through_a_link(file: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    file.with_name(name).unlink(missing_ok=True)
    file.with_name(name).symlink_to(target)
    write_run_file(file, PLACES)
    assert target.read_text() == "precious"
    assert not file.is_symlink()
    run = read_run(file)
    assert run is not None
    assert run.places == PLACES
