"""`splitway split` on models of many kinds, and on what cannot be split: one clear line, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splitway.api.given import PixelOptions
from splitway.api.source import SourceOptions
from splitway.api.splitting import SplitOptions, split_model
from splitway.bundle import load_bundle, read_manifest
from splitway.cli.models.build import report
from splitway.errors import ModelError, ProofError, SetupError
from splitway.manifest import Manifest
from testkit.support import one_line, splitway

CUSTOM = """
import keras
class Twice(keras.layers.Layer):
    def call(self, x):
        return x * 2
"""


def split_here(model: Path, out: Path, at: str | None = None, **options: Any) -> list[Manifest]:
    """Split as the command does, in this process; pictures are given as they are unless the options say otherwise."""
    options.setdefault("pixels", PixelOptions(range=(0.0, 255.0)))
    report(out, split_model(model, SplitOptions(out, tuple(at.split(",")) if at else (), **options), lambda _: None))
    return [read_manifest(path.parent) for path in sorted(out.glob("[!s]*/1/stage.json"))]


def saved(model: Any, path: Path) -> Path:
    model.save(path)
    return path


def unet() -> Any:
    """An encoder and a decoder with two connections around the middle."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    pixels = keras.Input((16, 16, 3), name="pixels")
    x, skips = pixels, []
    for depth in (0, 1):
        x = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"down_{depth}")(x)
        skips.append(x)
        x = layers.MaxPooling2D(name=f"pool_{depth}")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="middle")(x)
    for depth in (1, 0):
        x = layers.Concatenate(name=f"join_{depth}")([layers.UpSampling2D(name=f"up_{depth}")(x), skips[depth]])
        x = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"decode_{depth}")(x)
    return keras.Model(pixels, layers.Conv2D(2, 1, activation="softmax", name="mask")(x), name="unet")


def test_an_encoder_and_decoder_in_three_stages(tmp_path: Path) -> None:
    body, head, extractor = split_here(saved(unet(), tmp_path / "unet.keras"), tmp_path / "m", "middle,up_0")
    assert [m.role for m in (extractor, body, head)] == ["extractor", "body", "head"]
    assert extractor.gives == body.takes
    assert body.gives == head.takes
    assert [entry.name for entry in extractor.outputs] == ["features_1", "features_2", "features_3"]
    assert extractor.outputs == body.inputs
    assert body.outputs == head.inputs
    assert [entry.name for entry in head.outputs] == ["mask"]
    assert extractor.proof is not None
    assert extractor.proof.against_same_engine is not None
    assert extractor.proof.against_same_engine.max_ulp == 0
    assert extractor.proof.against_same_engine.ulp_histogram.keys() == {"0"}


def test_several_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    import keras

    left, right = keras.Input((8,), name="left"), keras.Input((5,), name="right")
    hidden = keras.layers.Dense(6, name="hidden")(left)
    score = keras.layers.Dense(1, name="score")(keras.layers.Concatenate(name="join")([hidden, right]))
    model = keras.Model({"left": left, "right": right}, {"score": score, "aux": keras.layers.Dense(2)(hidden)})
    head, extractor = split_here(saved(model, tmp_path / "two.keras"), tmp_path / "m", "hidden")
    assert [entry.name for entry in extractor.inputs] == ["left", "right"]
    assert extractor.preprocessing is None
    assert {entry.name for entry in head.outputs} == {"score", "aux"}


def test_what_litert_cannot_run_is_served_by_tensorflow_and_said_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import keras

    words = keras.Input((4,), dtype="int64", name="words")
    x = keras.layers.IntegerLookup(vocabulary=[5, 6, 7], output_mode="multi_hot", name="look")(words)
    x = keras.layers.Dense(4, name="hidden")(x)
    model = keras.Model(words, keras.layers.Dense(2, activation="softmax", name="top")(x))
    said: list[str] = []
    options = SplitOptions(tmp_path / "m", ("hidden",))
    report(options.out, split_model(saved(model, tmp_path / "words.keras"), options, said.append))
    extractor, head = (
        load_bundle(tmp_path / "m" / name / "1").manifest for name in ("feature_extractor", "classifier")
    )
    assert (extractor.engine, head.engine) == ("tensorflow", "litert")
    assert any("served by TensorFlow: it cannot be converted to LiteRT: LiteRT has no" in line for line in said)
    assert "TensorFlow for feature_extractor" in capfd.readouterr().out


