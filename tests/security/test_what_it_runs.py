"""Bundles that somebody else has made, in the folder of a real stage: with its key set, the stage runs none of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from splitway.bundle import MANIFEST, SIGNATURES
from splitway.cli.main import app
from splitway.security.signing import public_path
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response
from testkit.support import free_port, one_line, splitway, until
from tests.splitway.runtime.stage_app import FEATURES
from tests.splitway.runtime.stage_process import serve_process
from tests.tiny_bundles import SPACE, write_bundle

pytestmark = pytest.mark.alone

Attack = Callable[[Path, Path], object]
"""Given the folder of a forged version, and one where the attacker keeps a key."""


def sign(models: Path, key: Path, *options: str) -> None:
    result = CliRunner().invoke(app, ["sign", str(models), "--key", str(key), *options])
    assert result.exit_code == 0, result.output


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "release.pem"


@pytest.fixture
def models(tmp_path: Path, key: Path) -> Path:
    """One version, signed."""
    write_bundle(tmp_path / "models", "classifier", 1)
    sign(tmp_path / "models", key, "--new-key")
    return tmp_path / "models"


@pytest.fixture
def stage(models: Path, key: Path) -> Iterator[httpx.Client]:
    trusted = str(public_path(key))
    with serve_process("classifier", models, SPLITWAY_BUNDLE_KEY=trusted, SPLITWAY_RESCAN_MS="20") as client:
        yield client


def answers(client: httpx.Client) -> str:
    """The version that answers."""
    tensor = Tensor.of_array("features", FEATURES["features"], {"feature_space": SPACE})
    body, length = build_request(InferRequest((tensor,), parameters={"binary_data_output": True}))
    reply = client.post("/v2/models/classifier/infer", content=body, headers={HEADER_LENGTH: length})
    assert reply.status_code == 200, reply.text
    return parse_response(reply.content, reply.headers.get(HEADER_LENGTH)).model_version


def states(client: httpx.Client) -> dict[str, str]:
    return {entry["version"]: entry["state"] for entry in client.get("/v1/stage").json()["models"]}


def edited(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


def signed_by_somebody_else(folder: Path, keys: Path) -> None:
    sign(folder.parent.parent, keys / "mallory.pem", "--new-key", "--bundle", f"classifier/{folder.name}")


def with_the_key_id_changed(folder: Path, keys: Path) -> None:
    """Mallory's signature, under the name of the key that is trusted."""
    trusted = json.loads((folder.parent / "1" / SIGNATURES).read_text())["signatures"][0]["key"]
    signed_by_somebody_else(folder, keys)
    content = json.loads((folder / SIGNATURES).read_text())
    content["signatures"][0]["key"] = trusted
    (folder / SIGNATURES).write_text(json.dumps(content))


def with_the_signature_of_the_good_one(folder: Path, _: Path) -> None:
    shutil.copy(folder.parent / "1" / SIGNATURES, folder / SIGNATURES)


def the_good_one_as_a_newer_one(folder: Path, _: Path) -> None:
    """What was signed, in the place of a version that was not: otherwise the past could be brought back."""
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "1", folder)


def a_pipe_for_a_signature(folder: Path, _: Path) -> None:
    os.mkfifo(folder / SIGNATURES)


def a_mountain_for_a_signature(folder: Path, _: Path) -> None:
    with (folder / SIGNATURES).open("wb") as file:
        file.truncate(1 << 33)


FORGED: dict[str, tuple[Attack, str]] = {
    "unsigned": (lambda *_: None, "it is not signed"),
    "signed by somebody else": (signed_by_somebody_else, "signed by none of the trusted keys"),
    "signed in another's name": (with_the_key_id_changed, "does not match its manifest"),
    "signed for another": (with_the_signature_of_the_good_one, "does not match its manifest"),
    "an old one as a new one": (the_good_one_as_a_newer_one, "holds version 1 of 'classifier'"),
    "a pipe as a signature": (a_pipe_for_a_signature, "no regular file"),
    "gigabytes as a signature": (a_mountain_for_a_signature, "are allowed"),
}


