"""A model file that the user names: its hash is shown before anything in it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras

from splitway.bundle import sha256_file
from splitway.cli.console import ERR
from splitway.split.cut import load_model


def load_and_show(path: Path, say: Callable[[str], None]) -> keras.Model:
    """Show the file's SHA-256, then load it. Raises ModelError."""
    if path.is_file():
        ERR.print(f"{path}: SHA-256 {sha256_file(path)}", markup=False)
    say(f"loading {path}")
    return load_model(path)
