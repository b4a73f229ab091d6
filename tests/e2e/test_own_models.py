"""Models as people bring them, split by the command and served: the answers are those of the model in Keras."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import httpx
import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from splitway.cli.main import app
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook

layers = keras.layers
LABELS = ("dark", "mid", "light")
PICTURES = np.stack(
    [
        np.broadcast_to(np.array(colour, np.uint8), (32, 32, 3))
        for colour in ((30, 30, 30), (125, 125, 125), (220, 220, 220), (200, 30, 60), (20, 90, 240))
    ]
)
"""What a model that sees them wrongly takes for the same, and two for which the order of the channels matters."""


def classifier(name: str, *scale: Any) -> keras.Model:
    """Tell dark, mid and light by the mean of each channel, of which the first counts most; `scale` is inside."""
    pixels = keras.Input((32, 32, 3), name="pixels")
    x = pixels
    for layer in scale:
        x = layer(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(layers.Conv2D(3, 1, name="conv")(x))
    model = keras.Model(pixels, layers.Dense(3, activation="softmax", name="top")(x), name=name)
    model.get_layer("conv").set_weights([np.eye(3, dtype=np.float32)[None, None], np.zeros(3, np.float32)])
    kernel = np.outer([0.6, 0.3, 0.1], [-4.0, 0.0, 4.0]).astype(np.float32) / (100 if name == "caffe" else 1)
    model.get_layer("top").set_weights([kernel, np.array([-1, 1, -1], np.float32)])
    return model


def run_split(model: keras.Model, folder: Path, *options: str) -> Any:
    path = folder / f"{model.name}.keras"
    model.save(path)
    (folder / "labels.txt").write_text("\n".join(LABELS))
    command = ["split", str(path), "--labels", str(folder / "labels.txt"), "--out", str(folder / "models"), *options]
    return CliRunner().invoke(app, command)


def served(models: Path) -> list[list[float]]:
    """What the served pipeline answers for each picture, in the order of the classes."""
    log, answers = LogBook(), []
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), log.line) as running:
        running.wait_ready()
        with httpx.Client(base_url=running.gateway.url, timeout=30, trust_env=False) as client:
            for pixels in PICTURES:
                reply = client.post("/v1/classify", content=as_png(pixels), headers={"content-type": "image/png"})
                assert reply.status_code == 200, reply.text
                found = {each["label"]: each["confidence"] for each in reply.json()["predictions"]}
                answers.append([found[label] for label in LABELS])
    return answers


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def in_keras(model: keras.Model, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    answers: NDArray[np.float32] = model.predict(pixels, verbose=0)
    assert len({tuple(np.round(each, 3)) for each in answers}) == len(PICTURES), "the pictures are told apart"
    return answers


def test_a_model_that_scales_by_itself_answers_as_in_keras_and_takes_no_other_range(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = classifier("scaled", layers.RandomFlip(), layers.Rescaling(1 / 127.5, offset=-1, name="rescaling"))
    refused = run_split(model, tmp_path, "--range=-1:1")
    assert refused.exit_code == 1
    assert "--range=-1:1 is not what the model takes: its own 'rescaling'" in refused.stderr
    assert not (tmp_path / "models").exists()
    done = run_split(model, tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "given to the model as 0:255: its own 'rescaling' (Rescaling) makes -1:1 of 0:255" in capfd.readouterr().err
    expected = in_keras(model, PICTURES.astype(np.float32))
    assert [LABELS[each.argmax()] for each in expected[:3]] == list(LABELS)
    np.testing.assert_allclose(served(tmp_path / "models"), expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["caffe", "torch"])
def test_a_model_behind_preprocess_input_answers_as_in_keras(tmp_path: Path, mode: str) -> None:
    model = classifier(mode)
    refused = run_split(model, tmp_path)
    assert refused.exit_code == 1
    assert "--preprocess tf, torch or caffe" in refused.stderr
    assert not (tmp_path / "models").exists()
    done = run_split(model, tmp_path, "--preprocess", mode)
    assert done.exit_code == 0, done.stderr
    prepared = keras.applications.imagenet_utils.preprocess_input(PICTURES.astype(np.float32), mode=mode)
    np.testing.assert_allclose(served(tmp_path / "models"), in_keras(model, prepared), atol=1e-5)
