"""A second head for a pipeline that runs: digits, learnt from 400 pictures, beside the 1000 classes of ImageNet.

    python -m samples.two_heads MODELS [PICTURE...]

Works on a copy of the folder of bundles and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from samples.digits import write_digits
from splitway.bundle_graph import EXTRACTOR
from splitway.cli.ask.classify import PictureResult, classify_files, print_table
from splitway.cli.console import ERR, one_line_errors
from splitway.cli.operate.up import passing_pipeline
from splitway.errors import SetupError
from splitway.process.child import python

HEADS = ("classifier", "digits")
_PER_CLASS = 40
_SHOWN = ("2", "5", "7")
_PATIENCE_S = 30.0


def main(models: Path, pictures: list[Path]) -> None:
    """Train the head, wait for the running classifier to take it up, classify with both."""
    with tempfile.TemporaryDirectory(prefix="splitway-") as name:
        folder = Path(name)
        write_digits(folder / "digits", _PER_CLASS)
        write_digits(folder / "unseen", 1, first=_PER_CLASS)
        unseen = [next((folder / "unseen" / digit).iterdir()) for digit in _SHOWN]
        shutil.copytree(models, folder / "models", copy_function=_link)
        with passing_pipeline(folder / "models") as pipeline:
            _train(folder, pipeline.of(EXTRACTOR)[0].url)
            results = _classify([*pictures, *unseen], pipeline.gateway.url)
    print_table([replace(result, file=_short(result.file, folder)) for result in results])
    ERR.print(f"{HEADS[1]} was shown digits alone: of any other picture it names one of them all the same")


def _short(file: Path, folder: Path) -> Path:
    return file.relative_to(folder) if file.is_relative_to(folder) else file


def _link(source: str, target: str) -> None:
    """Bundles are never written in place, so a copy may be the same file."""
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _train(folder: Path, extractor: str) -> None:
    command = python("-m", "splitway.cli.main", "train-head", "--name", HEADS[1], "--extractor", extractor)
    paths = ["--images", folder / "digits", "--models", folder / "models", "--confusion", folder / "confusion.svg"]
    ERR.print(f"training a second head, {HEADS[1]}, on pictures of the digits 0 to 9: {_PER_CLASS} of each")
    done = subprocess.run([*command, *map(str, paths), "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        raise SetupError("the second head could not be trained")
    trained = json.loads(done.stdout)
    ERR.print(f"{trained['accuracy']:.1%} of {trained['held_out']} pictures that were held out are right")


def _classify(files: list[Path], url: str) -> list[PictureResult]:
    started_s = time.monotonic()
    while True:
        results = classify_files(files, url, 3, HEADS)
        waited_s = time.monotonic() - started_s
        if not any(result.failed for result in results):
            ERR.print(f"the running classifier answers for both heads, {waited_s:.1f} s after the second was there")
            return results
        if waited_s > _PATIENCE_S:
            raise SetupError(f"the running pipeline did not take the head {HEADS[1]} up within {_PATIENCE_S:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    with one_line_errors():
        main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
