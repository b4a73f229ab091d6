"""`--json`: every command that makes or changes something prints one object, and so does one that fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from splitway.cli.heads import train_head
from splitway.cli.heads.extract import Extracted, Origin
from splitway.cli.main import app
from testkit.support import picture

CHANGE_NOTHING = {
    "inspect", "classify", "top", "bench", "doctor", "config", "completion", "help", "ps", "logs",
    "release list", "keys list", "certs show",
    "serve", "demo",  # run until they are stopped, or stop what they started
}  # fmt: skip


def _names(command: Any, words: str = "") -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below is None:
        yield words.strip()
    for name, each in (below or {}).items():
        yield from _names(each, f"{words} {name}")


ELSEWHERE = {"up", "down"}
"""Run by the tests of what starts in the background."""
ROOT: Any = get_command(app)
CHANGING = set(_names(ROOT)) - CHANGE_NOTHING - ELSEWHERE


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, pictures of two classes, and what the commands make of them, one after the other."""
    import keras

    folder = tmp_path_factory.mktemp("workshop")
    pixels = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Rescaling(1 / 255)(pixels))
    keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(pooled)).save(folder / "tiny.keras")
    for label, size in (("wide", (90, 20)), ("tall", (20, 90))):
        (folder / "images" / label).mkdir(parents=True)
        for number in range(4):
            (folder / "images" / label / f"{number}.png").write_bytes(picture(size=(size[0] + number, size[1])))
    return folder


def _default(models: Path, folder: Path) -> None:
    """The default bundles are there."""
    for name in ("feature_extractor", "classifier"):
        shutil.copytree(models / name, folder / "default" / name, dirs_exist_ok=True)


RUNS: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "split": ("tiny.keras --range 0:255 --at pool", lambda said: len(said["bundles"]) == 2),
    "verify": ("", lambda said: said["bundles"][0]["proof"]["inputs"] > 0 and len(said["checked"]) == 2),
    "sign": ("--key key.pem --new-key", lambda said: len(said["signed"]) == 2),
    "build": ("--out default", lambda said: said["made"] is False and said["bundles"][1]["name"] == "classifier"),
    "train-head": ("--images images --name shapes --extractor http://x", lambda said: 0 <= said["accuracy"] <= 1),
    "release create": ("one", lambda said: said["event"] == "create" and said["current"] is None),
    "release promote": ("one", lambda said: said["current"] == "one"),
    "release canary": ("two --percent 5", lambda said: said["canary"]["percent"] == 5),
    "release shadow": ("two", lambda said: said["shadow"]["release"] == "two"),
    "release rollback": ("", lambda said: said["release"] == "two" and said["canary"] is None),
    "keys create": ("shop", lambda said: said["key"].startswith("splitway_") and "sha256" not in said),
    "keys revoke": ("ID", lambda said: said["revoked"]["name"] == "shop"),
    "certs create": ("", lambda said: [each["state"] for each in said["services"]] == ["good"] * 3),
}
"""What each command is called with, in this order, and what is true of what it says."""


def test_every_command_that_changes_something_is_run_here() -> None:
    assert set(RUNS) == CHANGING
    assert all("--json" in [opt for each in ROOT.commands[name].params for opt in each.opts] for name in ELSEWHERE)


@pytest.mark.parametrize("name", RUNS)
def test_a_changing_command_prints_one_object(
    name: str, workshop: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workshop)
    monkeypatch.setattr(train_head, "extract", _extracted)
    _default(models, workshop)
    arguments, holds = RUNS[name]
    if name == "keys revoke":
        arguments = json.loads(_run("keys", "create", "shop", "--json").stdout)["id"]
    if name == "release canary":
        _run("release", "create", "two")
    result = _run(*name.split(), *arguments.split(), "--json")
    assert result.exit_code == 0, result.stderr
    assert holds(json.loads(result.stdout)), result.stdout


def test_an_error_is_one_object_too_and_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = _run("release", "promote", "nothing", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "bad_setup"
    assert result.stderr == f"splitway: {error['detail']}\n"
    assert _run("release", "promote", "nothing").stdout == ""


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def _extracted(_hops: object, files: list[Path], _steps: object) -> Extracted:
    """Features that tell the classes apart, without a service."""
    rows = np.array([[float(file.parent.name == "wide"), 1.0, 0.0] for file in files], np.float32)
    return Extracted({"features": rows}, tuple(files), Origin(("1",), "fs:0123456789abcdef"))