def test_no_forged_version_is_taken_over(stage: httpx.Client, models: Path, tmp_path: Path) -> None:
    good = models / "classifier" / "1"
    for number, (name, (attack, _)) in enumerate(FORGED.items(), 2):
        outside, keys = tmp_path / name, tmp_path / f"keys {number}"
        keys.mkdir()
        folder = write_bundle(outside, "classifier", number)
        shutil.copytree(good, outside / "classifier" / "1")
        attack(folder, keys)
        folder.rename(models / "classifier" / str(number))
    until(lambda: list(states(stage).values()).count("failed") == len(FORGED), 10)
    assert states(stage)["1"] == "ready"
    assert answers(stage) == "1"
    assert stage.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "name", ["unsigned", "signed in another's name", "an old one as a new one", "a pipe as a signature"]
)
def test_a_stage_starts_on_no_forged_bundle(models: Path, key: Path, tmp_path: Path, name: str) -> None:
    """The newest good one is served beside it; where there is none, the stage does not start."""
    attack, says = FORGED[name]
    attack(write_bundle(models, "classifier", 2), tmp_path)
    with serve_process("classifier", models, SPLITWAY_BUNDLE_KEY=str(public_path(key))) as client:
        assert states(client) == {"1": "ready", "2": "failed"}
        assert answers(client) == "1"
    shutil.rmtree(models / "classifier" / "1")
    assert says in one_line(_start(models, key))


def _start(models: Path, key: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "splitway.cli.main", "serve", "classifier", "--port", str(free_port())]
    told = {"SPLITWAY_MODELS": str(models), "SPLITWAY_BUNDLE_KEY": str(public_path(key))}
    return subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, timeout=60, check=False)


def test_without_a_key_the_forged_version_answers(models: Path) -> None:
    """What the signature is for: whoever can write into the folder decides what is run."""
    with serve_process("classifier", models, SPLITWAY_RESCAN_MS="20") as client:
        assert answers(client) == "1"
        write_bundle(models, "classifier", 2)
        until(lambda: answers(client) == "2", 10)


def test_a_version_that_is_signed_is_taken_over(stage: httpx.Client, models: Path, key: Path) -> None:
    assert answers(stage) == "1"
    write_bundle(models, "classifier", 2)
    until(lambda: states(stage).get("2") == "failed", 10)
    sign(models, key)
    until(lambda: answers(stage) == "2", 10)


def test_a_signed_version_that_is_changed_goes_on_as_it_was(stage: httpx.Client, models: Path) -> None:
    """The manifest, and through its hashes every file: nothing of it can be another's."""
    before = answers(stage)
    folder = models / "classifier" / "1"
    edited(folder, feature_space="fs:ffffffffffffffff")
    time.sleep(0.5)
    assert answers(stage) == before == "1"
    assert stage.get("/v2/models/classifier").json()["parameters"]["feature_space"] == SPACE


def test_another_head_that_nobody_has_signed_is_told_of(models: Path, key: Path) -> None:
    """It is not passed over in silence, as what is of no concern to the stage."""
    write_bundle(models, "digits", 1)
    trusted = str(public_path(key))
    with serve_process("classifier", models, SPLITWAY_BUNDLE_KEY=trusted, SPLITWAY_RESCAN_MS="20") as client:
        told = {(entry["name"], entry["state"]) for entry in client.get("/v1/stage").json()["models"]}
        assert told == {("classifier", "ready"), ("digits", "failed")}
        assert client.get("/v2/models/digits").status_code == 404
        sign(models, key)
        until(lambda: client.get("/v2/models/digits").status_code == 200, 10)


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_key_that_is_none_keeps_a_stage_from_starting(models: Path, key: Path, content: str) -> None:
    public_path(key).write_text(content)
    assert "public key" in one_line(_start(models, key))
    public_path(key).unlink()
    assert "cannot read the key" in one_line(_start(models, key))
    shutil.copy(key, public_path(key))
    assert "private key" in one_line(_start(models, key))


@pytest.mark.usefixtures("models")
def test_in_process_it_is_the_same(key: Path, tmp_path: Path, samples: Path) -> None:
    """`splitway classify --in-process` reads what a stage would read."""
    own = tmp_path / "own"
    shutil.copytree(Path(__file__).parent.parent.parent / "models", own)
    trusted = str(public_path(key))
    arguments = ("classify", samples / "cat.jpg", "--in-process", "--models", own)
    assert "is not signed" in one_line(splitway(*arguments, SPLITWAY_BUNDLE_KEY=trusted))
    sign(own, key)
    assert splitway(*arguments, SPLITWAY_BUNDLE_KEY=trusted).returncode == 0