def test_pieces_that_differ_in_litert_fall_back_and_if_they_still_differ_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splitway.api import proving

    def never(*arguments: Any, **_: Any) -> None:
        tried.append(arguments[2])
        raise ProofError("the pieces differ")

    tried: list[str] = []
    monkeypatch.setattr(proving, "prove", never)
    with pytest.raises(ProofError):
        split_here(saved(unet(), tmp_path / "unet.keras"), tmp_path / "m", "middle")
    assert tried == ["litert", "tensorflow"]
    assert not (tmp_path / "m").exists()


def test_hdf5_is_taken_when_it_is_allowed(tmp_path: Path) -> None:
    path = saved(unet(), tmp_path / "unet.h5")
    with pytest.raises(ModelError, match="taken with --allow-legacy only"):
        split_here(path, tmp_path / "m")
    assert len(split_here(path, tmp_path / "m", source=SourceOptions(allow_legacy=True))) == 2


def test_a_models_own_classes_come_from_a_module_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CUSTOM)
    script = f"""
import keras, sys
sys.path.insert(0, {str(tmp_path)!r})
import mine
pixels = keras.Input((8, 8, 3))
x = keras.layers.GlobalAveragePooling2D(name="pool")(mine.Twice(name="twice")(pixels))
keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(x)).save({str(tmp_path / "custom.keras")!r})
"""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)
    with pytest.raises(ModelError, match="needs 'Twice', which Keras does not know: name its module"):
        split_here(tmp_path / "custom.keras", tmp_path / "m")
    source = SourceOptions(custom_objects=str(tmp_path / "mine.py"))
    assert len(split_here(tmp_path / "custom.keras", tmp_path / "m", source=source)) == 2


def test_pictures_of_any_size_get_one(tmp_path: Path) -> None:
    import keras

    pixels = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(2, 3, name="conv")(pixels))
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(x))
    source = SourceOptions(picture_size=(24, 32))
    _, extractor = split_here(saved(model, tmp_path / "any.keras"), tmp_path / "m", "conv", source=source)
    assert extractor.inputs[0].shape == (-1, 24, 32, 3)
    assert extractor.outputs[0].shape == (-1, 22, 30, 2)


def test_a_model_without_probabilities_is_split_but_takes_no_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    path = saved(unet(), tmp_path / "unet.keras")
    with pytest.raises(ModelError, match="outputs are not probabilities, so labels mean nothing"):
        split_here(path, tmp_path / "m", labels=tmp_path / "labels.txt")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["feature_extractor", "body_1", "Big", "../up"])
def test_a_head_cannot_be_called_anything(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="is not a valid name for a head"):
        split_here(tmp_path / "none.keras", tmp_path / "m", head=name)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 80 kB, or a skip where nobody may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    result = splitway(
        "split", saved(unet(), tmp_path / "unet.keras"), "--at", "middle", "--range=0:255", "--out", small_disk / "m"
    )
    line = one_line(result)
    assert "there is no room for the bundles" in line
    assert str(small_disk) in line
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    path = saved(unet(), tmp_path / "unet.keras")
    command = [
        sys.executable,
        "-m",
        "splitway.cli.main",
        "split",
        str(path),
        "--at",
        "middle",
        "--range=0:255",
        "--out",
        "m",
    ]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if "exporting" in line:
            time.sleep(0.3)
            process.send_signal(number)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) != 0
    assert "Traceback" not in rest
    assert not (tmp_path / "m").exists()
    assert list(temporary.iterdir()) == []


def test_a_lambda_is_one_line(tmp_path: Path) -> None:
    import keras

    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda value: value * 2, name="sneaky")(pixels)
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten(name="flat")(x)))
    for command in ("inspect", "split"):
        line = one_line(splitway(command, saved(model, tmp_path / "m.keras"), cwd=tmp_path))
        assert "layer 'sneaky' is a Lambda: it carries code" in line


def test_inspect_takes_what_split_takes(tmp_path: Path) -> None:
    result = splitway("inspect", saved(unet(), tmp_path / "unet.h5"), "--allow-legacy", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    cuts = {cut["layer"]: cut for cut in found["cuts"]}
    assert len(cuts["middle"]["tensors"]) == 3
    assert found["pictures"]["range"] is None
    assert found["pictures"]["says"].startswith("split needs --range or --preprocess, for the model does not say ")
    assert result.stderr.splitlines()[-1].startswith(f"next: splitway split {tmp_path / 'unet.h5'} --range=")
    assert "--allow-legacy" in result.stderr.splitlines()[-1]
