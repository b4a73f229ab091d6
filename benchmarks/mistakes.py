"""What a mistake on the command line costs: processor time until it is told, of the command and all that it starts.

`make bench WHAT=mistakes`, or `python -m benchmarks.mistakes`. Ends with 1 if one costs more than a second.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from argparse import ArgumentParser
from pathlib import Path

MOST_S = 1.0
SPLITWAY = Path(sys.executable).with_name("splitway")
_LAYERS = [
    {"module": "keras.layers", "class_name": kind, "config": {"name": name, **more}}
    for kind, name, more in (("InputLayer", "pixels", {}), ("Flatten", "flat", {}), ("Dense", "top", {"units": 3}))
]
MISTAKES = {
    "no such file": ["split", "none.keras"],
    "not a model": ["split", "text.keras"],
    "a bad range": ["split", "m.keras", "--range", "wide"],
    "an unknown layer": ["split", "m.keras", "--at", "tops"],
    "a wrong number of labels": ["split", "m.keras", "--labels", "two.txt"],
    "a folder with another model": ["split", "m.keras", "--out", "taken"],
    "a folder that cannot be": ["split", "m.keras", "--out", "text.keras/models"],
    "inspect: not a model": ["inspect", "text.keras"],
    "verify: no bundles": ["verify", "nothing"],
    "build: no samples": ["build", "--out", "new", "--samples", "none"],
    "train-head: no pictures": ["train-head", "--images", "none", "--name", "mine"],
    "up: no bundles": ["up", "--models", "nothing"],
    "demo: no such file": ["demo", "none.jpg"],
    "classify: no such file": ["classify", "none.jpg"],
}


def furnish(folder: Path) -> None:
    """Make what the commands stumble over: a model's description, text, labels and the bundle of another model."""
    with zipfile.ZipFile(folder / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": _LAYERS}}))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    (folder / "text.keras").write_text("a model, one would think\n")
    (folder / "two.txt").write_text("a\nb\n")
    place = folder / "taken" / "feature_extractor" / "1"
    place.mkdir(parents=True)
    source = {"name": "other", "sha256": "a" * 64}
    (place / "stage.json").write_text(json.dumps({"source_model": source, "created": "2026-01-02T03:04:05+00:00"}))


def cost_s(words: list[str], folder: Path) -> float:
    """Processor seconds of one command that fails, with its children. Raises AssertionError if it does not fail."""
    with subprocess.Popen([SPLITWAY, *words], cwd=folder, stdout=-3, stderr=-3) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1, words
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure each and print the medians."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    dear = 0
    with tempfile.TemporaryDirectory(prefix="mistakes-") as name:
        furnish(Path(name))
        for what, words in MISTAKES.items():
            used_s = statistics.median(cost_s(words, Path(name)) for _ in range(runs))
            dear += used_s > MOST_S
            print(f"{used_s:6.2f} s  {what:28} splitway {' '.join(words)}", flush=True)
    return 1 if dear else 0


if __name__ == "__main__":
    sys.exit(main())
