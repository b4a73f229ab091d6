"""Splitway: cut a trained Keras model into services, prove the cut, serve the pieces as one.

`inspect`, `split` and `load` are the Python API: docs/api.md. What they need is imported when they are asked for.
"""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"] and not getattr(sys.flags, "safe_path", False):
    sys.path.pop(
        0
    )  # `python -m splitway` puts the current folder there: what a project has in it is not ours to import
if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be on an older one's path, which can read this file
    _OLD = "Splitway needs Python 3.11 or newer, and this is {}.{}".format(*sys.version_info[:2])
    raise SystemExit(_OLD) if sys.argv[:1] == ["-m"] else ImportError(_OLD)

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splitway.api.inspection import Inspection
    from splitway.api.pipeline import Pipeline
    from splitway.api.public import inspect, load, split
    from splitway.errors import SplitwayError
    from splitway.version import __version__

__all__ = ["Inspection", "Pipeline", "SplitwayError", "__version__", "inspect", "load", "split"]
_HOMES = {
    "Inspection": "splitway.api.inspection",
    "Pipeline": "splitway.api.pipeline",
    "SplitwayError": "splitway.errors",
    "__version__": "splitway.version",
    "inspect": "splitway.api.public",
    "load": "splitway.api.public",
    "split": "splitway.api.public",
}


def __getattr__(name: str) -> Any:
    """Import a name of the API the first time that it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
