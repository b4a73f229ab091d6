"""The house keeps its order: few files in a folder, short files, and imports that run one way."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCT = ("gateway", "services", "splitway")
MOST_FILES = {"gateway": 6, "splitway/cli": 8}
"""Directly in a folder, the package's own file included."""
MOST_FILES_ELSEWHERE = 16
MOST_LINES = 300


def _files() -> list[Path]:
    return sorted(path for top in PRODUCT for path in (ROOT / top).rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, known: set[str]) -> Iterator[str]:
    """Modules of ours that a file imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                named = f"{node.module}.{alias.name}"
                if (found := named if named in known else node.module) in known:
                    yield found


def test_a_folder_holds_few_files() -> None:
    counted = Counter(str(path.parent.relative_to(ROOT)) for path in _files())
    crowded = {name: files for name, files in counted.items() if files > MOST_FILES.get(name, MOST_FILES_ELSEWHERE)}
    assert not crowded


def test_a_file_is_short() -> None:
    lines = {_module(path): len(path.read_text().splitlines()) for path in _files()}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


def test_no_import_goes_round_in_a_circle() -> None:
    modules = {_module(path): path for path in _files()}
    graph = {name: set(_imported(path, set(modules))) - {name} for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
