"""Models as people bring them give the Keras model's own answers through the served pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import keras
import numpy as np
from PIL import Image

import splitway
from splitway.bundle import read_manifest
from splitway.cli.ask.classify import PictureResult, classify_files
from splitway.cli.ask.classify_in_process import classify_in_process
from splitway.cli.operate.up import passing_pipeline

layers = keras.layers
SIDE = 16
LABELS = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
V2 = "/v2/models/pipeline/infer"


def logits(classes: int = 5) -> keras.Model:
    """As the tutorials have it: augmentation, Rescaling, a backbone, a Dense without activation."""
    keras.utils.set_random_seed(3)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.RandomFlip("horizontal")(pixels)
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(layers.Conv2D(8, 3, activation="relu")(x))
    return keras.Model(pixels, layers.Dense(classes, kernel_initializer="random_normal")(layers.Dropout(0.2)(x)))


def table() -> keras.Model:
    numbers, category = keras.Input((8,), name="numbers"), keras.Input((1,), name="category", dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(20, 4)(category))
    body = layers.Dense(32, activation="relu", name="body")(layers.Concatenate()([numbers, embedded]))
    return keras.Model([numbers, category], layers.Dense(1, activation="sigmoid", name="churn")(body))


def pictures(folder: Path) -> tuple[list[Path], np.ndarray[Any, Any]]:
    """Pictures of the model's own size, so that nothing is resized, and their pixels."""
    pixels = np.random.default_rng(5).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.uint8)
    pixels[1] //= 8
    pixels[2] = 250
    files = [folder / f"{number}.png" for number in range(len(pixels))]
    for file, each in zip(files, pixels, strict=True):
        Image.fromarray(each).save(file)
    return files, pixels.astype(np.float32)


def predictions(results: list[PictureResult]) -> list[str]:
    assert all(result.reply is not None for result in results), results
    keys = ("label", "confidence", "predictions", "multi_label", "threshold")
    return [json.dumps({key: (result.reply or {}).get(key) for key in keys}) for result in results]


def test_logits_with_softmax_and_labels_are_served_as_any_classifier(tmp_path: Path) -> None:
    model, (files, pixels) = logits(), pictures(tmp_path)
    models = tmp_path / "models"
    *_, head = splitway.split(model, "pooled", models, labels=LABELS, softmax=True, unsure_below=0.3)
    manifest = read_manifest(head)
    assert (manifest.appended, manifest.threshold, manifest.unsure_below) == (("softmax",), None, 0.3)
    with passing_pipeline(models) as own:
        served = classify_files(files, own.gateway.url, 5)
        stage = httpx.get(f"{own.of('classifier')[0].url}/v1/stage").json()["models"][0]
    assert (stage["threshold"], stage["unsure_below"]) == (None, 0.3)
    expected = keras.ops.softmax(model.predict(pixels, verbose=0)).numpy()
    assert len({tuple(row) for row in expected}) == len(files)
    for result, row in zip(served, expected, strict=True):
        assert result.reply is not None
        found = {each["label"]: each["confidence"] for each in result.reply["predictions"]}
        np.testing.assert_allclose([found[label] for label in LABELS], row, atol=1e-5)
        assert result.reply["label"] == LABELS[int(row.argmax())]
        assert "multi_label" not in result.reply
    assert predictions(served) == predictions(classify_in_process(files, models, [], 5))


def test_labels_of_which_several_can_be_right_are_alike_served_and_in_process(tmp_path: Path) -> None:
    model, (files, pixels) = logits(), pictures(tmp_path)
    models = tmp_path / "models"
    *_, head = splitway.split(model, "pooled", models, labels=LABELS, sigmoid=True, threshold=0.52)
    assert read_manifest(head).threshold == 0.52
    expected = keras.ops.sigmoid(model.predict(pixels, verbose=0)).numpy()
    right = [[LABELS[at] for at in np.argsort(-row) if row[at] >= 0.52] for row in expected]
    assert len({len(each) for each in right}) > 1, "the pictures are to have different numbers of labels"
    with passing_pipeline(models) as own:
        for top_k in (None, 1):
            served = classify_files(files, own.gateway.url, top_k)
            by_name = classify_files(files, own.gateway.url, top_k, ["classifier"])
            assert predictions(served) == predictions(classify_in_process(files, models, [], top_k))
            for result, named, labels in zip(served, by_name, right, strict=True):
                assert result.reply is not None
                assert named.reply is not None
                assert [each["label"] for each in result.reply["predictions"]] == labels[:top_k]
                assert named.reply["heads"]["classifier"]["predictions"] == result.reply["predictions"]
                assert (result.reply["multi_label"], result.reply["threshold"]) == (True, 0.52)
                assert result.reply["label"] == (labels[0] if labels else None)


def test_a_table_of_two_inputs_gives_its_probability(tmp_path: Path) -> None:
    model, models = table(), tmp_path / "models"
    splitway.split(model, "body", models)
    rows = {
        "numbers": np.linspace(-1, 1, 16).reshape(2, 8).astype("float32"),
        "category": np.array([[3], [19]], "int32"),
    }
    inputs = [
        {"name": name, "datatype": kind, "shape": list(rows[name].shape), "data": rows[name].ravel().tolist()}
        for name, kind in (("numbers", "FP32"), ("category", "INT32"))
    ]
    with passing_pipeline(models) as own:
        reply = httpx.post(f"{own.gateway.url}{V2}", json={"inputs": inputs}, timeout=30)
    (output,) = reply.json()["outputs"]
    assert output["name"] == "churn"
    expected = model.predict(rows, verbose=0).ravel()
    assert abs(expected[0] - expected[1]) > 1e-3
    np.testing.assert_allclose(output["data"], expected, atol=1e-5)


def test_one_probability_with_two_labels_is_two_classes_and_with_one_a_label(tmp_path: Path) -> None:
    model, (files, pixels) = logits(classes=1), pictures(tmp_path)
    splitway.split(model, "pooled", tmp_path / "two", labels=["no", "yes"], sigmoid=True)
    splitway.split(model, "pooled", tmp_path / "one", labels=["yes"], sigmoid=True)
    shares = keras.ops.sigmoid(model.predict(pixels, verbose=0)).numpy()[:, 0]
    two = classify_in_process(files, tmp_path / "two", [], None)
    one = classify_in_process(files, tmp_path / "one", [], None)
    for share, first, second in zip(shares, two, one, strict=True):
        assert first.reply is not None
        assert second.reply is not None
        found = {each["label"]: each["confidence"] for each in first.reply["predictions"]}
        np.testing.assert_allclose([found["no"], found["yes"]], [1 - share, share], atol=1e-5)
        assert [each["label"] for each in second.reply["predictions"]] == (["yes"] if share >= 0.5 else [])
