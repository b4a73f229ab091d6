"""Folders of pictures, and one on stdin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from splitway.cli.ask.given_pictures import named_pictures
from splitway.errors import SetupError
from testkit.support import one_line, picture, splitway
from tests.splitway.cli.fake_gateway import Asked, fake_gateway


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.png", "inner/c", ".hidden.png"):
        (tmp_path / "holiday" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "holiday" / name).write_bytes(picture())
    (tmp_path / "holiday" / "notes.txt").write_text("no picture")
    (tmp_path / "holiday" / "loop").symlink_to(tmp_path / "holiday")
    return tmp_path / "holiday"


def test_a_folders_pictures_come_sorted_and_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = folder / "notes.txt"  # named itself, it is sent, and the gateway says what is wrong with it
    found = named_pictures([folder, extra])
    assert found == [folder / "a.png", folder / "b.png", folder / "inner" / "c", extra]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"3 pictures in {folder}"
    assert any("notes.txt" in line and "no picture" in line for line in said[1:])
    assert not any("hidden" in line for line in said)


def test_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    assert f"{tmp_path} is a folder without pictures" in one_line(splitway("classify", tmp_path))


def test_one_picture_comes_from_stdin() -> None:
    asked: list[Asked] = []
    with fake_gateway(seen=asked) as url:
        command = [sys.executable, "-m", "splitway.cli.main", "classify", "-", "--json", "--url", url]
        result = subprocess.run(command, input=picture(), capture_output=True, check=False)
    assert json.loads(result.stdout)["file"] == "-"
    assert len(asked) == 1


def test_stdin_is_one_picture() -> None:
    with pytest.raises(SetupError, match="given once"):
        named_pictures([Path("-"), Path("-")])
