"""Two runs for one name get two versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.cli.heads.claim import claimed
from splitway.errors import BundleError


def test_two_at_once_get_two_versions(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "pets"
    with claimed(folder, None) as one, claimed(folder, None) as other:
        assert (one.name, other.name) == ("1", "2")
        with pytest.raises(BundleError, match="being made by another run"), claimed(folder, "2"):
            pass
    assert not folder.exists()


def test_the_next_is_after_the_highest_and_a_lock_left_behind_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "pets" / "3").mkdir(parents=True)
    (tmp_path / "pets" / ".4.lock").touch()
    with claimed(tmp_path / "pets", None) as target:
        assert target.name == "4"
    with claimed(tmp_path / "pets", None) as target:
        target.mkdir()
    assert [path.name for path in sorted((tmp_path / "pets").iterdir())] == ["3", "4"]
    with pytest.raises(BundleError, match="there already"), claimed(tmp_path / "pets", "3"):
        pass
