"""Writes from which files a process has imported Splitway, when the process ends.

Python imports this by its name, before anything else, where PYTHONPATH names this folder.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path

_OURS = ("splitway", "gateway", "services")


def _write() -> None:
    files = [
        str(module.__file__)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in _OURS and getattr(module, "__file__", None)
    ]
    Path(os.environ["IMPORTED_TO"], f"{os.getpid()}.json").write_text(json.dumps(files))


if "IMPORTED_TO" in os.environ:
    atexit.register(_write)
