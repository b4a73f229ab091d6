"""Tests and benchmarks share `testkit/`, and import nothing of each other. The product imports none of the three."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "tests": {"benchmarks"},
    "benchmarks": {"tests"},
    "testkit": {"tests", "benchmarks"},
    **{folder: {"tests", "benchmarks", "testkit"} for folder in ("splitway", "gateway", "services")},
}


def _imported(source: str) -> Iterator[str]:
    """The top-level names that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_folder_imports_nothing_that_it_must_not(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if "data" not in path.parts]
    assert files
    wrong = [str(path.relative_to(ROOT)) for path in files if FORBIDDEN[folder] & set(_imported(path.read_text()))]
    assert wrong == []


@pytest.mark.parametrize(
    "planted",
    ["import benchmarks", "from benchmarks.turns import ROOT", "def f():\n    import benchmarks.rows as rows"],
)
def test_a_planted_import_is_found(planted: str) -> None:
    assert "benchmarks" in set(_imported(planted))
