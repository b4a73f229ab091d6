"""Starts Python as a child that never imports from the current folder, whatever files a user's project has there."""

from __future__ import annotations

import sys


def python(*arguments: str) -> list[str]:
    """Return the command of a child of this interpreter, such as `python("-m", "splitway.cli.main", "serve", ...)`.

    `-P` keeps the current folder, which `-m` and `-c` would put first, off the child's path. `PYTHONPATH` still counts:
    what compares commits, or traces children, names its folders there.
    """
    return [sys.executable, "-P", *arguments]
