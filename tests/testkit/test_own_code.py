"""A work tree's own code runs, beside an editable install of the same names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testkit.own_code import assert_own_code, imported_from, own_code


def _plant(tree: Path, *, layout: str) -> Path:
    """A tree of another commit: with the gateway beside `splitway`, as a package in it, or linked into it."""
    (tree / "splitway").mkdir(parents=True)
    gateway = tree / "splitway" / "gateway" if layout == "inside" else tree / "gateway"
    gateway.mkdir()
    for package in (tree / "splitway", gateway):
        (package / "__init__.py").write_text("")
    (tree / "splitway" / "started.py").write_text("import splitway; print(splitway.__file__)")
    if layout == "linked":
        (tree / "splitway" / "gateway").symlink_to("../gateway")
    return tree


@pytest.mark.parametrize("layout", ["beside", "inside", "linked"])
def test_splitway_and_gateway_are_the_trees(layout: str, tmp_path: Path) -> None:
    tree = _plant(tmp_path / "tree", layout=layout)
    files = imported_from(tree, own_code(tree))
    assert len(files) == 2
    assert all(file.is_relative_to(tree) for file in files)
    assert_own_code(tree, own_code(tree))


def test_what_a_process_starts_elsewhere_runs_the_trees_code_too(tmp_path: Path) -> None:
    """As `splitway up` starts its services: by `python -m`, in whatever folder it runs from."""
    tree = _plant(tmp_path / "tree", layout="beside")
    code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'splitway.started'], check=True)"
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, cwd=tmp_path, env=own_code(tree), capture_output=True, text=True, check=True)
    assert Path(said.stdout.strip()).is_relative_to(tree)


def test_a_path_that_is_given_stays_behind_the_tree(tmp_path: Path) -> None:
    assert own_code(tmp_path, {"PYTHONPATH": "/tracer"})["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/tracer"


def test_code_from_elsewhere_is_noticed(tmp_path: Path) -> None:
    """A tree without Splitway runs what is installed."""
    with pytest.raises(AssertionError, match="imported from outside"):
        assert_own_code(tmp_path, own_code(tmp_path))
