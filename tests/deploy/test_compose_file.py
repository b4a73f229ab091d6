"""What the docs have people set, reaches the gateway in its container."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
_IN_A_ROW = re.compile(r"`SPLITWAY_([A-Z_]+)`((?:, `_[A-Z_]+`)*)")


def _named_in_the_table(heading: str) -> set[str]:
    """The variables of the table below a heading; `_MAX_ROWS` behind another stands for the whole name."""
    section = (ROOT / "docs" / "beyond-loopback.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `SPLITWAY")]
    rows = [match for cell in first_cells for match in _IN_A_ROW.finditer(cell)]
    return {f"SPLITWAY_{name}" for row in rows for name in (row[1], *re.findall(r"`_([A-Z_]+)`", row[2]))}


def test_limits_are_passed_on() -> None:
    named = _named_in_the_table("Limits for callers") | {"SPLITWAY_RATE_STORE"}
    assert len(named) >= 12
    environment = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["gateway"]["environment"]
    assert not named - environment.keys()
