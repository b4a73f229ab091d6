from __future__ import annotations

import numpy as np
import pytest

from splitway.errors import BundleError


def test_a_checkpoint_that_does_not_fit_is_refused() -> None:
    from splitway.splitter.efficientnet_lite import pretrained

    with pytest.raises(BundleError, match="does not fit"):
        pretrained({"_conv_stem.weight": np.zeros((1, 1, 1, 1), np.float32)})


@pytest.mark.usefixtures("models")
def test_labels_are_distinct_and_in_order() -> None:
    from splitway.splitter.default_model import cache_folder, load_default_labels

    labels = load_default_labels(cache_folder())
    assert labels[285] == "Egyptian cat"
    assert labels[967] == "espresso"
    assert len(set(labels)) == len(labels) == 1000
