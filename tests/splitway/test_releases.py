"""Changes to the file of releases: none is lost, none is half made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.releases import Event, Releases, change_releases, read_releases


def _note(number: int) -> Event:
    return Event(at="2026-11-24T18:00:00+00:00", event="create", release=f"r{number}")


def test_no_change_is_lost_when_many_are_made_at_once(tmp_path: Path) -> None:
    path = tmp_path / "releases.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: change_releases(path, lambda r: r.noted(_note(number))), range(40)))
    written = read_releases(path)
    assert written is not None
    assert {event.release for event in written.history} == {f"r{number}" for number in range(40)}


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "releases.json"
    change_releases(path, lambda r: r.noted(_note(1)))
    before = path.read_bytes()

    def refuse(_: Releases) -> Releases:
        raise SetupError("no")

    with pytest.raises(SetupError):
        change_releases(path, refuse)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot write"):
        change_releases(tmp_path / "none" / "releases.json", lambda r: r)
