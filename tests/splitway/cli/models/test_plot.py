"""Plots: whole, the same each time, and without a trace beside them."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from splitway.cli.models.plot import Line, Plot
from splitway.errors import SetupError

TITLE = "costs <b> & more"
LINES = [
    Line("KB per row", "#2563eb", [(1, 4.5), (2, math.nan), (3, 900.0)]),
    Line("nothing", "#d97706", [(1, math.inf)], dashed=True, dots=False),
]


def _texts(svg: str) -> set[str | None]:
    return {element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314 - our own


@pytest.mark.parametrize("logarithmic", ["", "x", "xy"])
def test_a_drawing_is_xml_with_its_title_names_and_ticks_and_the_same_each_time(logarithmic: str) -> None:
    svg = Plot(TITLE, "layer", "KB", LINES, logarithmic=logarithmic, x_ticks=(1, 3)).as_svg()
    assert ET.fromstring(svg).attrib["aria-label"] == TITLE  # noqa: S314 - our own
    assert {"layer", "KB", "KB per row", "nothing"} <= _texts(svg)
    assert svg == Plot(TITLE, "layer", "KB", LINES, logarithmic=logarithmic, x_ticks=(1, 3)).as_svg()


def test_without_a_point_there_is_nothing_to_draw() -> None:
    assert Plot(TITLE, "x", "y", [LINES[1]]).as_svg() == Plot(TITLE, "x", "y", []).as_svg() == ""


def test_it_is_imported_where_something_is_drawn_and_leaves_no_file(tmp_path: Path) -> None:
    program = """
import sys
from splitway.cli.console import tensorflow_hushed
with tensorflow_hushed():
    import splitway.cli.heads.confusion, splitway.cli.main, splitway.cli.models.inspect
from splitway.cli.models.plot import Line, Plot
assert "keras" in sys.modules and sys.modules["matplotlib"] is None
assert Plot("t", "x", "y", [Line("l", "red", [(1, 2), (2, 3)])]).as_svg()
"""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path for path in tmp_path.rglob("*") if ".keras" not in path.parts] == [home]


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SetupError, match=r"without matplotlib: install splitway\[split\]"):
        Plot(TITLE, "x", "y", LINES).as_svg()
