from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from splitway.manifest import Preprocessing

FORMAT_1 = {
    "height": 224,
    "width": 224,
    "crop": 1.0,
    "resample": "bilinear",
    "range": [0.0, 255.0],
    "datatype": "FP32",
}


def test_preprocessing_of_format_1_is_written_as_it_was_read() -> None:
    """Feature spaces are hashes of it: one field more would change them all."""
    assert Preprocessing.model_validate(FORMAT_1).model_dump(mode="json") == FORMAT_1


@pytest.mark.parametrize(
    "fields",
    [
        {"standardise": {}},
        {"range": None},
        {"range": None, "standardise": {}, "datatype": "UINT8"},
        {"range": None, "standardise": {"divisor": 0}},
        {"range": None, "standardise": {"deviation": [1, 1, -1]}},
        {"range": None, "standardise": {"mean": [1, 1]}},
        {"range": None, "standardise": {"channels": "GRB"}},
    ],
    ids=["both", "neither", "bytes", "divisor", "deviation", "two means", "channels"],
)
def test_preprocessing_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing.model_validate(FORMAT_1 | fields)
