"""The house keeps its order: few files in a folder, short files, and imports that run one way."""

from __future__ import annotations

import ast
import tomllib
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
    """Return the name that a file is imported by: `gateway/` and `services/` are links inside `splitway/` too."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return name if name.split(".")[0] == "splitway" else f"splitway.{name}"


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


def _graph() -> dict[str, set[str]]:
    """Return which modules of ours each module imports."""
    modules = {_module(path): path for path in _files()}
    return {name: set(_imported(path, set(modules))) - {name} for name, path in modules.items()}


def _layers() -> Iterator[dict[str, int]]:
    """Yield how low each package lies, for every contract of layers in pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in settings["contracts"]:
        if contract["type"] == "layers":
            (inside,) = contract.get("containers", [""])
            yield {
                f"{inside}.{name.strip()}".strip("."): depth
                for depth, layer in enumerate(contract["layers"])
                for name in layer.split("|")
            }


def _depth(module: str, depths: dict[str, int]) -> int | None:
    return next((depth for name, depth in depths.items() if f"{module}.".startswith(f"{name}.")), None)


def test_no_import_runs_upwards() -> None:
    upwards = [
        f"{importer} -> {imported}"
        for depths in _layers()
        for importer, found in _graph().items()
        for imported in found
        if (above := _depth(imported, depths)) is not None and above < (_depth(importer, depths) or 0)
    ]
    assert not upwards


def test_no_import_goes_round_in_a_circle() -> None:
    try:
        TopologicalSorter(_graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_two_classes_have_one_name() -> None:
    trees = [ast.parse(path.read_text()) for path in _files()]
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert not {name for name, count in names.items() if count > 1}
