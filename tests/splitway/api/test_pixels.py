"""How pixels reach a model: as its own layers tell, or as the user says, and exactly as Keras does it."""

from __future__ import annotations

from typing import Any, Literal

import keras
import numpy as np
import pytest

from splitway.api.given import PixelOptions
from splitway.api.pixels import STANDARDISED, preprocessing_of
from splitway.api.source import SourceOptions
from splitway.errors import SetupError
from splitway.kinds.image.decode import to_model_input
from splitway.manifest import Preprocessing
from splitway.splitter.readers.keras_graph import read_keras

layers = keras.layers
Mode = Literal["tf", "torch", "caffe"]


def asked(*scale: Any, dtype: str = "float32", said: list[str] | None = None, **options: Any) -> Preprocessing | None:
    """The preprocessing of a model with these layers behind its input."""
    model = keras.Sequential([keras.Input((8, 8, 3), dtype=dtype), *scale, layers.Conv2D(2, 3, name="conv")])
    source = SourceOptions(note=(said if said is not None else []).append)
    return preprocessing_of(read_keras(model), PixelOptions(**options), source)


def scale() -> Any:
    return layers.Rescaling(1 / 127.5, -1, name="scale")


def test_a_range_that_the_model_tells_is_chosen_and_said() -> None:
    said: list[str] = []
    found = asked(scale(), said=said)
    assert found is not None
    assert found.range == (0.0, 255.0)
    assert said == ["pictures are given to the model as 0:255: its own 'scale' (Rescaling) makes -1:1 of 0:255"]
    assert asked(scale(), range=(0.0, 255.0)) == found


@pytest.mark.parametrize(
    ("options", "named"),
    [({"range": (-1.0, 1.0)}, "--range=-1:1"), ({"preprocess": "caffe"}, "--preprocess caffe")],
)
def test_another_range_is_refused_unless_it_is_forced(options: dict[str, Any], named: str) -> None:
    with pytest.raises(SetupError, match=f"{named} is not what the model takes: its own 'scale' .*--force-range"):
        asked(scale(), **options)
    said: list[str] = []
    forced = asked(scale(), force_range=True, said=said, **options)
    assert forced is not None
    assert forced.range == options.get("range")
    assert named in said[0]


def test_a_model_that_tells_nothing_needs_a_range_and_is_told_which_there_are() -> None:
    with pytest.raises(SetupError) as refused:
        asked()
    for part in (
        "'conv' (Conv2D)",
        "--range=0:255 (",
        "--range=0:1 (",
        "--range=-1:1 (",
        "--preprocess tf, torch or caffe",
    ):
        assert part in refused.value.detail
    given = asked(range=(0.0, 1.0))
    assert given is not None
    assert given.range == (0.0, 1.0)


def test_pixels_that_are_bytes_need_no_range() -> None:
    given = asked(dtype="uint8")
    assert given is not None
    assert (given.range, given.datatype) == ((0.0, 255.0), "UINT8")
    for options in ({"range": (0.0, 1.0)}, {"preprocess": "tf"}):
        with pytest.raises(SetupError, match="uint8 pixels"):
            asked(dtype="uint8", **options)


@pytest.mark.parametrize("mode", STANDARDISED)
def test_a_preset_is_what_keras_does_bit_for_bit(mode: Mode) -> None:
    target = asked(preprocess=mode)
    assert target is not None
    pixels = np.random.default_rng(1).permuted(np.tile(np.arange(256, dtype=np.uint8), 3)).reshape(1, 16, 16, 3)
    expected = keras.applications.imagenet_utils.preprocess_input(pixels.astype(np.float32), mode=mode)
    assert to_model_input(pixels, target).tobytes() == expected.tobytes()
    assert Preprocessing.model_validate_json(target.model_dump_json()) == target
