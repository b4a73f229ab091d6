"""Of much a few are named."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from splitway.api.picture_folders import find_pictures
from splitway.cli.heads.listing import print_found, print_left_out
from testkit.support import picture


def test_a_few_of_many_are_named(tmp_path: Path) -> None:
    for label in ("cats", "dogs"):
        (tmp_path / label).mkdir()
        for number in range(2):
            (tmp_path / label / str(number)).write_bytes(picture())
    console = Console(width=400, record=True, file=StringIO(), soft_wrap=True)
    print_left_out({tmp_path / f"{number}.txt": "no picture" for number in range(8)}, console)
    print_found(find_pictures(tmp_path), console)
    said = console.export_text()
    assert "4.txt and 3 more" in said
    assert "cats" in said
