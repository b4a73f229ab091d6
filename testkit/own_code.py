"""Processes that run the code of a work tree, whatever this venv has installed under the same names.

An editable install finds its package by an import hook that is asked after `PYTHONPATH`. A tree on `PYTHONPATH` thus
comes first, in the processes that a process starts too; only the folder in which `python -m` runs comes before it. That
holds for trees with `splitway.gateway` and for older ones that have a package `gateway` beside `splitway`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_TELL = """
import importlib.util, splitway
print(splitway.__file__)
print((importlib.util.find_spec("splitway.gateway") or importlib.util.find_spec("gateway")).origin)
"""


def own_code(tree: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for a process that is to run a tree's own code.

    Args:
        tree: the folder that holds `splitway/`.
        environment: added to this process's variables; its `PYTHONPATH` stays behind the tree.
    """
    everything = {**os.environ, **(environment or {})}
    path = [str(tree), *filter(None, [everything.get("PYTHONPATH")])]
    return everything | {"PYTHONPATH": os.pathsep.join(path)}


def imported_from(tree: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return the files of `splitway` and of the gateway that a process with these variables imports in a tree."""
    told = subprocess.run(
        [sys.executable, "-c", _TELL], cwd=tree, env=dict(environment), capture_output=True, check=True
    )
    return [Path(line) for line in told.stdout.decode().splitlines()]


def assert_own_code(tree: Path, environment: Mapping[str, str]) -> None:
    """Raise AssertionError if a process with these variables would import from elsewhere than the tree."""
    foreign = [file for file in imported_from(tree, environment) if not file.is_relative_to(tree)]
    assert not foreign, f"imported from outside {tree}: {foreign}"
