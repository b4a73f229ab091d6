"""Every command of the command line with just the arguments that it must have, for tests of what all of them do."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from splitway.cli.main import app

_VALUES = {"stage": "gateway", "name": "mine", "key": "key.pem", "images": "pictures"}
"""By the parameter's name; a file that looks like a model if not given."""
_MORE = {"top": ["--once"], "classify": ["--url", "http://127.0.0.1:1"]}
"""What keeps a command from running on, or from asking a pipeline that happens to run."""
MODEL = "there.keras"


def every_command(command: Any = None, *names: str) -> Iterator[list[str]]:
    """Yield the words of each command, those of groups too."""
    command = command or get_command(app)
    below = getattr(command, "commands", None)
    if below is not None:
        for name, each in below.items():
            yield from every_command(each, *names, name)
        return
    words = [*names, *_MORE.get(names[0], [])]
    for parameter in command.params:
        if parameter.required:
            value = _VALUES.get(parameter.name, MODEL)
            words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    yield words


def furnish(folder: Path) -> None:
    """Put what the commands are given into a folder: a file that passes for a model, and pictures of two classes."""
    with zipfile.ZipFile(folder / MODEL, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": {"layers": []}}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    for name in ("a", "b"):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(2):
            (folder / "pictures" / name / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
