"""The accuracy of what is served and of the uncut model, on pictures in a folder for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from splitway.api import splitting
from splitway.api.accuracy import (
    Labelled,
    doubt_of_range,
    doubts,
    in_words,
    label_pictures,
    measure,
)
from splitway.api.given import PixelOptions
from splitway.api.picture_folders import PictureFolders
from splitway.api.pixels import STANDARDISED
from splitway.api.proving import find_samples
from splitway.api.source import SourceOptions
from splitway.api.splitting import SplitOptions
from splitway.bundle import read_manifest
from splitway.errors import SetupError
from splitway.manifest import Accuracy, Preprocessing
from splitway.splitter.readers.keras_graph import read_keras

layers = keras.layers
GREYS = {"dark": 30, "mid": 128, "light": 225}
TARGET = Preprocessing(height=8, width=8, crop=1, resample="bilinear", range=(0, 255), datatype="FP32")
Notes = list[str]


def by_brightness() -> keras.Model:
    """Tells dark, mid and light pictures, and scales their pixels by itself."""
    x = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D(name="pooled")(layers.Rescaling(1 / 255)(x))
    model = keras.Model(x, layers.Dense(3, activation="softmax", name="level")(pooled))
    kernel = np.repeat(np.array([[-7.0, 0.0, 7.0]], np.float32), 3, axis=0)
    model.get_layer("level").set_weights([kernel, np.array([7.0, 0.0, -14.0], np.float32)])
    return model


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    for label, grey in GREYS.items():
        (tmp_path / "levels" / label).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (12, 9), (grey, grey + number, grey - number)).save(
                tmp_path / "levels" / label / f"{number}.png"
            )
    return tmp_path / "levels"


def test_both_are_measured_kept_and_measured_again(tmp_path: Path, samples: Path) -> None:
    notes: Notes = []
    out, source = tmp_path / "m", SourceOptions(note=notes.append)
    options = SplitOptions(out, ("pooled",), list(GREYS), samples=samples, source=source)
    splitting.split_model(by_brightness(), options, lambda _: None)

    def found() -> Accuracy:
        proof = read_manifest(out / "classifier" / "1").proof
        assert proof is not None
        assert proof.accuracy is not None
        return proof.accuracy

    expected = {"samples": "levels", "pictures": 9, "classes": 3, "served_classes": 3}
    assert found().model_dump() == {**expected, "served_right": 9, "uncut_right": 9}
    assert not [note for note in notes if "right" in note or "same" in note]
    splitting.verify(out, None, None, lambda _: None)
    assert found().served_right == 9
    (samples / "mid" / "0.png").unlink()
    splitting.verify(out, samples, None, lambda _: None)
    assert found().pictures == 8


def test_a_damaged_picture_is_left_out_of_classes_and_named_where_it_is_for_the_proof_alone(
    tmp_path: Path, samples: Path
) -> None:
    (samples / "mid" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    notes: Notes = []
    options = SplitOptions(
        tmp_path / "m", ("pooled",), list(GREYS), samples=samples, source=SourceOptions(note=notes.append)
    )
    (extractor, _) = splitting.split_model(by_brightness(), options, lambda _: None)
    assert extractor.proof is not None
    assert extractor.proof.accuracy is not None
    assert extractor.proof.accuracy.pictures == 8
    assert any("0.png is left out" in note for note in notes)
    with pytest.raises(SetupError, match=r"mid/0\.png cannot be used as a sample: the PNG is damaged"):
        find_samples(samples / "mid", read_keras(by_brightness()), TARGET)


def test_a_range_that_is_forced_upon_a_model_shows_in_what_is_served_alone(tmp_path: Path, samples: Path) -> None:
    notes: Notes = []
    pixels, source = PixelOptions((-1.0, 1.0), force_range=True), SourceOptions(note=notes.append)
    options = SplitOptions(tmp_path / "m", ("pooled",), list(GREYS), pixels, samples, source=source)
    _, head = splitting.split_model(by_brightness(), options, lambda _: None)
    assert head.proof is not None
    assert head.proof.accuracy is not None
    assert (head.proof.accuracy.served_right, head.proof.accuracy.uncut_right) == (3, 9)
    assert any("the model says the same of all 9 pictures: look at --range" in note for note in notes)
    assert any("fewer rightly than the whole model: its range is forced" in note for note in notes)


def test_a_range_with_which_the_model_is_right_more_often_is_named(samples: Path) -> None:
    files = tuple(samples / label / f"{number}.png" for label in GREYS for number in range(3))
    pictures = Labelled("levels", files, (0, 0, 0, 1, 1, 1, 2, 2, 2))

    def from_0_to_1(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        means = inputs["pixels"].mean(axis=(1, 2, 3))
        return {"levels": np.eye(3)[np.digitize(means, [0.3, 0.7])]}

    said = doubt_of_range(pictures, from_0_to_1, TARGET)
    assert said is not None
    assert said.startswith(
        "of 9 pictures the model names rightly 3 with --range=0:255 (given), 9 with --range=0:1, 6 with --range=-1:1. "
    )
    assert "a higher count alone proves nothing" in said
    torch = TARGET.model_copy(update={"range": None, "standardise": STANDARDISED["torch"]})
    thrice = replace(pictures, files=files * 3, classes=pictures.classes * 3)
    assert "18 as it was split, 9 with --range=0:255, 27 with" in str(doubt_of_range(thrice, from_0_to_1, torch))
    assert doubt_of_range(pictures, from_0_to_1, TARGET.model_copy(update={"range": (0.0, 1.0)})) is None


def test_a_range_that_chance_may_explain_is_not_named(samples: Path) -> None:
    """Six pictures of 30 more are rightly named with another range, then nine."""
    files = tuple(samples / label / "0.png" for label in GREYS for _ in range(10))
    pictures = Labelled("levels", files, tuple(number for number in range(3) for _ in range(10)))

    def right_for(share: Mapping[bool, int]) -> Any:
        """Right for so many of each class with the pixels as they are (True) and otherwise."""
        seen = {True: 0, False: 0}

        def run(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
            is_as_pixels = inputs["pixels"].max() > 1
            start, seen[is_as_pixels] = seen[is_as_pixels] % 30, seen[is_as_pixels] + len(inputs["pixels"])
            numbers = range(start, start + len(inputs["pixels"]))
            return {
                "levels": np.eye(3)[[n // 10 if n % 10 < share[is_as_pixels] else (n // 10 + 1) % 3 for n in numbers]]
            }

        return run

    assert doubt_of_range(pictures, right_for({True: 7, False: 9}), TARGET) is None
    assert doubt_of_range(pictures, right_for({True: 6, False: 9}), TARGET) is not None


def _found(folder: Path, *names: str) -> PictureFolders:
    return PictureFolders(folder, {name: [folder / name / "a.png"] for name in names}, {})


def test_folders_are_found_by_label_in_whatever_order(tmp_path: Path) -> None:
    pictures = label_pictures(_found(tmp_path, "cat", "dog"), ["dog", "cow", "cat"], 3, lambda _: None)
    assert pictures.classes == (2, 0)


def test_pictures_of_a_label_that_two_classes_have_are_right_as_either(tmp_path: Path) -> None:
    pictures = label_pictures(_found(tmp_path, "cat", "crane"), ["crane", "cat", "crane"], 3, lambda _: None)
    assert (pictures.classes, dict(pictures.same)) == ((1, 0), {2: 0})
    for file in pictures.files:
        file.parent.mkdir()
        Image.new("RGB", (8, 8)).save(file)

    def answers(number: int) -> Any:
        return lambda inputs: {"p": np.eye(3, dtype=np.float32)[[number] * len(inputs["pixels"])]}

    found = measure(pictures, answers(2), answers(0), TARGET, TARGET, lambda _: None)
    assert (found.served_right, found.uncut_right) == (1, 1)
    in_order = label_pictures(_found(tmp_path, "0", "1"), ["crane", "crane"], 2, lambda _: None)
    assert not in_order.same


def test_a_named_folder_without_pictures_and_one_that_is_called_like_a_label_are_told(
    tmp_path: Path, samples: Path
) -> None:
    notes: Notes = []
    options = SplitOptions(tmp_path / "m", ("pooled",), list(GREYS), source=SourceOptions(note=notes.append))
    with pytest.raises(SetupError, match=f"{tmp_path} holds no picture"):
        splitting.split_model(by_brightness(), replace(options, samples=tmp_path), lambda _: None)
    splitting.split_model(by_brightness(), replace(options, samples=samples / "dark"), lambda _: None)
    assert any(f"dark is called like a label: --samples {samples} measures" in note for note in notes)


def test_folders_of_other_names_are_taken_in_their_order_which_is_said(tmp_path: Path) -> None:
    notes: Notes = []
    pictures = label_pictures(_found(tmp_path, "0", "1"), ["dog", "cat"], 2, notes.append)
    assert pictures.classes == (0, 1)
    assert "no folder is called like a label, so they are the 2 classes in their order" in notes[0]


@pytest.mark.parametrize(
    ("names", "labels"), [(("cat", "dgo"), ["cat", "dog"]), (("0", "1"), ["a", "b", "c"]), (("0", "1"), [])]
)
def test_folders_that_are_not_the_labels_are_refused(tmp_path: Path, names: tuple[str, ...], labels: list[str]) -> None:
    with pytest.raises(SetupError, match="which is no label"):
        label_pictures(_found(tmp_path, *names), labels, 3 if len(labels) != 2 else 2, lambda _: None)


def test_of_many_pictures_each_class_gives_as_many(tmp_path: Path) -> None:
    many = PictureFolders(tmp_path, {name: [tmp_path / name / str(n) for n in range(3000)] for name in "ab"}, {})
    notes: Notes = []
    pictures = label_pictures(many, ["a", "b"], 2, notes.append)
    assert (pictures.classes.count(0), pictures.classes.count(1)) == (1000, 1000)
    assert "on 2000 of 6000 pictures" in notes[0]


def _answering(first: int) -> Any:
    return lambda inputs: {"p": np.eye(2, dtype=np.float32)[[first] * len(inputs["pixels"])]}


def test_pictures_that_cannot_be_read_are_left_out_and_said(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    notes: Notes = []
    pictures = Labelled("x", (tmp_path / "bad.png", tmp_path / "good.png"), (0, 1))
    found = measure(pictures, _answering(1), _answering(0), TARGET, TARGET, notes.append)
    assert (found.pictures, found.served_right, found.uncut_right) == (1, 1, 0)
    assert "bad.png is left out" in notes[0]
    with pytest.raises(SetupError, match="not one of the 1 pictures in x could be read"):
        measure(Labelled("x", pictures.files[:1], (0,)), _answering(1), _answering(0), TARGET, TARGET, notes.append)


def _accuracy(served: int, uncut: int, *, pictures: int = 100, classes: int = 4, said: int = 4) -> Accuracy:
    return Accuracy(
        samples="pets", pictures=pictures, classes=classes, served_right=served, uncut_right=uncut, served_classes=said
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (_accuracy(90, 92), []),
        (_accuracy(4, 4, pictures=4), []),
        (_accuracy(28, 28), ["no more often than by chance"]),
        (_accuracy(25, 25, said=1), ["says the same of all 100 pictures"]),
        (_accuracy(60, 90), ["30 of 100 pictures fewer rightly than the whole model: it crops"]),
        (_accuracy(21, 24, pictures=30), []),
    ],
)
def test_doubts_are_said(found: Accuracy, words: list[str]) -> None:
    said = doubts(found)
    assert len(said) == len(words)
    assert all(word in each for word, each in zip(words, said, strict=True))


def test_shares_and_counts_are_said() -> None:
    assert in_words(_accuracy(90, 92)) == [
        "the served pipeline names 90.0% (90 of 100) pictures in pets rightly",
        "the whole model, fed as in Keras, 92.0% (92 of 100)",
    ]
