"""The feature space is asked of every tensor."""

from __future__ import annotations

import numpy as np
import pytest

from splitway.errors import FeatureSpaceMismatch
from splitway.runtime.stage import check_feature_space
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor

OURS, OTHER = "fs:00000000000000aa", "fs:00000000000000bb"


def _request(*spaces: str | None, on_request: str | None = None) -> InferRequest:
    tensors = tuple(
        Tensor.of_array(f"features_{i}", np.ones((1, 2)), {} if space is None else {"feature_space": space})
        for i, space in enumerate(spaces, 1)
    )
    return InferRequest(tensors, parameters={} if on_request is None else {"feature_space": on_request})


@pytest.mark.parametrize(
    "request_",
    [_request(OURS, OURS), _request(None, None, on_request=OURS), _request(OURS, None, on_request=OURS)],
    ids=["on the tensors", "on the request", "on both"],
)
def test_features_of_the_right_space_are_taken(request_: InferRequest) -> None:
    check_feature_space(request_, OURS, "head")


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (_request(OURS, None), "features_2"),
        (_request(OURS, OTHER), "features_2"),
        (_request(OTHER, OURS, on_request=OURS), "features_1"),
        (_request(OURS, OURS, on_request=OTHER), "features_1"),
    ],
    ids=["one says nothing", "one is foreign", "one contradicts the request", "the request is foreign"],
)
def test_one_tensor_that_is_not_of_the_space_is_enough_to_refuse(request_: InferRequest, names: str) -> None:
    with pytest.raises(FeatureSpaceMismatch, match=names):
        check_feature_space(request_, OURS, "head")
