"""Small files that are replaced whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.state_file import locked, replace_file


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_who_may_read_a_file_stays(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "keys.json"
    replace_file(file, "one")
    file.chmod(mode)
    replace_file(file, "two")
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_lock_is_no_way_to_another_file(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "keys.json.lock").symlink_to(target)
    with pytest.raises(SetupError, match="cannot write"), locked(tmp_path / "keys.json"):
        pass
    assert target.read_text() == "precious"
