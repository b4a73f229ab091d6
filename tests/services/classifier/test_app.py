from __future__ import annotations

import numpy as np
import pytest

from splitway.bundle import Bundle
from splitway.errors import InvalidInput
from splitway.services.classifier.app import Classifier
from splitway.wire.messages import InferRequest, RequestedOutput


def test_classes_read_back_to_the_same_float32(head_bundle: Bundle) -> None:
    row = np.random.default_rng(3).dirichlet(np.ones(1000)).astype(np.float32)[None]
    request = InferRequest((), (RequestedOutput("probabilities", {"classification": 3}),))
    (tensor,) = Classifier(head_bundle).finish({"probabilities": row}, request)
    assert tensor.shape == (1, 3)
    for element in tensor.elements:
        value, index, label = bytes(element).decode().split(":", 2)
        assert np.float32(value) == row[0, int(index)]
        assert label == head_bundle.labels[int(index)]


def test_without_classification_the_tensor_itself_is_given(head_bundle: Bundle) -> None:
    row = np.zeros((2, 1000), np.float32)
    (tensor,) = Classifier(head_bundle).finish({"probabilities": row}, InferRequest(()))
    assert tensor.array is row


def test_a_multi_label_head_gives_all_labels_that_reach_its_threshold_where_that_is_asked(head_bundle: Bundle) -> None:
    several = Bundle(head_bundle.folder, head_bundle.manifest.model_copy(update={"threshold": 0.5}), head_bundle.labels)
    row = np.zeros((1, 1000), np.float32)
    row[0, :7] = 0.5

    def classes(bundle: Bundle, **asked: object) -> tuple[int, ...]:
        request = InferRequest((), (RequestedOutput("probabilities", {"classification": 5, **asked}),))
        return Classifier(bundle).finish({"probabilities": row}, request)[0].shape

    assert classes(several, all_labels=True) == (1, 7)
    assert classes(several) == (1, 5)
    assert classes(head_bundle, all_labels=True) == (1, 5)


@pytest.mark.parametrize("k", [-1, 1.5, "3", True])
def test_a_classification_that_is_no_count_is_refused(head_bundle: Bundle, k: object) -> None:
    request = InferRequest((), (RequestedOutput("probabilities", {"classification": k}),))
    with pytest.raises(InvalidInput, match="classification"):
        Classifier(head_bundle).finish({"probabilities": np.zeros((1, 1000), np.float32)}, request)
