"""Cuts proved on rows that the user has: where random inputs do not do, and against the answers that they came with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from splitway.api import splitting
from splitway.api.source import SourceOptions
from splitway.errors import BundleError, ModelError, ProofError, SetupError
from splitway.manifest import TensorEntry
from tests.splitway.cli.test_split import saved, split_here

layers = keras.layers
RNG = np.random.default_rng(1)


def logarithms() -> keras.Model:
    """Takes the logarithm of what is positive where its author has it, and seldom where it is random."""
    x = keras.Input((4,), name="amounts")
    hidden = layers.Dense(3, activation="tanh", name="h")(keras.ops.log(x))
    return keras.Model(x, layers.Dense(2, name="top")(hidden))


def words(dtype: str = "int32") -> keras.Model:
    x = keras.Input((6,), dtype=dtype, name="words")
    hidden = layers.Dense(3, name="h")(layers.Flatten(name="f")(layers.Embedding(5, 4)(x)))
    return keras.Model(x, layers.Dense(2, name="top")(hidden))


def picture_classifier() -> keras.Model:
    x = keras.Input((8, 8, 3), name="photo")
    hidden = layers.GlobalAveragePooling2D(name="h")(layers.Conv2D(4, 3)(x))
    return keras.Model(x, layers.Dense(3, activation="softmax", name="kinds")(hidden))


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


AMOUNTS = RNG.uniform(0.5, 9, (5, 4)).astype(np.float32)


def test_random_inputs_that_make_nan_are_said_and_samples_help(tmp_path: Path) -> None:
    path, out = saved(logarithms(), tmp_path / "m.keras"), tmp_path / "m"
    with pytest.raises(ProofError, match=r"NaN or infinity in 'top'.*random inputs: give --samples, a file of rows"):
        split_here(path, out, "h")
    assert not out.exists()
    _, extractor = split_here(path, out, "h", samples=npz(tmp_path / "rows.npz", amounts=AMOUNTS))
    assert extractor.proof is not None
    assert extractor.proof.inputs == len(AMOUNTS)
    splitting.verify(out, npz(tmp_path / "more.npz", amounts=AMOUNTS[:2]), None, lambda _: None)
    with pytest.raises(ProofError, match="give --samples"):
        splitting.verify(out, None, None, lambda _: None)


def test_random_inputs_that_leave_a_table_are_said_and_samples_help(tmp_path: Path) -> None:
    model = words()
    model.export(str(tmp_path / "sm"), verbose=False)
    with pytest.raises(ModelError, match=r"cannot be run: .*random inputs: give --samples"):
        split_here(tmp_path / "sm", tmp_path / "m")
    rows = RNG.integers(0, 5, (4, 6))
    lines = tmp_path / "rows.jsonl"
    answers = model(rows).numpy()
    row = [{"words": each.tolist(), "output_0": list(map(float, a))} for each, a in zip(rows, answers, strict=True)]
    lines.write_text("\n".join(map(json.dumps, row)))
    _, extractor = split_here(tmp_path / "sm", tmp_path / "m", samples=lines)
    assert extractor.inputs[0].range is None


@pytest.mark.parametrize(("model", "expected"), [(words(), (0, 4)), (words("float32"), (0, 4)), (logarithms(), None)])
def test_the_range_that_layers_tell_stands_in_the_manifest(
    tmp_path: Path, model: keras.Model, expected: tuple[int, int] | None
) -> None:
    samples = npz(tmp_path / "rows.npz", amounts=AMOUNTS) if expected is None else None
    head, extractor = split_here(saved(model, tmp_path / "m.keras"), tmp_path / "m", "h", samples=samples)
    assert [entry.range for entry in extractor.inputs] == [expected]
    assert [entry.range for entry in head.inputs] == [None]


def test_an_input_that_a_later_stage_takes_keeps_its_range(tmp_path: Path) -> None:
    x, numbers = keras.Input((1,), dtype="int32", name="code"), keras.Input((4,), name="numbers")
    hidden = layers.Dense(3, name="h")(numbers)
    late = layers.Flatten()(layers.Embedding(7, 2)(x))
    model = keras.Model([x, numbers], layers.Dense(2)(layers.Concatenate()([hidden, late])))
    head, extractor = split_here(saved(model, tmp_path / "m.keras"), tmp_path / "m", "h")
    assert {entry.name: entry.range for entry in extractor.inputs} == {"code": (0, 6), "numbers": None}
    assert sorted(str(entry.range) for entry in head.inputs) == ["(0, 6)", "None"]


def test_answers_that_come_with_the_samples_are_what_the_model_has_to_give(tmp_path: Path) -> None:
    model, out = words(), tmp_path / "m"
    path, rows = saved(model, tmp_path / "m.keras"), RNG.integers(0, 5, (4, 6))
    answers = model(rows).numpy()
    wrong = answers.copy()
    wrong[2, 1] += 0.5
    with pytest.raises(
        ProofError, match=r"other answers than .*rows.npz has under 'top': .* by 0.5 in row 2, and"
    ) as e:
        split_here(path, out, "h", samples=npz(tmp_path / "rows.npz", words=rows, top=wrong))
    assert "\n" not in e.value.detail
    assert not out.exists()
    split_here(path, out, "h", samples=npz(tmp_path / "rows.npz", words=rows, top=answers))
    with pytest.raises(ProofError, match="gives other answers"):
        splitting.verify(out, npz(tmp_path / "rows.npz", words=rows, top=wrong), None, lambda _: None)


def test_samples_that_the_model_fails_on_are_no_matter_of_chance(tmp_path: Path) -> None:
    samples = npz(tmp_path / "rows.npz", words=np.full((2, 6), 5))
    with pytest.raises(SetupError, match="row 0 of 'words' has 5") as raised:
        split_here(saved(words(), tmp_path / "m.keras"), tmp_path / "m", "h", samples=samples)
    assert "give --samples" not in raised.value.detail


def test_a_folder_is_for_pictures_and_the_one_that_is_taken_by_default_for_nothing_else(tmp_path: Path) -> None:
    path = saved(words(), tmp_path / "m.keras")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(SetupError, match=r"takes no pictures, and .*pictures is a folder: name a file \(.npz"):
        split_here(path, tmp_path / "m", "h", samples=tmp_path / "pictures")
    with pytest.raises(BundleError, match="no folder of samples"):
        split_here(path, tmp_path / "m", "h", samples=tmp_path / "none")
    split_here(path, tmp_path / "m", "h", source=SourceOptions(pictures=tmp_path / "pictures"))


def test_a_model_of_pictures_takes_rows_of_pixels_by_either_name(tmp_path: Path) -> None:
    model = picture_classifier()
    path, pixels = saved(model, tmp_path / "m.keras"), RNG.uniform(0, 255, (3, 8, 8, 3)).astype(np.float32)
    answers = model(pixels).numpy()
    for version, names in (("1", ("photo", "kinds")), ("2", ("pixels", "probabilities"))):
        samples = npz(tmp_path / "rows.npz", **dict(zip(names, (pixels, answers), strict=True)))
        split_here(path, tmp_path / "m", "h", samples=samples, version=version)
    with pytest.raises(ProofError, match="under 'kinds'"):
        split_here(
            path, tmp_path / "n", "h", samples=npz(tmp_path / "w.npz", photo=pixels, kinds=np.roll(answers, 1, axis=1))
        )


def test_the_manifest_says_what_a_row_takes_and_how_many_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(picture_classifier(), tmp_path / "m.keras")
    monkeypatch.setenv("SPLITWAY_MAX_BODY_BYTES", str(16 * 1024 + 8 * 8 * 3 * 5))
    head, extractor = split_here(path, tmp_path / "m", "h")
    assert [each.rows and each.rows.model_dump() for each in (extractor, head)] == [
        {"input_bytes": 192, "output_bytes": 16, "per_request": 5},
        {"input_bytes": 16, "output_bytes": 12, "per_request": 60},
    ]
    assert TensorEntry(name="x", datatype="FP32", shape=(-1, 8, 8)).row_bytes == 256


def test_a_cut_where_a_row_does_not_fit_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = saved(picture_classifier(), tmp_path / "m.keras"), tmp_path / "m"
    monkeypatch.setenv("SPLITWAY_MAX_BODY_BYTES", "500")
    with pytest.raises(ModelError, match=r"after 'conv2d.*': a row of what crosses takes 576 bytes, .* at most 500"):
        split_here(
            path, out, next(layer.name for layer in keras.saving.load_model(path).layers if "conv" in layer.name)
        )
    assert not out.exists()
    split_here(path, out)
    monkeypatch.setenv("SPLITWAY_MAX_BODY_BYTES", "32M")
    with pytest.raises(SetupError, match="SPLITWAY_MAX_BODY_BYTES=32M: it must be a whole number of bytes"):
        split_here(path, out)


def test_pictures_that_are_taken_by_default_are_left_out_for_a_model_that_takes_none(tmp_path: Path) -> None:
    path, out = saved(words(), tmp_path / "m.keras"), tmp_path / "m"
    split_here(path, out, "h")
    (tmp_path / "samples").mkdir()
    splitting.verify(out, None, None, lambda _: None, SourceOptions(pictures=tmp_path / "samples"))


def test_a_row_out_of_range_is_named_with_its_tensor_and_the_range(tmp_path: Path) -> None:
    rows = RNG.integers(0, 5, (4, 6))
    rows[2, 3] = 700
    path, samples = saved(words(), tmp_path / "m.keras"), npz(tmp_path / "rows.npz", words=rows)
    with pytest.raises(SetupError) as caught:
        split_here(path, tmp_path / "m", "h", samples=samples)
    assert str(caught.value) == f"{samples}: row 2 of 'words' has 700, and the model takes 0 to 4 there"
